"""LightGBM: one model a target."""

import lightgbm
import numpy as np

from .trees_quality import Table, fit
from .worker_quality import Floats, Outcome, Work, run


def train(work: Work) -> Outcome:
    return fit(work, fit_one)


def fit_one(
    work: Work, table: Table, label: Floats, valid_label: Floats, binary: bool
) -> tuple[Floats, int, int]:
    settings = work.settings
    rows = lightgbm.Dataset(table.train, label, categorical_feature=table.categories)
    valid = lightgbm.Dataset(table.valid, valid_label, reference=rows)
    done: list[int] = []
    model = lightgbm.train(
        {
            "objective": "binary" if binary else "regression",
            "metric": "auc" if binary else "l2",
            "learning_rate": work.trial["learning_rate"],
            "num_leaves": settings["leaves"],
            "min_data_in_leaf": settings["leaf_rows"],
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "feature_fraction": 0.8,
            "num_threads": work.trial["threads"],
            "seed": work.trial["seed"],
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        },
        rows,
        settings["rounds"],
        valid_sets=[valid],
        callbacks=[
            lightgbm.early_stopping(settings["patience"], verbose=False),
            lambda now: done.append(now.iteration),
        ],
    )
    return np.asarray(model.predict(table.valid), np.float32), len(done), model.best_iteration


if __name__ == "__main__":
    run("lightgbm", train)

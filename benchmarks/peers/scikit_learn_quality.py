"""scikit-learn: one histogram gradient boosting a target."""

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import mean_squared_error, roc_auc_score

from .trees_quality import Table, fit
from .worker_quality import Floats, Outcome, Work, run


def train(work: Work) -> Outcome:
    return fit(work, fit_one)


def fit_one(
    work: Work, table: Table, label: Floats, valid_label: Floats, binary: bool
) -> tuple[Floats, int, int]:
    settings = work.settings
    kind: Any = HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor
    model = kind(
        learning_rate=work.trial["learning_rate"],
        max_leaf_nodes=settings["leaves"],
        min_samples_leaf=settings["leaf_rows"],
        max_iter=settings["rounds"],
        categorical_features=table.categories,
        early_stopping=True,
        scoring="roc_auc" if binary else "neg_mean_squared_error",
        n_iter_no_change=settings["patience"],
        tol=0,
        max_features=0.8,
        random_state=work.trial["seed"],
    )
    model.fit(table.train, label, X_val=table.valid, y_val=valid_label)
    best, kept, valid = -np.inf, 0, np.empty(0)
    for i, values in enumerate(_staged(model, table.valid, binary)):  # it keeps the last, not best
        score = roc_auc_score if binary else lambda y, p: -mean_squared_error(y, p)
        if (now := score(valid_label, values)) > best:
            best, kept, valid = now, i, values
    return valid.astype(np.float32), model.n_iter_, kept + 1


def _staged(model: Any, x: Floats, binary: bool) -> Any:
    if binary:
        return (values[:, 1] for values in model.staged_predict_proba(x))
    return model.staged_predict(x)


if __name__ == "__main__":
    run("scikit-learn", train)

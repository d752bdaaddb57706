"""What a finished run tells its report."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

import trimtab
from trimtab.config.doctor import examine
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.errors import TrimtabError
from trimtab.evaluation.evaluate import finite
from trimtab.training.conclude import Conclusion
from trimtab.training.front import WORDS, front
from trimtab.training.peaks import Served
from trimtab.training.state import State


def contents(
    settings: RunSettings,
    prepared: Prepared,
    state: State,
    end: Conclusion,
    *,
    title: str,
    frame: Any,
) -> dict[str, Any]:
    """Return everything that the report shows, as JSON."""
    epochs = state.curves[-1]["epoch"] if state.curves else 0.0
    rows_per_second = epochs * len(prepared.train) / max(state.seconds, 1e-9)
    return finite(
        {
            "title": title,
            "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "version": trimtab.__version__,
            "seed": settings.training.seed,
            "data": prepared.summary | {"targets": _targets(settings, state, prepared)},
            "model": _model(settings, state),
            "training": {
                "seconds": state.seconds,
                "rows_per_second": rows_per_second,
                "epochs": round(epochs, 2),
                "best_step": end.served.step,
                "rule": _rule(settings, state, end.served),
                "front": [
                    {k: e[k] for k in ("step", "epoch", "metrics")} for e in front(state.curves)
                ],
            },
            "curves": [e | {"best": e["step"] == end.served.step} for e in state.curves],
            "metrics": end.metrics,
            "reliability": end.evaluation.reliability(),
            "findings": _findings(settings, frame),
        }
    )


def _rule(settings: RunSettings, state: State, served: Served) -> str:
    """Say what was kept and why one checkpoint is served."""
    kept = len(front(state.curves))
    where = (
        "; what one target alone reads is from its own best evaluation where that is better"
        if served.own
        else ""
    )
    return (
        f"{kept} of {len(state.curves)} evaluations {'is' if kept == 1 else 'are'} on the front: "
        f"no other is at least as good on every target. Served: {served.told(state.curves)}. "
        f"Chosen for {WORDS[settings.training.choose]}{where}."
    )


def _findings(settings: RunSettings, frame: Any) -> list[dict[str, str]]:
    """Return what the data doctor finds; the log may have moved since it was read."""
    try:
        return [finding.as_dict() for finding in examine(settings, frame)]
    except TrimtabError as error:
        what = f"The data could not be read again to be examined: {error}"
        return [{"severity": "note", "where": "data", "what": what, "advice": ""}]


def _targets(settings: RunSettings, state: State, prepared: Prepared) -> list[dict[str, Any]]:
    """Return what is known of each target on the training rows of its scenes."""
    rows = []
    scene, present = prepared.train.arrays["scene"], state.model.present.cpu().numpy()
    scenes_of = dict(zip(state.model.targets, present, strict=True))
    for name, target in settings.targets.items():
        known = name in prepared.train.names.labels
        label = prepared.train.label(name) if known else np.full(len(scene), np.nan)
        seen = label[~np.isnan(label) & scenes_of[name][scene]]
        rows.append(
            {
                "name": name,
                "kind": target.kind,
                "unit": getattr(target, "unit", None),
                "given": target.given,
                "mean": float(seen.mean()) if len(seen) else None,
                "observed": len(seen) if known else None,
                "weight": target.weight,
            }
        )
    return rows


def _model(settings: RunSettings, state: State) -> dict[str, Any]:
    table, passes = state.model.features.tables.weight, 1 + len(state.model.earlier)
    dense = sum(p.numel() for p in state.model.parameters()) // passes - table.numel()
    widths = getattr(settings.trunk, "widths", [])
    trunk = " ".join([settings.trunk.kind, "-".join(map(str, widths))]).strip()
    return {
        "trunk": trunk + f", {passes} passes" * (passes > 1),
        "table_rows": len(table),
        "dense_parameters": dense,
        "table_parameters": table.numel(),
    }

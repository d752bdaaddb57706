from typing import Any

import numpy as np
import polars as pl

from trimtab.config.load import parse
from trimtab.data.prepare import prepare
from trimtab.training.build import build_state
from trimtab.training.report import _targets

ROWS = 400
RUN: dict[str, Any] = {
    "features": {"item": "id"},
    "scenes": {"column": "place", "feed": ["feed"], "shop": ["shop"]},
    "targets": {
        "click": "binary",
        "buy": {"kind": "binary", "scene": "shop"},
        "play": {"kind": "duration", "unit": "ms"},
    },
    "data": {"valid": 0.25},
}


def test_a_target_is_told_on_the_rows_of_its_scenes_and_with_its_unit() -> None:
    shop = np.arange(ROWS) % 2 == 0
    log = pl.DataFrame(
        {
            "item": np.arange(ROWS) % 7,
            "place": np.where(shop, "shop", "feed"),
            "click": np.arange(ROWS) % 3 == 0,
            "buy": shop & (np.arange(ROWS) % 4 == 0),
            "play": np.arange(ROWS) * 10.0,
        }
    )
    settings = parse(RUN)
    prepared = prepare(settings.plan(), log)
    told = {t["name"]: t for t in _targets(settings, build_state(settings, prepared), prepared)}
    rows = len(prepared.train)
    assert told["click"]["observed"] == rows
    assert abs(told["buy"]["observed"] - rows / 2) < rows / 10
    assert abs(told["buy"]["mean"] - 0.5) < 0.1
    assert [told[name]["unit"] for name in told] == [None, None, "ms"]

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from trimtab.data.labels import read_labels
from trimtab.targets import BinarySettings, Blend, BlendSettings, DurationSettings, Given
from trimtab.targets import NumberSettings as AmountSettings

FORMS = ["unlabelled", "every_row"]


def alone(rows: int) -> Given:
    return Given(steps=(), happened=torch.ones(rows))


def build(of: Mapping[str, Any], **settings: Any) -> Blend:
    target = BlendSettings.model_validate({"of": of, **settings}).build("blend", TARGETS)
    assert isinstance(target, Blend)
    return target


TARGETS = {
    "click": BinarySettings(column="is_click"),
    "like": BinarySettings(given="click"),
    "play": DurationSettings(),
    "paid": AmountSettings(),
}


def labels_of(**columns: list[float]) -> dict[str, Tensor]:
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in columns.items()}


def slow_gain(row: Mapping[str, float], of: Mapping[str, Any], combine: str) -> float:
    """Return one row's gain, as the design says it in words."""
    gains = []
    for name, part in of.items():
        part = part if isinstance(part, dict) else {"weight": part}
        y = row[name]
        if math.isnan(y):
            return math.nan
        if "at_least" in part:
            amount = 1.0 if y >= part["at_least"] else 0.0
        elif "per" in part:
            amount = min(y, part["cap"]) / part["per"]
        else:
            amount = y
        gains.append(part["weight"] * amount)
    return sum(gains) if combine == "sum" else max(gains)


OF = {"click": 1, "like": 5, "play": {"weight": 3, "at_least": 30}}
GRADED = {"click": 0.3, "play": {"weight": 0.5, "per": 10, "cap": 60}}


def random_labels(rows: int) -> dict[str, Tensor]:
    click = (torch.rand(rows, dtype=torch.float64) < 0.4).double()
    like = click * (torch.rand(rows, dtype=torch.float64) < 0.5)
    play = torch.rand(rows, dtype=torch.float64) * 100 * click
    missing = torch.rand(rows) < 0.1
    return {"click": click, "like": like, "play": torch.where(missing, torch.nan, play)}


@pytest.mark.parametrize("combine", ["sum", "max"])
@pytest.mark.parametrize("of", [OF, GRADED], ids=["threshold", "per"])
def test_gain_is_the_slow_one(of: dict[str, Any], combine: str) -> None:
    labels = random_labels(200)
    gain = build(of, combine=combine).gain(labels)
    rows = [{name: float(y[i]) for name, y in labels.items()} for i in range(200)]
    expected = [slow_gain(row, of, combine) for row in rows]
    np.testing.assert_allclose(gain.numpy(), expected, rtol=1e-12)
    assert gain.isnan().any()
    assert (gain > 0).any()


def test_gain_by_the_unit_stops_at_its_cap_and_is_never_negative() -> None:
    blend = build({"paid": {"weight": 2, "per": 10, "cap": 30}})
    gain = blend.gain(labels_of(paid=[-50, 0, 5, 30, 31, 1e9, math.nan]))
    expected = torch.tensor([0, 0, 1, 6, 6, 6, math.nan], dtype=torch.float64)
    torch.testing.assert_close(gain, expected, equal_nan=True)


def test_a_threshold_is_reached_at_the_threshold() -> None:
    gain = build({"play": {"weight": 3, "at_least": 30}}).gain(labels_of(play=[29.999, 30, 31]))
    assert gain.tolist() == [0, 3, 3]


@pytest.mark.parametrize("combine", ["sum", "max"])
@pytest.mark.parametrize("negatives", FORMS)
def test_loss_is_the_designs(negatives: str, combine: str) -> None:
    labels = random_labels(300)
    blend = build(OF, negatives=negatives, combine=combine)
    z = torch.linspace(-40, 40, 300, dtype=torch.float64)
    loss = blend.loss(z[:, None], labels, alone(300)).numpy()
    for i in range(300):
        row = {name: float(y[i]) for name, y in labels.items()}
        g, zi = slow_gain(row, OF, combine), float(z[i])
        if math.isnan(g):
            assert loss[i] == 0
            continue
        if negatives == "every_row":
            expected = g * np.logaddexp(0, -zi) + np.logaddexp(0, zi)
        elif g > 0:
            expected = g * np.logaddexp(0, -zi)
        else:
            expected = np.logaddexp(0, zi)
        assert loss[i] == pytest.approx(expected, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("combine", ["sum", "max"])
def test_a_weight_is_as_many_copies_within_a_batch(combine: str) -> None:
    """Form one: the summed gradient of weight w is that of w copies of weight 1."""
    rows = 60
    x = torch.randn(rows, 4, dtype=torch.float64)
    labels = {
        "click": (torch.rand(rows) < 0.4).double(),
        "like": (torch.rand(rows) < 0.3).double(),
        "play": torch.rand(rows).double() * 60,
    }
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    blend = build(OF, combine=combine)
    weighted = blend.loss(network(x), labels, alone(rows)).sum()

    gain = blend.gain(labels)
    copies = gain.clamp(min=1).long()  # A negative stands once.
    seen = {"seen": (gain > 0).double().repeat_interleave(copies)}
    once = BlendSettings(of={"seen": {"weight": 1.0}}).build("blend", {"seen": BinarySettings()})
    logit = network(x.repeat_interleave(copies, 0))
    copied = once.loss(logit, seen, alone(len(logit))).sum()

    assert copies.max() > 3
    torch.testing.assert_close(weighted, copied)
    parameters = list(network.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(weighted, parameters), torch.autograd.grad(copied, parameters)
    )


def test_a_weight_is_as_many_copies_for_every_row_too() -> None:
    """Form two: w positive copies of weight 1 beside the row's one negative."""
    z = torch.randn(10, 1, dtype=torch.float64, requires_grad=True)
    labels = labels_of(click=[1, 0] * 5, like=[1, 0, 0, 0, 1] * 2)
    blend = build({"click": 2, "like": 3}, negatives="every_row")
    (ours,) = torch.autograd.grad(blend.loss(z, labels, alone(10)).sum(), z)
    gain = 2 * labels["click"] + 3 * labels["like"]
    twin = sum(-nn.functional.logsigmoid(z[i]) for i in range(10) for _ in range(int(gain[i])))
    (theirs,) = torch.autograd.grad((twin - nn.functional.logsigmoid(-z).sum()).sum(), z)
    torch.testing.assert_close(ours, theirs)


TABLE = {
    # context: rows of (click, like, seconds)
    0: [(1, 0, 5)] * 3 + [(1, 1, 50)] * 1 + [(0, 0, 0)] * 6,
    1: [(1, 0, 40)] * 1 + [(0, 0, 0)] * 19,
    2: [(1, 1, 10)] * 4 + [(1, 0, 31)] * 4 + [(0, 0, 0)] * 1,
}
"""Three contexts, small enough to solve by hand."""

BY_HAND = {
    # E[g] and P(g = 0) of each context for click 1, like 5, at least 30 seconds 3.
    "sum": ([(3 * 1 + 9) / 10, 4 / 20, (4 * 6 + 4 * 4) / 9], [0.6, 0.95, 1 / 9]),
    "max": ([(3 * 1 + 5) / 10, 3 / 20, (4 * 5 + 4 * 3) / 9], [0.6, 0.95, 1 / 9]),
}


def solve(blend: Blend, labels: Mapping[str, Tensor], group: Tensor) -> Tensor:
    """Return each group's best logit, by Newton's steps."""
    z = torch.zeros(int(group.max()) + 1, dtype=torch.float64, requires_grad=True)
    for _ in range(60):
        loss = blend.loss(z[group][:, None], labels, alone(len(group))).sum()
        (slope,) = torch.autograd.grad(loss, z, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), z)
        z.data -= (slope.detach() / bend).clamp(-1, 1)
    return z.detach()


def table() -> tuple[dict[str, Tensor], Tensor]:
    rows = torch.tensor([row for rows in TABLE.values() for row in rows], dtype=torch.float64)
    group = torch.arange(3).repeat_interleave(torch.tensor([len(r) for r in TABLE.values()]))
    return dict(zip(("click", "like", "play"), rows.unbind(1), strict=True)), group


@pytest.mark.parametrize("combine", ["sum", "max"])
@pytest.mark.parametrize("negatives", FORMS)
def test_optimum_on_a_table_solved_by_hand(negatives: str, combine: str) -> None:
    labels, group = table()
    gain, none = (torch.tensor(values, dtype=torch.float64) for values in BY_HAND[combine])
    # Hand-solved contexts: 0 has one long like (1 + 5 + 3), 1 one long click (1 + 3), 2 four
    # short likes (1 + 5) and four long clicks (1 + 3).
    blend = build(OF, negatives=negatives, combine=combine)
    expected = gain if negatives == "every_row" else gain / none
    z = solve(blend, labels, group)
    torch.testing.assert_close(z.exp(), expected)
    torch.testing.assert_close(blend.predict(z[:, None], alone(3)), expected)


def test_optimum_for_every_row_is_the_sum_of_weighted_probabilities() -> None:
    """What steering rests on: a calibrated multi-target model already holds this one."""
    labels, group = table()
    counts = group.bincount().double()
    p = {
        "click": group.bincount(labels["click"]) / counts,
        "like": group.bincount(labels["like"]) / counts,
        "play": group.bincount((labels["play"] >= 30).double()) / counts,
    }
    z = solve(build(OF, negatives="every_row"), labels, group)
    torch.testing.assert_close(z.exp(), 1 * p["click"] + 5 * p["like"] + 3 * p["play"])


@pytest.mark.parametrize("negatives", FORMS)
def test_a_row_that_misses_a_label_moves_no_optimum(negatives: str) -> None:
    labels, group = table()
    blend = build(OF, negatives=negatives)
    extra = {
        name: torch.cat([y, torch.tensor([math.nan if name == "like" else 1.0] * 3).double()])
        for name, y in labels.items()
    }
    more = torch.cat([group, torch.arange(3)])
    torch.testing.assert_close(solve(blend, extra, more), solve(blend, labels, group))


@pytest.mark.parametrize("weight", [1.0, 3.0, 20.0, 0.5])
@pytest.mark.parametrize("negatives", FORMS)
def test_probability_of_one_behaviour_is_recovered(negatives: str, weight: float) -> None:
    labels, group = table()
    p = group.bincount(labels["click"]) / group.bincount().double()
    for of, name in (
        ({"click": weight}, "click"),
        ({"play": {"weight": weight, "at_least": 30}}, "play"),
    ):
        happened = labels[name] >= (30 if name == "play" else 1)
        p = group.bincount(happened.double()) / group.bincount().double()
        blend = build(of, negatives=negatives)
        z = solve(blend, labels, group)
        torch.testing.assert_close(blend.probability(z[:, None]), p)
        if negatives == "unlabelled":
            q = z.sigmoid()
            torch.testing.assert_close(q / (q + weight * (1 - q)), p)
        else:
            torch.testing.assert_close(z.exp() / weight, p)


@pytest.mark.parametrize("negatives", FORMS)
@pytest.mark.parametrize(
    "of",
    [{"click": 1, "like": 5}, {"play": {"weight": 1, "per": 10, "cap": 60}}],
    ids=["two", "per"],
)
def test_probability_is_refused_where_it_cannot_be_told(of: Any, negatives: str) -> None:
    with pytest.raises(ValueError, match="no single probability"):
        build(of, negatives=negatives).probability(torch.zeros(3, 1))


@pytest.mark.parametrize("combine", ["sum", "max"])
@pytest.mark.parametrize("negatives", FORMS)
def test_start_is_the_best_constant(negatives: str, combine: str) -> None:
    labels, _ = table()
    blend = build(OF, negatives=negatives, combine=combine)
    bias = blend.learn(blend.label(labels).float())
    (z,) = solve(blend, labels, torch.zeros(len(labels["click"]), dtype=torch.int64))
    assert bias.item() == pytest.approx(z.item(), abs=1e-5)


def test_labels_come_from_other_targets_or_from_columns() -> None:
    settings = BlendSettings.model_validate(
        {
            "of": {
                "click": 1,
                "like": 5,
                "play": {"weight": 3, "at_least": 30},
                "share": 2,
                "stayed": {"weight": 1, "column": "dwell", "per": 10, "cap": 20},
                "long": {"weight": 4, "column": "click_seconds", "at_least": 8},
            }
        }
    )
    columns = settings.labels("engage", TARGETS)
    frame = pl.DataFrame(
        {
            "is_click": [True, True, False, True],
            "like": [1, None, None, 0],
            "play": [30.0, 0.0, None, 12.0],
            "share": [1, 0, 0, 0],
            "dwell": [5, 50, 0, 0],
            "click_seconds": [8.0, 7.9, 0.0, 100.0],
        }
    )
    parents = {k: v for n in ("click", "like") for k, v in TARGETS[n].labels(n, TARGETS).items()}
    read = read_labels(frame, parents | columns)
    assert [columns[name].column for name in columns] == list(frame.columns)
    labels = {name: torch.from_numpy(values.copy()) for name, values in read.items()}
    gain = settings.build("engage", TARGETS).label(labels)  # type: ignore[attr-defined]
    # Row 1 misses the like; row 2 misses the play, for which nothing says that it is 0.
    expected = torch.tensor([1 + 5 + 3 + 2 + 0.5 + 4, math.nan, math.nan, 1 + 4])
    torch.testing.assert_close(gain, expected, equal_nan=True)


def test_a_blend_may_bear_the_name_of_its_column() -> None:
    settings = BlendSettings(of={"click": {"weight": 2.0}})
    targets = {"click": settings}
    (name,) = settings.labels("click", targets)
    assert settings.labels("click", targets)[name].column == "click"
    blend = settings.build("click", targets)
    assert blend.label({name: torch.tensor([1.0, 0.0])}).tolist() == [2, 0]


def test_settings_that_make_no_gain_are_refused() -> None:
    for of in (
        {},
        {"click": 0},
        {"click": -1},
        {"click": {"weight": 1, "at_least": 3, "per": 1, "cap": 2}},
        {"click": {"weight": 1, "per": 1}},
        {"click": {"weight": 1, "cap": 1}},
        {"click": {"at_least": 1}},
        {"click": {"weight": 1, "at_least": 0}},
    ):
        with pytest.raises(ValidationError):
            BlendSettings.model_validate({"of": of})
    for more in (
        {"column": "click"},
        {"given": "click"},
        {"negatives": "none"},
        {"combine": "min"},
    ):
        with pytest.raises(ValidationError):
            BlendSettings.model_validate({"of": {"click": 1}, **more})


def test_a_behaviour_must_fit_its_target() -> None:
    targets = TARGETS | {"other": BlendSettings(of={"click": {"weight": 1.0}})}
    blend = BlendSettings.model_validate(
        {
            "of": {
                "click": {"weight": 1, "at_least": 1},
                "like": 5,
                "play": 3,
                "paid": {"weight": 1, "per": 1, "cap": 5},
                "other": 1,
                "share": 1,
            }
        }
    )
    problems = blend.problems("blend", targets)
    assert [problem.split(":")[0] for problem in problems] == [
        "targets.blend.of.click",
        "targets.blend.of.play",
        "targets.blend.of.other",
    ]
    assert "0 or 1" in problems[0]
    assert "at_least" in problems[1]
    assert "blend" in problems[2]

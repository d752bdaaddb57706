"""What durations and amounts have in common: the factor, the limit, and how a head is named."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from trimtab.config.doctor import examine
from trimtab.config.load import parse
from trimtab.errors import DataError, SettingsError
from trimtab.targets import DurationSettings, Given, Quantity, heads
from trimtab.targets.quantity import mean_ratio


def alone(rows: int) -> Given:
    return Given(steps=(), happened=torch.ones(rows))


def build(head: Any, **settings: Any) -> Quantity:
    target = DurationSettings.model_validate({"head": head} | settings).build("y", {})
    assert isinstance(target, Quantity)
    return target


def durations(rows: int) -> Tensor:
    drawn = (torch.randn(rows) + 2).exp()
    return torch.where(torch.arange(rows) % 10 == 0, 0.0, drawn)


@pytest.mark.parametrize("head", list(heads))
def test_smearing_makes_the_mean_prediction_the_mean_label(head: str) -> None:
    y, target = durations(1000), build(head)
    labels = {"y": torch.where(torch.arange(1000) % 4 == 0, torch.nan, y)}
    seen = ~labels["y"].isnan()
    z = target.learn(y) + torch.randn(1000, target.width) * 0.7
    before = target.predict(z, alone(1000))[seen].mean()
    target.finish(z, labels, alone(1000))
    after = target.predict(z, alone(1000))[seen].mean()
    assert after.item() == pytest.approx(y[seen].mean().item(), rel=1e-5)
    assert after.item() != pytest.approx(before.item(), rel=1e-3)


@pytest.mark.parametrize("head", list(heads))
def test_smearing_twice_is_smearing_once(head: str) -> None:
    y, target = durations(100), build(head)
    z = target.learn(y) + torch.randn(100, target.width)
    target.finish(z, {"y": y}, alone(100))
    once = target.smearing.clone()
    target.finish(z, {"y": y}, alone(100))
    assert torch.equal(target.smearing, once)


def test_smearing_behind_a_step_uses_the_rows_where_it_happened() -> None:
    y, target = durations(400), build("log_squared")
    happened = (torch.arange(400) % 3 == 0).float()
    z, labels = torch.randn(400, 1), {"y": torch.where(happened == 1, y, 0.0)}
    target.learn(y[happened == 1])
    target.finish(z, labels, Given(steps=(torch.zeros(400),), happened=happened))
    there = target.predict(z, alone(400))[happened == 1]
    assert there.mean().item() == pytest.approx(y[happened == 1].mean().item(), rel=1e-5)


def test_mean_ratio_is_the_area_under_kaplan_and_meiers_estimate() -> None:
    """By hand: ratios 1, 2+, 3, 4 of weight 1: survival 1, 3/4, 3/4, 3/8, then 0."""
    label = torch.tensor([4.0, 1.0, 2.0, 3.0]).double()
    censored = torch.tensor([False, False, True, False])
    area = 1 * 1 + 3 / 4 * 1 + 3 / 4 * 1 + 3 / 8 * 1
    assert mean_ratio(label, torch.ones(4).double(), censored).item() == pytest.approx(area)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
    plain = mean_ratio(label, weights, torch.zeros(4, dtype=torch.bool))
    assert plain.item() == pytest.approx(10 / 10)
    assert mean_ratio(2 * label, weights, torch.zeros(4, dtype=torch.bool)).item() == 2


@pytest.mark.parametrize("head", list(heads))
def test_a_limit_makes_the_mean_that_of_what_was_not_seen(head: str) -> None:
    """Constant predictions: with the limit their mean is the true one, without it too low."""
    lasted = torch.empty(20_000).exponential_() * 30
    limit = torch.empty(20_000).exponential_() * 60
    y = torch.minimum(lasted, limit)
    given, found = alone(20_000), []
    for settings in ({}, {"censored_at": "most"}):
        target = build(head, **settings)
        z = target.learn(y).expand(20_000, -1)
        target.finish(z, {"y": y, "y.limit": limit}, given)
        found.append(target.predict(z, given)[0].item())
    assert found[0] == pytest.approx(y.mean().item(), rel=1e-4)
    assert found[0] < 0.75 * 30
    assert found[1] == pytest.approx(30, rel=0.05)


@pytest.mark.parametrize("head", list(heads))
def test_beyond_its_limit_a_row_says_nothing_of_how_far(head: str) -> None:
    target = build(head, censored_at="most").double()
    z = target.learn(durations(300)).double().expand(3, -1).clone().requires_grad_()
    far, limit = torch.tensor([9.0, 80.0, 1e6]).double(), torch.full((3,), 9.0).double()
    loss = target.loss(z, {"y": far, "y.limit": limit}, alone(3))
    assert loss[0] == loss[1] == loss[2]
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    downhill = target.predict(z - 0.1 * gradient, alone(3))
    assert (downhill >= target.predict(z, alone(3)) - 1e-9).all()


@pytest.mark.parametrize("head", list(heads))
def test_a_missing_limit_and_one_that_is_not_reached_are_none(head: str) -> None:
    y, plain, target = durations(60), build(head), build(head, censored_at="most")
    z = plain.learn(y) + torch.randn(60, plain.width)
    target.load_state_dict(plain.state_dict())
    missing = target.loss(z, {"y": y, "y.limit": torch.full((60,), math.nan)}, alone(60))
    torch.testing.assert_close(missing, target.loss(z, {"y": y, "y.limit": y + 1}, alone(60)))
    if head != "ordinal":  # Its loss is another one where labels may be censored.
        assert torch.equal(missing, plain.loss(z, {"y": y}, alone(60)))


@pytest.mark.parametrize("head", list(heads))
def test_a_limit_of_0_says_nothing(head: str) -> None:
    target = build(head, censored_at="most").double()
    z = (target.learn(durations(300)).double().expand(4, -1) + 0.1).requires_grad_()
    nothing = torch.zeros(4).double()
    loss = target.loss(z, {"y": nothing, "y.limit": nothing}, alone(4))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert loss.isfinite().all()
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_the_limit_is_a_label_of_its_own_that_no_step_fills() -> None:
    settings = DurationSettings.model_validate(
        {"column": "play_ms", "given": "click", "censored_at": "length_ms"}
    )
    label, limit = settings.labels("play", {}).values()
    assert list(settings.labels("play", {})) == ["play", "play.limit"]
    assert (label.column, label.given) == ("play_ms", "click")
    assert (limit.column, limit.given, limit.rule) == ("length_ms", None, "not_negative")
    assert limit.where == "targets.play.censored_at"


@pytest.mark.parametrize("head", list(heads))
def test_labels_all_0_are_predicted_as_0(head: str) -> None:
    target = build(head)
    z = target.learn(torch.zeros(50)).expand(50, -1)
    target.finish(z, {"y": torch.zeros(50)}, alone(50))
    assert target.loss(z, {"y": torch.zeros(50)}, alone(50)).isfinite().all()
    assert target.predict(z, alone(50)).abs().max() < 1e-5


@pytest.mark.parametrize("head", list(heads))
def test_labels_all_alike_are_predicted_as_they_are(head: str) -> None:
    target, y = build(head), torch.full((50,), 7.0)
    z = target.learn(y).expand(50, -1)
    target.finish(z, {"y": y}, alone(50))
    torch.testing.assert_close(target.predict(z, alone(50)), y, rtol=1e-5, atol=1e-5)


RUN = {"features": {"user": "id"}, "targets": {"play": {"kind": "duration"}}}


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("ordnal", "targets.play.head: expected 'd2q', 'log_squared', 'ordinal', 'quantile'"),
        ({"kind": "no"}, "found 'no'."),
        ({"bins": 3}, "or 'zero_inflated'; its kind is missing."),
        ({"kind": "ordinal", "binz": 3}, "targets.play.head.binz: unknown key. Did you mean"),
        ({"kind": "ordinal", "bins": 1}, "targets.play.head.bins: expected a number of 2 or more"),
        (3, "targets.play.head: expected the name of a kind, or a table"),
    ],
)
def test_a_wrong_head_is_told_by_its_place(head: Any, line: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(RUN | {"targets": {"play": {"kind": "duration", "head": head}}})
    assert line in str(error.value)


def test_a_head_is_named_or_written_out() -> None:
    assert build("quantile").width == 32
    assert build({"kind": "quantile", "quantiles": 7}).width == 7


def look(factor: float) -> list[Any]:
    rows = 400
    length = np.arange(rows) % 50 + 10.0
    play = np.minimum(np.arange(rows) * 7919 % 60, length)
    frame = pl.DataFrame({"user": np.arange(rows) % 9, "play": play, "length": length * factor})
    run = RUN | {"targets": {"play": {"kind": "duration", "censored_at": "length"}}}
    return [f for f in examine(parse(run), frame) if f.where == "targets.play.censored_at"]


@pytest.mark.parametrize(("factor", "severity"), [(1, "note"), (1000, "warning"), (0, "warning")])
def test_the_doctor_says_how_many_labels_reach_their_limit(factor: float, severity: str) -> None:
    (found,) = look(factor)
    assert found.severity == severity
    assert "of the training labels reach it" in found.what


def test_a_limit_that_is_no_column_is_told() -> None:
    with pytest.raises(DataError, match="targets.play.censored_at.column: the data has no column"):
        examine(
            parse(RUN | {"targets": {"play": {"kind": "duration", "censored_at": "no"}}}),
            pl.DataFrame({"user": range(50), "play": range(50)}),
        )

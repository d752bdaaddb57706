"""What every kind of target owes, checked for each one that is registered."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from trimtab.targets import Given, Target, TargetSettings, heads, targets

ROWS = 24
MORE: dict[str, dict[str, Any]] = {"blend": {"of": {"it_happened": 2.0}}}
"""What a kind needs written that has no default."""
FEW = {"ordinal": {"bins": 5}, "quantile": {"quantiles": 5}}
HEADS = [{"kind": head, **FEW.get(head, {})} for head in heads]
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in targets),
    *(("duration", {"head": head}) for head in HEADS),
    *(("amount", {"head": head, "censored_at": "most"}) for head in HEADS),
    ("duration", {"head": {"kind": "ordinal", "bins": 4, "restoration": 0.5, "stretch": 0}}),
    ("duration", {"head": {"kind": "d2q", "by": "length", "groups": 3, "points": 5}}),
    ("duration", {"head": {"kind": "d2q", "loss": "squared"}, "censored_at": "most"}),
    ("number", {"loss": "huber"}),
]
"""Kinds, and what is written beside them."""


def values(rule: str, rows: int) -> Tensor:
    draws = {
        "zero_one": lambda: (torch.arange(rows) % 2).double(),
        "finite": lambda: torch.randn(rows, dtype=torch.float64) * 3 + 1,
        "not_negative": lambda: torch.randn(rows, dtype=torch.float64).exp() * 20,
    }
    return draws[rule]()


class Case:
    """A target that has learnt, labels that it may get, and the steps before it."""

    def __init__(self, kind: str, options: Mapping[str, Any], steps: int) -> None:
        given = {"given": "before"} if steps else {}
        written = {**given, **MORE.get(kind, {}), **options}
        self.settings: TargetSettings = targets[kind].model_validate(written)
        columns = self.settings.labels("it", {})
        self.target: Target = self.settings.build("it", {})
        self.labels = {name: values(label.rule, ROWS) for name, label in columns.items()}
        self.by = torch.randn(ROWS, dtype=torch.float64) if self.target.by else None
        self.bias = self.learn(self.target.label(self.labels))
        happened = torch.ones(ROWS, dtype=torch.float64)
        self.given = Given(
            steps=tuple(torch.randn(ROWS, dtype=torch.float64) for _ in range(steps)),
            happened=happened,
            by=self.by,
        )

    def learn(self, label: Tensor) -> Tensor:
        by = None if self.by is None else self.by[: len(label)].float()
        return self.target.learn(label.float(), by)

    def loss(self, logit: Tensor, labels: Mapping[str, Tensor] | None = None) -> Tensor:
        return self.target.loss(logit, self.labels if labels is None else labels, self.given)

    def needed(self) -> list[str]:
        """Return the labels without which a row is not observed: all but a limit."""
        return [name for name in self.labels if not name.endswith(".limit")]

    def logits(self, size: float = 2.0) -> Tensor:
        drawn = torch.randn(ROWS, self.target.width, dtype=torch.float64) * size
        return drawn.requires_grad_()


def steps_of(kind: str, options: Mapping[str, Any]) -> list[int]:
    """Return how many earlier steps are worth trying: not any for a kind that refuses them."""
    if options:
        return [1]
    try:
        targets[kind](given="before", **MORE.get(kind, {}))
    except ValidationError:
        return [0]
    return [0, 1, 2]


@pytest.fixture(params=[(*one, steps) for one in OPTIONS for steps in steps_of(*one)], ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def only(given: Given, rows: slice) -> Given:
    return Given(
        steps=tuple(s[rows] for s in given.steps),
        happened=given.happened[rows],
        by=None if given.by is None else given.by[rows],
    )


def test_says_what_it_is(case: Case) -> None:
    assert case.target.kind == case.settings.kind
    assert case.target.measure in ("probability", "quantity", "gain")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_is_finite_and_not_negative(case: Case, dtype: torch.dtype) -> None:
    case.target.to(dtype)
    labels = {name: label.to(dtype) for name, label in case.labels.items()}
    given = Given(
        steps=tuple(step.to(dtype) for step in case.given.steps),
        happened=case.given.happened.to(dtype),
        by=None if case.by is None else case.by.to(dtype),
    )
    for logit in torch.linspace(-40, 40, 33, dtype=dtype):
        loss = case.target.loss(logit.expand(ROWS, case.target.width), labels, given)
        assert loss.shape == (ROWS,)
        assert loss.dtype == dtype
        assert loss.isfinite().all()
        assert (loss >= -1e-6).all()  # A sum of probabilities may round to just above 1.


def test_gradient_is_that_of_finite_differences(case: Case) -> None:
    case.target.double()
    assert torch.autograd.gradcheck(case.loss, (case.logits(),), eps=1e-6, atol=1e-6)


def test_confident_mistakes_keep_a_gradient(case: Case) -> None:
    for size in (-80.0, -40.0, 40.0, 80.0):
        logit = torch.full((ROWS, case.target.width), size, requires_grad=True)
        loss = case.loss(logit)
        (gradient,) = torch.autograd.grad(loss.sum(), logit)
        mistaken = loss > 10
        assert (gradient.abs().sum(1)[mistaken] > 1e-3).all()
        assert gradient.isfinite().all()


def test_a_missing_label_adds_exactly_nothing(case: Case) -> None:
    missing = torch.arange(ROWS) % 3 == 0
    for name in case.needed():
        labels = dict(case.labels)
        labels[name] = torch.where(missing, torch.nan, labels[name])
        for size in (1.0, 40.0):
            logit = case.logits(size)
            loss = case.loss(logit, labels)
            (gradient,) = torch.autograd.grad(loss.sum(), logit)
            assert (loss[missing] == 0).all()
            assert (gradient[missing] == 0).all()
            assert torch.equal(loss[~missing], case.loss(logit)[~missing])
            assert gradient.isfinite().all()
        assert torch.equal(case.target.label(labels).isnan(), missing)


def test_none_observed(case: Case) -> None:
    logit = case.logits()
    labels = {name: torch.full_like(label, torch.nan) for name, label in case.labels.items()}
    loss = case.loss(logit, labels)
    (gradient,) = torch.autograd.grad(loss.sum(), logit)
    assert torch.equal(loss, torch.zeros_like(loss))
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_rows_do_not_see_each_other(case: Case) -> None:
    logit = case.logits()
    whole = case.loss(logit)
    for i in range(ROWS):
        row = slice(i, i + 1)
        labels = {name: label[row] for name, label in case.labels.items()}
        given = only(case.given, row)
        torch.testing.assert_close(case.target.loss(logit[row], labels, given), whole[row])
        torch.testing.assert_close(
            case.target.predict(logit[row], given), case.target.predict(logit, case.given)[row]
        )


def test_no_rows(case: Case) -> None:
    none = slice(0, 0)
    labels = {name: label[none] for name, label in case.labels.items()}
    given, logit = only(case.given, none), case.logits()[none]
    assert case.target.loss(logit, labels, given).shape == (0,)
    assert case.target.predict(logit, given).shape == (0,)


def test_prediction_is_one_finite_number_a_row(case: Case) -> None:
    for size in (-40.0, 0.0, 40.0):
        prediction = case.target.predict(
            torch.full((ROWS, case.target.width), size, dtype=torch.float64), case.given
        )
        assert prediction.shape == (ROWS,)
        assert prediction.isfinite().all()


def test_prediction_of_a_probability_lies_between_0_and_1(case: Case) -> None:
    if case.target.measure == "probability":
        prediction = case.target.predict(case.logits(20), case.given)
        assert ((prediction >= 0) & (prediction <= 1)).all()


def test_start_is_the_best_constant_or_finite(case: Case) -> None:
    assert case.bias.shape == (case.target.width,)
    assert case.bias.isfinite().all()


@pytest.mark.parametrize("rows", [0, 1])
def test_start_is_finite_with_hardly_any_label(case: Case, rows: int) -> None:
    bias = case.learn(case.target.label(case.labels)[:rows])
    assert bias.shape == (case.target.width,)
    assert bias.isfinite().all()
    assert all(value.isfinite().all() for value in case.target.state_dict().values())
    loss = case.loss(bias.expand(ROWS, -1).double())
    assert loss.isfinite().all()


def test_labels_all_alike_give_a_start_that_fits_them(case: Case) -> None:
    alike = case.target.label(case.labels)[1:2].float().expand(ROWS)
    bias = case.learn(alike)
    labels = {name: label[1:2].float().expand(ROWS) for name, label in case.labels.items()}
    alone = Given(steps=(), happened=torch.ones(ROWS), by=case.given.by)
    loss = case.target.loss(bias.expand(ROWS, -1), labels, alone)
    assert loss.isfinite().all()
    assert (loss < 100).all()
    assert (case.loss(case.logits(1.0)) < 1e8).all()  # A scale of 0 would blow up other labels.


def test_what_it_learnt_is_saved(case: Case) -> None:
    logit = case.logits().detach()
    case.target.finish(logit, case.labels, case.given)
    again = case.settings.build("it", {})
    again.load_state_dict(case.target.state_dict())
    assert torch.equal(again.predict(logit, case.given), case.target.predict(logit, case.given))
    assert torch.equal(
        again.loss(logit, case.labels, case.given),
        case.target.loss(logit, case.labels, case.given),
    )


def test_finish_with_no_rows_changes_nothing(case: Case) -> None:
    before = {name: value.clone() for name, value in case.target.state_dict().items()}
    labels = {name: torch.full_like(label, torch.nan) for name, label in case.labels.items()}
    case.target.finish(case.logits().detach(), labels, case.given)
    after = case.target.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_is_a_step_or_says_that_it_is_none(case: Case) -> None:
    logit = case.logits()
    if case.target.measure == "probability":
        assert case.target.log_odds(logit).shape == (ROWS,)
    else:
        with pytest.raises(NotImplementedError):
            case.target.log_odds(logit)

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from trimtab.batch import Batch
from trimtab.features.encoder import FeatureEncoder, IdFeature
from trimtab.layers import initialise
from trimtab.model import RankingModel
from trimtab.own import OwnPath
from trimtab.targets import targets as kinds
from trimtab.towers import Tower
from trimtab.trunks import SharedBottom

NUMBERS = 5


def build(
    targets: Mapping[str, Mapping[str, Any]],
    towers: Mapping[str, Sequence[str]],
    *,
    staged: bool = False,
    first_order: bool = False,
    own_width: int = 0,
    norm: str = "none",
) -> RankingModel:
    """Build a model of float64, so that rounding hides nothing."""
    settings = {name: kinds[one["kind"]].model_validate(one) for name, one in targets.items()}
    built = {name: one.build(name, settings) for name, one in settings.items()}
    trunk = SharedBottom(NUMBERS + 4, ["all"], widths=[8, 6], activation="tanh")
    model = RankingModel(
        FeatureEncoder(
            [IdFeature(name="user", table="user")],
            [],
            tables={"user": 10},
            numbers=[0] * NUMBERS,
            targets=list(targets),
            width=4,
            own_width=own_width,
            first_order=first_order,
            deviation=0.3,
            dropout=0.0,
        ),
        trunk,
        {
            scene: Tower(
                trunk.out_width,
                dict.fromkeys(inside, "all"),
                {name: built[name].width for name in inside},
                widths=[7],
                activation="tanh",
                norm=norm,  # type: ignore[arg-type]
            )
            for scene, inside in towers.items()
        },
        built,
        staged=staged,
        given={name: one.given for name, one in settings.items() if one.given},
        own={n: OwnPath(6, own_width, [5], one.width) for n, one in built.items() if own_width},
    )
    initialise(model, 0)
    return model.double()


def batch(scene: Sequence[int], **labels: Tensor) -> Batch:
    rows = len(scene)
    return Batch(
        ids=torch.randint(0, 10, (rows, 1), dtype=torch.int32),
        lists={},
        numbers=torch.randn(rows, NUMBERS, dtype=torch.float64),
        scene=torch.tensor(scene, dtype=torch.int64),
        labels=labels,
        weights={},
    )


def only(data: Batch, rows: Sequence[int]) -> Batch:
    index = torch.tensor(rows, dtype=torch.int64)
    return data.apply(lambda tensor: tensor[index])


def zero_one(rows: int) -> Tensor:
    return (torch.arange(rows) % 2).double()


BOTH = {"click": {"kind": "binary"}, "play": {"kind": "number", "scale": "none"}}
SCENES = {"cover": ["click", "play"], "stream": ["click", "play"], "other": ["click", "play"]}
MIXED = [2, 0, 1, 1, 0, 2, 0, 1, 0]


def gradients(model: RankingModel, loss: Tensor) -> dict[str, Tensor | None]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def touched(found: Mapping[str, Tensor | None], part: str) -> bool:
    """Say whether any parameter whose name starts with ``part`` got a gradient but zeros."""
    inside = [g for name, g in found.items() if name.startswith(part)]
    assert inside, part
    return any(g is not None and bool((g.to_dense() != 0).any()) for g in inside)


def test_without_scenes_there_is_one_tower() -> None:
    model, data = build(BOTH, {"all": ["click", "play"]}), batch([0] * 6)
    logits = model(data)
    x = model.trunk(model.features(data))
    expected = model.towers["all"](x)
    assert list(logits) == ["click", "play"]
    assert all(torch.equal(logits[name], expected[name]) for name in logits)
    assert all(logit.shape == (6, 1) for logit in logits.values())


@pytest.mark.parametrize("first_order", [False, True])
def test_rows_of_several_scenes_are_merged_in_their_order(first_order: bool) -> None:
    model, data = build(BOTH, SCENES, first_order=first_order), batch(MIXED)
    logits = model(data)
    names = list(SCENES)
    for i, scene in enumerate(MIXED):
        row = only(data, [i])
        inputs = model.features(row)
        alone = model.towers[names[scene]](model.trunk(inputs))
        for target, logit in logits.items():
            expected = alone[target] + inputs.first_order.get(target, 0.0)
            torch.testing.assert_close(logit[i : i + 1], expected)


def test_order_of_the_batch_does_not_matter() -> None:
    model, data = build(BOTH, SCENES), batch(MIXED)
    shuffled = torch.randperm(len(MIXED)).tolist()
    whole, other = model(data), model(only(data, shuffled))
    for name in whole:
        torch.testing.assert_close(other[name], whole[name][shuffled])


def test_a_tower_runs_on_its_own_rows_alone() -> None:
    model, seen = build(BOTH, SCENES), {}
    for name, tower in model.towers.items():
        tower.register_forward_pre_hook(
            lambda _, args, name=name: seen.__setitem__(name, len(args[0]["all"]))  # type: ignore[misc]
        )
    model(batch(MIXED))
    assert seen == {"cover": 4, "stream": 3, "other": 2}
    seen.clear()
    model(batch([1, 1, 1]))
    assert seen == {"stream": 3}


@pytest.mark.parametrize("first_order", [False, True])
def test_a_row_trains_only_its_scenes_tower(first_order: bool) -> None:
    model = build(BOTH, SCENES, first_order=first_order)
    y = zero_one(len(MIXED))
    data = batch(MIXED, click=y, play=y)
    losses = model.losses(data, model(data))
    total = losses["click"] + losses["play"]
    stream = torch.tensor(MIXED) == 1
    found = gradients(model, total[stream].sum())
    assert touched(found, "towers.stream")
    assert touched(found, "trunk")
    assert touched(found, "features.tables")
    assert not touched(found, "towers.cover")
    assert not touched(found, "towers.other")

    data = only(data, [2, 3, 7])  # No other scene's rows are there at all.
    losses = model.losses(data, model(data))
    found = gradients(model, (losses["click"] + losses["play"]).sum())
    assert all(g is None for name, g in found.items() if name.startswith("towers.cover"))
    assert all(g is not None for name, g in found.items() if name.startswith("towers.stream"))


LIMITED = {"cover": ["click"], "stream": ["click", "play"], "other": ["click"]}


@pytest.mark.parametrize("first_order", [False, True])
def test_a_target_lives_only_in_its_scenes(first_order: bool) -> None:
    model = build(BOTH, LIMITED, first_order=first_order)
    y = zero_one(len(MIXED))
    data = batch(MIXED, click=y, play=y + 3)
    here = torch.tensor(MIXED) == 1
    logits = model(data)
    losses, observed = model.losses(data, logits), model.observed(data)
    assert torch.equal(model.has("play", data), here)
    assert model.has("click", data).all()
    assert torch.equal(observed["play"], here)
    assert observed["click"].all()
    assert (losses["play"][~here] == 0).all()
    assert (losses["play"][here] > 0).all()
    found = gradients(model, losses["play"].sum())
    assert touched(found, "towers.stream")
    assert not touched(found, "towers.cover")
    assert not touched(found, "towers.other")
    # Rows of other scenes do not train the target's tables either.
    rows = {int(i) for i in data.ids[here, 0]}
    table = found["features.tables.weight"]
    assert table is not None
    trained = (table.to_dense() != 0).any(1).nonzero().view(-1).tolist()
    assert set(trained) <= rows


def test_a_batch_without_a_row_of_the_targets_scene() -> None:
    model = build(BOTH, LIMITED)
    data = batch([0, 0, 2], click=zero_one(3), play=torch.ones(3, dtype=torch.float64))
    logits = model(data)
    losses = model.losses(data, logits)
    assert logits["play"].shape == (3, 1)
    assert logits["play"].dtype == torch.float64
    assert torch.equal(losses["play"], torch.zeros(3, dtype=torch.float64))
    assert not model.observed(data)["play"].any()
    found = gradients(model, losses["play"].sum() + losses["click"].sum())
    assert touched(found, "towers.cover")
    assert not touched(found, "towers.stream")


def test_labels_of_scenes_without_the_target_teach_nothing() -> None:
    """Smearing is learnt where the target is, though other rows have the label too."""
    targets = {"click": {"kind": "binary"}, "play": {"kind": "duration"}}
    model = build(targets, LIMITED)
    play = torch.tensor([1e4, 1e4, 5.0, 7.0, 1e4, 1e4, 1e4, 9.0, 1e4], dtype=torch.float64)
    data = batch(MIXED, click=zero_one(9), play=play)
    here = torch.tensor(MIXED) == 1
    model.targets["play"].learn(play[here].float())
    model.finish(data, model(data))
    predicted = model.predict(data, model(data))["play"][here]
    assert predicted.mean().item() == pytest.approx(7.0, rel=1e-5)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_batch_of_one(norm: str) -> None:
    model = build(BOTH, SCENES, norm=norm)
    y = torch.ones(1, dtype=torch.float64)
    data = batch([1], click=y, play=y)
    logits = model(data)
    assert all(logit.shape == (1, 1) for logit in logits.values())
    found = gradients(model, sum(model.losses(data, logits).values(), torch.zeros(1)).sum())
    assert touched(found, "towers.stream")


@pytest.mark.parametrize("towers", [SCENES, {"all": ["click", "play"]}], ids=["scenes", "one"])
def test_a_batch_of_no_rows(towers: Mapping[str, Sequence[str]]) -> None:
    model, none = build(BOTH, towers, first_order=True).eval(), torch.zeros(0, dtype=torch.float64)
    data = batch([], click=none, play=none)
    logits = model(data)
    assert all(logit.shape == (0, 1) for logit in logits.values())
    assert all(loss.shape == (0,) for loss in model.losses(data, logits).values())
    assert all(p.shape == (0,) for p in model.predict(data, logits).values())


def test_first_order_is_added_to_the_targets_own_logit() -> None:
    model, data = build(BOTH, SCENES, first_order=True), batch(MIXED)
    before = model(data)
    table = model.features.tables
    click = 4  # The shared block is 4 wide; then come click's weight and play's.
    table.weight.data[3, click] += 10
    after = model(data)
    hit = data.ids[:, :1] == 3
    torch.testing.assert_close(after["click"], before["click"] + 10 * hit)
    assert torch.equal(after["play"], before["play"])


def test_a_targets_own_path_is_added_to_its_logit_in_every_scene() -> None:
    with_it, without = build(BOTH, SCENES, own_width=3), build(BOTH, SCENES)
    data = batch(MIXED)
    inputs = with_it.features(data)
    h = with_it.trunk(inputs)["all"]
    for name, logit in with_it(data).items():
        path = with_it.own[name]
        x = torch.cat([h, inputs.own[name].flatten(1)], 1)
        term = path.head(path.hidden(x))
        torch.testing.assert_close(logit, without(data)[name] + term)
        assert (term != 0).any()


def test_a_targets_own_path_is_trained_by_that_target_alone() -> None:
    model, y = build(BOTH, SCENES, own_width=3), zero_one(len(MIXED))
    data = batch(MIXED, click=y, play=y)
    found = gradients(model, model.losses(data, model(data))["play"].sum())
    assert touched(found, "own.play")
    assert not touched(found, "own.click")
    table = found["features.tables.weight"]
    assert table is not None
    shared, click, play = table.to_dense().split([4, 3, 3], 1)
    assert shared.any()
    assert play.any()
    assert not click.any()


@pytest.mark.parametrize("own_width", [0, 3])
def test_a_target_in_no_tower_at_all(own_width: int) -> None:
    """Its one scene had no training rows, so that there is no tower for it."""
    y = zero_one(4)
    model = build(BOTH, {"cover": ["click"], "stream": ["click"]}, own_width=own_width)
    data = batch([0, 1, 1, 0], click=y, play=y)
    logits = model(data)
    losses = model.losses(data, logits)
    assert torch.equal(losses["play"], torch.zeros(4, dtype=torch.float64))
    assert not model.has("play", data).any()
    found = gradients(model, sum(losses.values(), torch.zeros(1)).sum())
    assert touched(found, "towers.cover")
    assert model.predict(data, logits)["play"].shape == (4,)


FUNNEL = {
    "stop": {"kind": "binary"},
    "click": {"kind": "binary", "given": "stop"},
    "play": {"kind": "number", "scale": "none", "given": "click"},
    "like": {"kind": "binary", "given": "click", "positive_weight": 3},
}
STAGES = {"discover": ["stop", "click"], "playback": ["play", "like"]}


def funnel_batch(rows: int = 12) -> Batch:
    stop = (torch.arange(rows) % 3 != 0).double()
    click = stop * zero_one(rows)
    like = click * (torch.arange(rows) % 5 == 1)
    play = torch.where(click == 1, torch.randn(rows, dtype=torch.float64), torch.nan)
    return batch([0] * rows, stop=stop, click=click, play=play, like=like)


def test_a_row_passes_through_every_stage() -> None:
    model, data = build(FUNNEL, STAGES, staged=True), funnel_batch()
    x, logits = model.trunk(model.features(data)), model(data)
    for tower, names in (("discover", ["stop", "click"]), ("playback", ["play", "like"])):
        own = model.towers[tower](x)
        assert list(own) == names
        for name in names:
            assert torch.equal(logits[name], own[name])
    assert all(model.has(name, data).all() for name in FUNNEL)


def test_predictions_of_a_funnel_across_towers() -> None:
    model, data = build(FUNNEL, STAGES, staged=True), funnel_batch()
    logits = model(data)
    out = model.predict(data, logits)
    stop, click = logits["stop"][:, 0].sigmoid(), logits["click"][:, 0].sigmoid()
    like = (logits["like"][:, 0] - torch.tensor(3.0, dtype=torch.float64).log()).sigmoid()
    expected = {
        "stop": stop,
        "click": stop * click,
        "click_given_stop": click,
        "play": stop * click * logits["play"][:, 0],
        "play_given_click": logits["play"][:, 0],
        "like": stop * click * like,
        "like_given_click": like,
    }
    means = [name for name in out if not name.endswith("_typical")]
    assert means == list(expected)
    assert set(out) - set(means) == {"play_typical", "play_given_click_typical"}
    for name, value in expected.items():
        torch.testing.assert_close(out[name], value)


def test_losses_of_a_funnel_across_towers() -> None:
    model, data = build(FUNNEL, STAGES, staged=True), funnel_batch()
    logits = model(data)
    losses, out, y = model.losses(data, logits), model.predict(data, logits), data.labels
    for name in ("stop", "click"):
        p = out[name]
        expected = -(y[name] * p.log() + (1 - y[name]) * (1 - p).log())
        torch.testing.assert_close(losses[name], expected)
    q = 3 * out["like"] / (3 * out["like"] + 1 - out["like"])
    expected = -(3 * y["like"] * q.log() + (1 - y["like"]) * (1 - q).log())
    torch.testing.assert_close(losses["like"], expected)
    squared = (logits["play"][:, 0] - y["play"]).square()
    expected = torch.where(y["click"] == 1, squared, 0.0)
    torch.testing.assert_close(losses["play"], expected)
    assert torch.equal(model.observed(data)["play"], y["click"] == 1)
    assert model.observed(data)["like"].all()


def test_a_later_step_trains_the_towers_before_it() -> None:
    """ESMM: the like is learnt over all impressions, through P(click) in another tower."""
    model, data = build(FUNNEL, STAGES, staged=True), funnel_batch()
    found = gradients(model, model.losses(data, model(data))["like"].sum())
    assert touched(found, "towers.playback.heads.like")
    assert touched(found, "towers.discover.heads.stop")
    assert touched(found, "towers.discover.heads.click")
    assert not touched(found, "towers.playback.heads.play")
    found = gradients(model, model.losses(data, model(data))["play"].sum())
    assert touched(found, "towers.playback.heads.play")
    assert not touched(found, "towers.discover")


def test_a_stage_that_no_row_reached() -> None:
    model, data = build(FUNNEL, STAGES, staged=True), funnel_batch()
    y = dict(data.labels)
    y["click"] = y["like"] = torch.zeros(12, dtype=torch.float64)
    y["play"] = torch.full((12,), torch.nan, dtype=torch.float64)
    data = batch([0] * 12, **y)
    logits = model(data)
    losses = model.losses(data, logits)
    assert torch.equal(losses["play"], torch.zeros(12, dtype=torch.float64))
    assert (losses["like"] > 0).all()
    found = gradients(model, sum(losses.values(), torch.zeros(1)).sum())
    assert not touched(found, "towers.playback.heads.play")
    assert all(g is None or bool(g.to_dense().isfinite().all()) for g in found.values())


def test_given_within_the_scenes_of_a_column() -> None:
    targets = {"click": {"kind": "binary"}, "like": {"kind": "binary", "given": "click"}}
    towers = {"cover": ["click", "like"], "stream": ["click"]}
    model = build(targets, towers)
    data = batch([0, 1, 0, 1], click=zero_one(4), like=zero_one(4))
    out = model.predict(data, model(data))
    torch.testing.assert_close(
        out["like"][[0, 2]], (out["click"] * out["like_given_click"])[[0, 2]]
    )
    losses = model.losses(data, model(data))
    assert (losses["like"][[1, 3]] == 0).all()
    assert (losses["like"][[0, 2]] > 0).all()


def test_targets_in_several_tasks_have_hidden_layers_of_their_own() -> None:
    tower = Tower(6, {"a": "one", "b": "two", "c": "one"}, {"a": 1, "b": 1, "c": 2}, widths=[7, 5])
    x = {"one": torch.randn(4, 6), "two": torch.randn(4, 6)}
    out = tower(x)
    assert {name: tuple(logit.shape) for name, logit in out.items()} == {
        "a": (4, 1),
        "b": (4, 1),
        "c": (4, 2),
    }
    for name, task in (("a", "one"), ("b", "two"), ("c", "one")):
        slow = tower.heads[name](tower.hidden[task](x[task]))
        torch.testing.assert_close(out[name], slow)
    assert set(tower.hidden) == {"one", "two"}


def test_a_tower_without_hidden_layers_or_targets() -> None:
    x = {"all": torch.randn(4, 6)}
    tower = Tower(6, {"a": "all"}, {"a": 1}, widths=[])
    assert torch.equal(tower(x)["a"], tower.heads["a"](x["all"]))
    assert Tower(6, {}, {}, widths=[7])(x) == {}


def test_saved_and_loaded_it_predicts_the_same() -> None:
    targets = FUNNEL | {"dwell": {"kind": "duration"}}
    stages = {"discover": ["stop", "click", "dwell"], "playback": ["play", "like"]}
    model, again = (build(targets, stages, staged=True, first_order=True) for _ in range(2))
    model.targets["dwell"].learn(torch.rand(50) * 40)
    for parameter in model.parameters():
        parameter.data += 0.1
    again.load_state_dict(model.state_dict())
    data = batch([0] * 5)
    expected = model.predict(data, model(data))
    out = again.predict(data, again(data))
    assert all(torch.equal(out[name], value) for name, value in expected.items())


def test_losses_computed_together_are_those_of_each_target() -> None:
    kinds_of = {
        "click": {"kind": "binary"},
        "play": {"kind": "number", "scale": "none"},
        "like": {"kind": "binary", "positive_weight": 3.0},
        "share": {"kind": "binary"},
        "buy": {"kind": "binary", "given": "click"},
    }
    towers = {"cover": ["click", "share"], "stream": list(kinds_of), "other": ["play", "like"]}
    model = build(kinds_of, towers)
    assert model.together == [["click", "share"]]
    y = {name: zero_one(len(MIXED)) for name in kinds_of}
    y["share"][::3] = torch.nan
    data = batch(MIXED, **y)
    logits = model(data)
    found = model.losses(data, logits)
    assert list(found) == list(kinds_of)
    for name, target in model.targets.items():
        given = model._given(name, data, logits, data.labels)
        slow = target.loss(logits[name], data.labels, given)
        slow = torch.where(model.has(name, data), slow, 0.0)
        assert torch.equal(found[name], slow)
        for ours, theirs in zip(
            torch.autograd.grad(
                found[name].sum(),
                list(logits.values()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            ),
            torch.autograd.grad(
                slow.sum(),
                list(logits.values()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            ),
            strict=True,
        ):
            assert torch.equal(ours, theirs)

"""Checks of the targets: how often they happen, where, when, and in which order."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from trimtab.config.examined import Examined
from trimtab.config.findings import Finding, listed, percent, place, short, verb
from trimtab.data.labels import read_labels

FEW = 100
"""Positives of the training rows under which a target is hardly learnt."""
SHIFT = (0.67, 1.5)
"""Ratio of the valid to the training mean outside which days differ."""
ORPHANS = (0.01, 0.1)
"""Shares of a target's positives without their step: a warning, and a problem."""
UNKNOWN = 0.01
"""Share of the rows with a step, without the label of what follows, from which that is biased."""
STEP, LIFT = 0.99, 1.1
"""A target whose positives come with another's this often, and that much more than all rows."""
LOOSE, RARER = 0.7, 0.5
"""Share from which a rarer target seems to follow another without being bound to it, and its
frequency at most, in that of the other."""
EXPECTED = 5
"""Positives that a scene would have at the overall rate, from which having none is no chance."""
MOST_POSITIVES = 0.9
"""Share of rows with some behaviour from which a blend has hardly a negative; and of labels that
reach their limit, from which hardly one is known."""
GENTLE = 10.0
"""Largest weight in the loss that is suggested."""

Values = NDArray[np.float32]


def check_targets(examined: Examined) -> Iterator[Finding]:
    """Yield what is found of the targets."""
    for name, label in examined.labels.items():
        if not label.where.endswith(".censored_at"):
            yield from _label(examined, name)
    yield from _limits(examined)
    yield from _given(examined)
    yield from _unknown(examined)
    yield from _steps(examined)
    yield from _blends(examined)
    yield from _weights(examined)


def _label(examined: Examined, name: str) -> Iterator[Finding]:
    """Say how often a behaviour happens, in all and by scene, and whether that can be learnt."""
    where = examined.labels[name].where
    train, valid = _in_scenes(examined, name)
    seen, held_out = train[~np.isnan(train)], valid[~np.isnan(valid)]
    if not len(seen) or seen.min() == seen.max():
        found = f"only {short(float(seen[0]))}" if len(seen) else "no value"
        yield Finding(
            severity="problem",
            where=where,
            what=f"Its {len(train):,} training rows hold {found}, so there is nothing to learn.",
            advice="Check its column.",
        )
        return
    binary = name in examined.binary
    yield _rate(examined, name, (seen, held_out), missing=1 - len(seen) / len(train))
    if binary and seen.sum() < FEW:
        yield Finding(
            severity="warning",
            where=where,
            what=f"It happens on {int(seen.sum())} training rows only, too few to learn much from.",
            advice="Take more days, or join it with a behaviour like it.",
        )
    yield from _shift(where, seen, held_out)
    if binary:
        yield from _barren(examined, name)


def _in_scenes(examined: Examined, name: str) -> tuple[Values, Values]:
    """Return the label on training and valid rows, of the scenes that have its target."""
    train, valid = examined.train_labels[name], examined.valid_labels[name]
    if examined.scenes.staged:
        return train, valid
    kept = [examined.scenes.names.index(scene) for scene in _scenes_of(examined, name)]
    return train[np.isin(examined.train_scenes, kept)], valid[np.isin(examined.valid_scenes, kept)]


def _scenes_of(examined: Examined, name: str) -> list[str]:
    target = examined.labels[name].where.split(".")[1]
    wanted = examined.settings.scenes_of(target)
    return [scene for scene in examined.scenes.names if scene in wanted]


def _rate(
    examined: Examined, name: str, sides: tuple[Values, Values], *, missing: float
) -> Finding:
    seen, held_out = sides
    write: Callable[[float], str]
    if name in examined.binary:
        text = f"{percent(seen.mean())} of {len(seen):,} training rows"
        write = percent
    else:
        zeros = float((seen == 0).mean())
        text = f"Mean {short(float(seen.mean()))}, median {short(float(np.median(seen)))}"
        text += f", {percent(zeros)} zeros" if zeros else ""
        write = short
    parts = [
        f"{scene} {write(label.mean())}" for scene, label in _by_scene(examined, name) if len(label)
    ]
    text += f"; by scene {listed(parts)}" if len(parts) > 1 else ""
    text += f"; {write(held_out.mean())} on valid rows" if len(held_out) else "; none on valid rows"
    text += f"; {percent(missing)} not known" if missing else ""
    return Finding(severity="note", where=examined.labels[name].where, what=f"{text}.")


def _by_scene(examined: Examined, name: str) -> Iterator[tuple[str, Values]]:
    """Yield the known training labels of each scene."""
    if examined.scenes.staged:
        return
    label, index = examined.train_labels[name], examined.train_scenes
    for scene in _scenes_of(examined, name):
        inside = label[index == examined.scenes.names.index(scene)]
        yield scene, inside[~np.isnan(inside)]


def _barren(examined: Examined, name: str) -> Iterator[Finding]:
    scenes = list(_by_scene(examined, name))
    barren = {scene: len(label) for scene, label in scenes if len(label) and not label.any()}
    if barren:
        rate = np.concatenate([label for _, label in scenes]).mean()
        shown = [f"{scene} ({rows:,} rows)" for scene, rows in barren.items()]
        surely = max(barren.values()) * rate > EXPECTED
        yield Finding(
            severity="warning" if surely else "note",
            where=examined.labels[name].where,
            what=f"It never happens in {listed(shown)}.",
            advice="Limit it to scenes where it can happen: scene = [...]." if surely else "",
        )


def _shift(where: str, train: Values, valid: Values) -> Iterator[Finding]:
    """Compare means, where the difference is more than the chance of so few rows."""
    if not len(valid) or not train.mean() > 0:
        return
    ratio = float(valid.mean() / train.mean())
    chance = np.sqrt(train.var() / len(train) + train.var() / len(valid))
    if SHIFT[0] <= ratio <= SHIFT[1] or abs(valid.mean() - train.mean()) < 4 * chance:
        return
    yield Finding(
        severity="warning",
        where=where,
        what=f"Its mean on valid rows is {ratio:.2f} times that on training rows.",
        advice="Find out what changed between them before trusting either.",
    )


def _limits(examined: Examined) -> Iterator[Finding]:
    """Say how many labels are known only to reach their limit."""
    for name, label in examined.settings.labels().items():
        if not label.where.endswith(".censored_at"):
            continue
        target, limit = label.where.split(".")[1], read_labels(examined.train, {name: label})[name]
        seen = examined.train_labels[target]
        share = float((seen >= limit).sum() / max((~np.isnan(seen)).sum(), 1))
        yield Finding(
            severity="note" if 0 < share < MOST_POSITIVES else "warning",
            where=label.where,
            what=f"{percent(share)} of the training labels reach it: known to be at least that.",
            advice="" if 0 < share < MOST_POSITIVES else "Check that both have the same unit.",
        )


def _given(examined: Examined) -> Iterator[Finding]:
    """Count what happened without the step that it is said to need."""
    for name, label in examined.labels.items():
        if label.given is None:
            continue
        happened = examined.both(name) > 0
        orphans = int((happened & (examined.both(label.given) == 0)).sum())
        if not orphans:
            continue
        share = orphans / int(happened.sum())
        some, many = ORPHANS
        yield Finding(
            severity="problem" if share >= many else "warning" if share >= some else "note",
            where=f"{label.where}.given",
            what=(
                f"{percent(share)} of the rows with {name} ({orphans:,}) have no {label.given}, "
                "without which it is said not to happen."
            ),
            advice=f'Leave out given = "{label.given}".' if share >= some else "",
        )


def _unknown(examined: Examined) -> Iterator[Finding]:
    """Count steps that happened where what follows is not known, while elsewhere it counts as 0."""
    for name, label in examined.labels.items():
        if label.given is None:
            continue
        happened = examined.train_labels[label.given] == 1
        missing = int(np.isnan(examined.train_labels[name][happened]).sum())
        share = missing / max(int(happened.sum()), 1)
        if share < UNKNOWN:
            continue
        yield Finding(
            severity="warning",
            where=f"{label.where}.given",
            what=(
                f"On {percent(share)} of the training rows with {label.given} ({missing:,}) {name} "
                f"is not known, while on all rows without {label.given} it counts as 0."
            ),
            advice=(
                f"Drop rows whose {name} cannot be known, with {label.given} or without, else it "
                "is predicted too low; for outcomes that are still to come, set its window."
            ),
        )


def _steps(examined: Examined) -> Iterator[Finding]:
    """Find targets that nearly always, or mostly, come with a more frequent one."""
    loose: dict[str, list[str]] = {}
    for name, parents in _candidates(examined).items():
        sure = [p for p, share in parents.items() if share > STEP]
        if sure:
            rates = {p: np.nanmean(examined.both(p)) for p in sure}
            parent = min(rates, key=rates.__getitem__)
            yield Finding(
                severity="note",
                where=f"targets.{name}",
                what=f"{percent(parents[parent])} of its positives come with {parent}.",
                advice=f'given = "{parent}" may help: it learns {name} after {parent} on all rows.',
            )
            continue
        for parent, share in parents.items():
            if share >= LOOSE:
                loose.setdefault(parent, []).append(f"{name} {percent(1 - share)}")
    for parent, children in loose.items():
        yield Finding(
            severity="note",
            where=place("targets", [child.split()[0] for child in children]),
            what=f"Share of positives that come without {parent}: {listed(children)}.",
            advice=f'Leave {verb(children, "it", "them")} without given = "{parent}".',
        )


def _candidates(examined: Examined) -> dict[str, dict[str, float]]:
    """Return target to possible steps, each with the share of its positives that come with it."""
    settings, staged = examined.settings, examined.scenes.staged
    binary = [name for name in settings.targets if name in examined.binary]
    found: dict[str, dict[str, float]] = {}
    for child in binary:
        happened = examined.both(child) == 1
        if settings.targets[child].given is not None:
            continue
        for parent in binary:
            inside = set(settings.scenes_of(child)) <= set(settings.scenes_of(parent))
            if parent == child or child in settings.ancestors(parent) or not (inside or staged):
                continue
            step = examined.both(parent)
            known = ~np.isnan(step)
            if (happened & known).sum() < FEW:
                continue
            rate = float(step[known].mean())
            share = float(step[happened & known].mean())
            rarer = happened[known].mean() <= (RARER if share <= STEP else STEP) * rate
            if rarer and share >= LIFT * rate:
                found.setdefault(child, {})[parent] = share
    return found


def _blends(examined: Examined) -> Iterator[Finding]:
    """Say how many rows a blend counts as positive, and with what gain."""
    settings = examined.settings
    labels = {name: torch.from_numpy(values) for name, values in examined.train_labels.items()}
    for name, target in settings.targets.items():
        built = target.build(name, settings.targets)
        if built.measure != "gain":
            continue
        gain = built.label(labels).numpy()
        gain = gain[~np.isnan(gain)]
        positive = gain[gain > 0]
        if not len(positive):
            continue
        share = len(positive) / len(gain)
        middle, high = np.quantile(positive, [0.5, 0.99])
        many = share > MOST_POSITIVES
        yield Finding(
            severity="warning" if many else "note",
            where=f"targets.{name}",
            what=(
                f"{percent(share)} of the training rows have some behaviour of it; their gain is "
                f"{short(positive.mean())} on average, {short(middle)} at the median, "
                f"{short(high)} at the 99th percentile and {short(positive.max())} at most."
            ),
            advice="Few negatives are left: raise at_least, or leave a behaviour out."
            if many
            else "",
        )


def _weights(examined: Examined) -> Iterator[Finding]:
    """Suggest weights from how rare each behaviour is."""
    rates = {n: float(np.nanmean(y)) for n, y in _known(examined).items()}
    rates = {name: rate for name, rate in rates.items() if rate > 0}
    if len(rates) < 2:
        return
    ratio = {name: max(rates.values()) / rate for name, rate in rates.items()}
    even = [f"{name} = {_two_digits(value)}" for name, value in ratio.items()]
    gentle = [f"{n} = {_two_digits(min(GENTLE, value**0.5))}" for n, value in ratio.items()]
    yield Finding(
        severity="note",
        where="targets",
        what=f"Weights at which each behaviour counts the same in total: {listed(even, 30)}.",
        advice=(
            "Start steering or a blend from them; in the loss, where rare targets learn badly, "
            f"start from their roots: {listed(gentle, 30)}."
        ),
    )


def _known(examined: Examined) -> Mapping[str, Values]:
    """Return the binary labels of the training rows that have any."""
    labels = {name: examined.train_labels[name] for name in examined.binary}
    return {name: values for name, values in labels.items() if not np.isnan(values).all()}


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"

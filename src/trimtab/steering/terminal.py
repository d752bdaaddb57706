"""What ``trimtab steer`` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_SHOWN = 12
"""Points of a front that are printed, of all that are found."""
_NAMES = {"utility_within_user": "in user"}


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print an effect, a front, or an answer with its effect."""
    if "points" in found:
        _show_front(found, console)
    else:
        if "answer" in found:
            _show_answer(found["answer"], console)
        _show_effect(found, console)
    if found["saved"]:
        console.print(f"\nSaved: {found['saved']} is the current profile now.", markup=False)
    else:
        console.print("\nNothing is saved; --save NAME makes it the current profile.")
    if found.get("page"):
        console.print(f"{found['page']} shows it, with a slider a target.", markup=False)


def show_regret(found: Mapping[str, Any], console: Console) -> None:
    """Print what steering lost, or won, against retraining for each weighting."""
    ones = found["weightings"]
    console.print("Shares of the mean gain, and C on the valid rows, which no model here has seen:")
    console.print(_regret_table(ones))
    console.print(
        f"\n{_mean_regret(found)}: C of the retrained model less that of the steered one; below 0, "
        "steering is better."
    )
    seconds = found["retrained_seconds"]
    if "reweighted" in found:
        others = [one["reweighted"] for one in ones]
        console.print("\nAgainst the run's own model retrained with the shares as loss weights:")
        console.print(_regret_table([one | one["reweighted"] for one in ones]))
        console.print(f"\n{_mean_regret(found['reweighted'])}.")
        seconds += sum(one["seconds"] for one in others)
    console.print(
        f"One training, {found['steered_seconds']:.0f} s, steered to {len(ones)} weightings; "
        f"retraining took {seconds:.0f} s."
    )
    if found["seeds"] == 1:
        console.print("One training of each: another seed may change C by a few thousandths.")


def _regret_table(ones: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold")
    for heading in (*ones[0]["shares"], "steered", "retrained", "regret", "95 % interval"):
        table.add_column(heading, justify="right")
    for one in ones:
        low, high = one["interval"]
        lost = low is not None and low > 0
        table.add_row(
            *(f"{share:.2f}" for share in one["shares"].values()),
            f"{one['steered']:.4f}",
            f"{one['retrained']:.4f}",
            f"{one['regret']:+.4f}",
            f"{low:+.4f} to {high:+.4f}" if low is not None else "-",
            style="red" if lost else "",
        )
    return table


def _mean_regret(found: Mapping[str, Any]) -> str:
    return f"Mean regret {found['mean_regret']:+.4f}, largest {found['max_regret']:+.4f}"


def _show_effect(found: Mapping[str, Any], console: Console) -> None:
    against = found["against"] is not None
    console.print(f"[bold]{words(found['formula'])}[/]", soft_wrap=True)
    if against:
        before = f"against {found['against_profile']}: {words(found['against'])}"
        console.print(before, markup=False, soft_wrap=True)
    console.print(f"{found['rows']:,} rows of {found['lists']:,} lists")
    console.print(effect_table(found, found["k"], against=against))
    for name, scene in found["scenes"].items():
        console.print(f"\nscene {name}: {scene['rows']:,} rows of {scene['lists']:,} lists")
        console.print(effect_table(scene, found["k"], against=against, brief=True))
    if found["fused"]:
        console.print("\nThe fused gain is what happened, by the weights above.")
    if against:
        console.print(
            "\nGreen rises and red falls beyond chance (95 % intervals over users, each by itself)."
        )


def effect_table(found: Mapping[str, Any], k: int, *, against: bool, brief: bool = False) -> Table:
    """Return every target's metrics and their changes, in 80 columns.

    Parameters
    ----------
    brief
        The first metric of each target alone.
    """
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("target", overflow="fold", max_width=16)
    table.add_column("metric", no_wrap=True)
    change = ("before", "after", "change") if against else ("value",)
    for heading in (*change, "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    fused = {"fused gain": found["fused"]} if found["fused"] else {}
    for target, metrics in {**found["targets"], **fused}.items():
        named = [(name, one) for name, one in metrics.items() if name != "rows"]
        for i, (name, one) in enumerate(named[:1] if brief else named):
            shown = f"ndcg@{k}" if name == "ndcg" else _NAMES.get(name, name)
            cells, style = (_change if against else _value)(one)
            table.add_row("" if i else target, shown, *cells, style=style)
    return table


def _value(one: Mapping[str, Any]) -> tuple[list[str], str]:
    low, high = one["interval"]
    return [_number(one["value"]), f"{_number(low)} to {_number(high)}"], ""


def _change(one: Mapping[str, Any]) -> tuple[list[str], str]:
    low, high = one["difference_interval"]
    style = "" if low is None else "green" if low > 0 else "red" if high < 0 else ""
    values = [_number(one["against"]), _number(one["value"]), _signed(one["difference"])]
    return [*values, f"{_signed(low)} to {_signed(high)}"], style


def _show_answer(answer: Mapping[str, Any], console: Console) -> None:
    """Say what was asked for and what was found."""
    most, metric = answer["maximise"], answer["metric"]
    kept = ", ".join(f"{name} at {_number(one['bound'])}" for name, one in answer["keep"].items())
    console.print(
        f"Most {most['target']} by {metric}" + (f", keeping {kept}" if kept else "") + ": "
        f"{_number(most['now'])} now, {_number(most['value'])} found.",
        markup=False,
    )
    for name, one in answer["keep"].items():
        console.print(f"  {name}: {_number(one['now'])} now, {_number(one['value'])} found")
    if not answer["met"]:
        console.print("[red]No weighting was found that keeps all of this.[/] The nearest:")
    console.print()


def _show_front(found: Mapping[str, Any], console: Console) -> None:
    targets = found["targets"]
    names = ", ".join(targets)
    console.print(f"Front of {names} by {found['metric']}, of {found['trials']:,} weightings tried")
    if found["hypervolume"] is not None:
        console.print(f"Hypervolume {found['hypervolume']:.4f}, of 1 for an ideal order")
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("")
    for name in targets:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("weights", overflow="fold")
    for i in _some(len(found["points"]), found["knee"]):
        point = found["points"][i]
        knee = i == found["knee"]
        values = [_number(value) for value in point["values"].values()]
        weights = words(point["formula"])
        table.add_row("knee" if knee else "", *values, weights, style="bold" if knee else "")
    console.print(table)
    if found["unwanted"]:
        console.print(f"\nOf {', '.join(found['unwanted'])} less is better: weighed below 0 now.")
    console.print(
        "\nThe knee is the point nearest to the best of every target at once, each measured from "
        "its worst on the front to its best."
    )


def _some(count: int, knee: int) -> list[int]:
    """Return points evenly apart, the ends and the knee among them."""
    step = max(1.0, (count - 1) / (_SHOWN - 1))
    even = {min(count - 1, round(i * step)) for i in range(_SHOWN)}
    return sorted(even | {knee})


def words(formula: Mapping[str, Any]) -> str:
    """Return a formula in a line: weights as ``--weights`` takes them, where it can be so put."""
    if formula["kind"] != "additive":
        return formula.get("text") or f"the formula {formula['kind']}"
    parts = [_weight("", *item) for item in formula["weights"].items()]
    for scene, weights in formula["scenes"].items():
        parts += [_weight(f"{scene}.", *item) for item in weights.items()]
    return ",".join(parts)


def _weight(scene: str, key: str, weight: Mapping[str, Any]) -> str:
    unit = f"/{weight['per']}" if weight["per"] else ""
    cap = f" (at most {weight['cap']:g})" if weight["cap"] else ""
    return f"{scene}{key}{unit}={weight['weight']:.4g}{cap}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"

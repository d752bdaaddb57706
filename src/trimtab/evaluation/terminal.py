"""What ``trimtab evaluate`` and ``trimtab compare`` print."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from trimtab.evaluation.measures import MEASURES


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print every target over all rows, then by scene where there are several."""
    console = Console()
    console.print(f"{metrics['rows']:,} rows")
    console.print(targets_table(metrics))
    for name, scene in metrics["scenes"].items() if len(metrics["scenes"]) > 1 else ():
        console.print(f"\nscene {name}: {scene['rows']:,} rows")
        console.print(targets_table(scene))


def targets_table(metrics: Mapping[str, Any]) -> Table:
    """Return each target's ranking metric with its interval, for a terminal."""
    table = Table(box=None, header_style="bold")
    for heading in ("target", "metric", "value", "95 % interval", "rows", "pcoc"):
        table.add_column(heading, justify="left" if heading in ("target", "metric") else "right")
    for name, target in metrics["targets"].items():
        key = next(m.ranking for m in MEASURES.values() if f"{m.ranking}_interval" in target)
        low, high = target[f"{key}_interval"]
        table.add_row(
            name,
            key,
            _number(target[key]),
            f"{_number(low)} to {_number(high)}",
            f"{target['rows']:,}",
            _number(target.get("pcoc")),
        )
    return table


def differences_table(found: Mapping[str, Any]) -> Table:
    """Return the paired differences of two runs, for a terminal; those beyond chance are bold."""
    table = Table(box=None, header_style="bold")
    for heading in ("target", "metric", "first", "second", "difference", "95 % interval"):
        table.add_column(heading, justify="left" if heading in ("target", "metric") else "right")
    for name, metrics in found.items():
        for metric, values in metrics.items():
            low, high = values["interval"]
            sure = low is not None and (low > 0 or high < 0)
            table.add_row(
                name,
                metric,
                _number(values["first"]),
                _number(values["second"]),
                f"{values['difference']:+.4f}" if values["difference"] is not None else "-",
                f"{_number(low)} to {_number(high)}",
                style="bold" if sure else "",
            )
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

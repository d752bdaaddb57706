"""What ``trimtab check`` prints."""

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_findings(findings: list[dict[str, str]]) -> None:
    """Print findings by severity, then how many there are of each."""
    console = Console(highlight=False)
    colours = {"problem": "red", "warning": "yellow", "note": "cyan"}
    counts = []
    for severity, colour in colours.items():
        group = [finding for finding in findings if finding["severity"] == severity]
        heading = f"{severity}s" if len(group) != 1 else severity
        counts.append(f"{len(group)} {heading}")
        if not group:
            continue
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(max_width=26, overflow="fold")
        table.add_column()
        for finding in group:
            text = Text(finding["what"])
            text.append(f" {finding['advice']}", style="bold")
            table.add_row(Text(finding["where"], style=colour), text)
        console.print(Text(heading, style=f"bold {colour}"))
        console.print(table)
        console.print()
    console.print(", ".join(counts))

"""What ``trimtab check`` prints."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLOURS = {"problem": "red", "warning": "yellow", "note": "cyan"}


def print_findings(findings: list[dict[str, str]]) -> None:
    """Print findings by severity, then how many there are of each."""
    console, counts = Console(highlight=False), []
    for severity in _COLOURS:
        found = print_severity(severity, findings, console)
        counts.append(f"{found} {severity if found == 1 else f'{severity}s'}")
    console.print(", ".join(counts))


def print_severity(severity: str, findings: list[dict[str, str]], console: Console) -> int:
    """Print the findings of one severity; return how many there are."""
    group = [finding for finding in findings if finding["severity"] == severity]
    if not group:
        return 0
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(max_width=26, overflow="fold")
    table.add_column()
    for finding in group:
        text = Text(finding["what"])
        text.append(f" {finding['advice']}", style="bold")
        table.add_row(Text(finding["where"], style=_COLOURS[severity]), text)
    heading = severity if len(group) == 1 else f"{severity}s"
    console.print(Text(heading, style=f"bold {_COLOURS[severity]}"))
    console.print(table)
    console.print()
    return len(group)

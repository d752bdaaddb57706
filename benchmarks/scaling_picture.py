"""The picture of ``scaling.py``: cost of a row against table rows and log rows."""

import math
from typing import Any

LINES = {
    "nanoseconds": ("training", "#0b6e99"),
    "traffic_nanoseconds": ("gather and scatter alone", "#c2410c"),
}
TITLES = {"tables": ("table rows", "table_rows"), "logs": ("log rows", "log_rows")}
LEFT, WIDTH, TOP, HEIGHT = 70, 250, 64, 200


def draw(found: dict[str, list[dict[str, Any]]]) -> str:
    """Draw a panel a sweep, both with the same axis of nanoseconds from 0."""
    sweeps = {name: points for name, points in found.items() if points}
    most = 1.15 * max(point["nanoseconds"] for points in sweeps.values() for point in points)
    whole = LEFT + len(sweeps) * (WIDTH + 40)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {TOP + HEIGHT + 56}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{whole}" height="{TOP + HEIGHT + 56}" fill="#ffffff"/>',
        '<text x="16" y="24" font-weight="600" font-size="15">Nanoseconds a training row</text>',
    ]
    for i, (name, colour) in enumerate(LINES.values()):
        parts.append(f'<circle cx="{LEFT + 100 * i}" cy="44" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 100 * i + 10}" y="48">{name}</text>')
    for i, (sweep, points) in enumerate(sweeps.items()):
        parts += panel(points, *TITLES[sweep], left=LEFT + i * (WIDTH + 40), most=most)
    return "\n".join([*parts, "</svg>\n"])


def panel(
    points: list[dict[str, Any]], title: str, size: str, *, left: float, most: float
) -> list[str]:
    bottom = TOP + HEIGHT
    logs = [math.log10(point[size]) for point in points]
    low, span = logs[0], (logs[-1] - logs[0]) or 1.0

    def x(value: float) -> float:
        return left + 10 + (math.log10(value) - low) / span * (WIDTH - 20)

    def y(value: float) -> float:
        return bottom - value / most * HEIGHT

    parts = [f'<path d="M{left} {TOP}V{bottom}H{left + WIDTH}" stroke="#64748b" fill="none"/>']
    tick = 10 ** math.floor(math.log10(most))
    tick = tick if most / tick >= 3 else tick / 2
    for value in (tick * i for i in range(int(most / tick) + 1)):
        at = f'x="{left - 6}" y="{y(value) + 4:.1f}"'
        parts.append(f'<text {at} text-anchor="end" fill="#475569">{value:,.0f}</text>')
    for point in points:
        at = f'x="{x(point[size]):.1f}" y="{bottom + 18}"'
        parts.append(f'<text {at} text-anchor="middle" fill="#475569">{short(point[size])}</text>')
    parts.append(
        f'<text x="{left + WIDTH / 2}" y="{bottom + 40}" text-anchor="middle">{title}</text>'
    )
    for key, (_, colour) in LINES.items():
        dots = [(x(point[size]), y(point[key])) for point in points]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in dots)
        parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in dots]
    return parts


def short(rows: float) -> str:
    """Return 300k or 10M."""
    return f"{rows / 1e6:g}M" if rows >= 1e6 else f"{rows / 1e3:g}k"

"""The picture of ``steering_truth.py``: a dot a weighting, and the mean of each model."""

from typing import Any

import numpy as np

from trimtab.evaluation.charts import Axis

COLOURS = {"steered": "#0b6e99", "blend": "#c2410c", "reweighted": "#4d7c0f"}
NAMES = {
    "steered": "steered, trained once",
    "blend": "blend, retrained each time",
    "reweighted": "multi-target, retrained with loss weights",
}
LEFT, WIDTH, GAP, STEP, TOP = 130, 290, 60, 24, 84
PANELS = {
    "to_truth": "Regret to the true optimum",
    "against": "Regret of steering to retraining",
}


def draw(entries: list[dict[str, Any]]) -> str:
    """Draw a panel for the regret to the truth, and one for that of steering to retraining."""
    correlations = list(dict.fromkeys(entry["correlation"] for entry in entries))
    bottom = TOP + len(correlations) * (len(COLOURS) * STEP + 12)
    whole, height = LEFT + 2 * WIDTH + GAP + 30, bottom + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}" font-family='
        '"system-ui, sans-serif" font-size="13">',
        f'<rect width="{whole}" height="{height}" fill="#ffffff"/>',
    ]
    at = 16
    for name, colour in COLOURS.items():
        parts.append(f'<circle cx="{at + 5}" cy="22" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{at + 16}" y="26">{NAMES[name]}</text>')
        at += 40 + 7 * len(NAMES[name])
    for i, correlation in enumerate(correlations):
        y = TOP + i * (len(COLOURS) * STEP + 12) + len(COLOURS) * STEP / 2 + 4
        label = f"correlation {correlation:g}"
        parts.append(f'<text x="{LEFT - 12}" y="{y:.1f}" text-anchor="end">{label}</text>')
    for i, what in enumerate(PANELS):
        parts += panel(entries, what, correlations, left=LEFT + i * (WIDTH + GAP), bottom=bottom)
    parts.append(
        f'<text x="{LEFT + WIDTH + GAP + WIDTH / 2}" y="{bottom + 40}" text-anchor="middle" '
        'fill="#475569" font-size="12">below 0, steering wins</text>'
    )
    return "\n".join([*parts, "</svg>\n"])


def panel(
    entries: list[dict[str, Any]],
    what: str,
    correlations: list[float],
    *,
    left: float,
    bottom: float,
) -> list[str]:
    """Draw every weighting as a small dot, their mean as a bar, one lane a model."""
    values = [one["regret"] for entry in entries for one in entry[what].values()]
    x = Axis.over([0.0, *values], start=left, end=left + WIDTH)
    parts = [
        f'<text x="{left}" y="60" font-weight="600" font-size="14">{PANELS[what]}</text>',
        f'<path d="M{x(0):.1f} {TOP - 8}V{bottom}" stroke="#64748b"/>',
        f'<path d="M{left} {bottom}H{left + WIDTH}" stroke="#cbd5e1"/>',
    ]
    parts += ticks(x, bottom)
    for i, correlation in enumerate(correlations):
        here = [entry[what] for entry in entries if entry["correlation"] == correlation]
        for j, (name, colour) in enumerate(COLOURS.items()):
            y = TOP + i * (len(COLOURS) * STEP + 12) + j * STEP + STEP / 2
            found = [x(one[name]["regret"]) for one in here if name in one]
            parts += [
                f'<circle cx="{at:.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity=".35"/>'
                for at in found
            ]
            if found:
                at = float(np.mean(found))
                parts.append(f'<path d="M{at:.1f} {y - 9}v18" stroke="{colour}" stroke-width="3"/>')
    return parts


def ticks(x: Axis, bottom: float) -> list[str]:
    """Write the numbers under an axis."""
    return [
        f'<text x="{x(tick):.1f}" y="{bottom + 20}" text-anchor="middle" fill="#475569" '
        f'font-size="12">{label}</text>'
        for tick, label in zip(x.ticks, x.labels(), strict=True)
    ]

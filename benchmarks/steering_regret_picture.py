"""The picture of ``steering_regret.py``: a line a weighting, its shares and what steering loses."""

from typing import Any

from steering_truth_picture import ticks

from trimtab.evaluation.charts import Axis

COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7c3aed")
PANELS = {
    "blend": "Regret to the better blend, retrained",
    "reweighted": "Regret to loss weights, retrained",
}
BAR, LEFT, WIDTH, GAP, STEP, TOP = 150, 210, 290, 50, 19, 92


def draw(entries: list[dict[str, Any]]) -> str:
    """Draw shares as a bar, and a panel for each kind of retraining: regret and its interval."""
    targets = list(entries[0]["shares"])
    ordered = sorted(entries, key=lambda one: [-one["shares"][name] for name in targets])
    bottom = TOP + len(ordered) * STEP
    whole, height = LEFT + 2 * WIDTH + GAP + 30, bottom + 56
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}" font-family='
        '"system-ui, sans-serif" font-size="13">',
        f'<rect width="{whole}" height="{height}" fill="#ffffff"/>',
        '<text x="20" y="60" font-weight="600" font-size="14">Shares</text>',
    ]
    at = 20.0
    for name, colour in zip(targets, COLOURS, strict=True):
        parts.append(f'<rect x="{at}" y="17" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{at + 16}" y="26">{name}</text>')
        at += 42 + 7 * len(name)
    for i, entry in enumerate(ordered):
        parts += shares(list(entry["shares"].values()), y=TOP + i * STEP)
    for i, (kind, title) in enumerate(PANELS.items()):
        left = LEFT + i * (WIDTH + GAP)
        parts += panel([one[kind] for one in ordered], title, left=left, bottom=bottom)
    parts.append(
        f'<text x="{LEFT}" y="{bottom + 44}" fill="#475569" font-size="12">'
        "below 0, steering wins; 95 % over users; the broad line is the mean</text>"
    )
    return "\n".join([*parts, "</svg>\n"])


def shares(values: list[float], *, y: float) -> list[str]:
    """Draw a weighting's shares end to end."""
    parts, at = [], 20.0
    for share, colour in zip(values, COLOURS, strict=True):
        width = share / sum(values) * BAR
        parts.append(
            f'<rect x="{at:.1f}" y="{y + 3}" width="{width:.1f}" height="{STEP - 6}" '
            f'fill="{colour}"/>'
        )
        at += width
    return parts


def panel(found: list[dict[str, Any]], title: str, *, left: float, bottom: float) -> list[str]:
    """Draw each regret as a dot on its interval."""
    x = Axis.over(
        [0.0, *(end for one in found for end in one["interval"])], start=left, end=left + WIDTH
    )
    mean = x(sum(one["regret"] for one in found) / len(found))
    parts = [
        f'<text x="{left}" y="60" font-weight="600" font-size="14">{title}</text>',
        f'<path d="M{x(0):.1f} {TOP - 8}V{bottom}" stroke="#64748b"/>',
        f'<path d="M{mean:.1f} {TOP - 8}V{bottom}" stroke="#0b6e99" stroke-width="4" '
        'stroke-opacity=".25"/>',
        f'<path d="M{left} {bottom}H{left + WIDTH}" stroke="#cbd5e1"/>',
    ]
    parts += ticks(x, bottom)
    for i, one in enumerate(found):
        y = TOP + i * STEP + STEP / 2
        low, high = (x(end) for end in one["interval"])
        parts.append(f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="#0b6e99" stroke-width="1.5"/>')
        parts.append(f'<circle cx="{x(one["regret"]):.1f}" cy="{y}" r="4" fill="#0b6e99"/>')
    return parts

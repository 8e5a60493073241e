"""A picture of a few curves over time, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, GAP = 860, 150, 70, 46  # of one panel, in pixels
COLOURS = ("#1b6ca8", "#c2571a", "#3d7a3d")
Curve = Sequence[tuple[float, float]]  # minutes, value


def svg(title: str, panels: Mapping[str, Mapping[str, Curve]]) -> str:
    """Draw panels below each other: `{"resident MiB": {"daemon": [(0.5, 71.2), …]}}`; each begins at zero."""
    last = max((x for curves in panels.values() for curve in curves.values() for x, _ in curve), default=1.0) or 1.0
    height = len(panels) * (HEIGHT + GAP) + 60
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + LEFT + 30}" height="{height}" font-size="12">',
        "<style>text { font-family: sans-serif }</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for number, (name, curves) in enumerate(panels.items()):
        lines += _panel(50 + number * (HEIGHT + GAP), name, curves, last)
    return "\n".join([*lines, "</svg>", ""])


def _panel(top: float, name: str, curves: Mapping[str, Curve], last: float) -> list[str]:
    most = max((y for curve in curves.values() for _, y in curve), default=1.0) * 1.1 or 1.0
    bottom = top + HEIGHT
    lines = [
        f'<text x="{LEFT}" y="{top - 6}">{escape(name)}</text>',
        f'<path d="M{LEFT} {top}V{bottom}H{LEFT + WIDTH}" fill="none" stroke="#555"/>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * HEIGHT
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{most * share:.3g}</text>')
        lines.append(f'<path d="M{LEFT} {y:.0f}H{LEFT + WIDTH}" stroke="#ddd"/>')
        x = LEFT + share * WIDTH
        lines.append(f'<text x="{x:.0f}" y="{bottom + 15}" text-anchor="middle">{last * share:.3g} min</text>')
    for number, (label, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{LEFT + x / last * WIDTH:.1f},{bottom - y / most * HEIGHT:.1f}" for x, y in curve)
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        x = LEFT + WIDTH - 160 * (len(curves) - number) + 60
        lines.append(f'<text x="{x}" y="{top - 6}" fill="{colour}">{escape(label)}</text>')
    return lines

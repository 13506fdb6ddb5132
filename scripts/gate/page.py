"""One gate run as a page of HTML that needs nothing else: the table, and intervals as a picture."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from gate.report import HEAD, rows, summary

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2em .8em; text-align: left; border-bottom: 1px solid #ddd }
td:nth-child(3) { text-align: right }
.worse { color: #b00020; font-weight: bold } .better { color: #00722b } .noisy { color: #8a5a00 }
svg { width: 100%; min-width: 700px; height: auto } svg text { font: 12px system-ui, sans-serif }
.wide { overflow-x: auto }
"""
_COLOURS = {"worse": "#b00020", "better": "#00722b", "noisy": "#8a5a00", "same": "#30507a"}
_LEFT, _WIDTH, _ROW = 330, 1000, 20


def page(run: dict[str, Any]) -> str:
    """The whole document."""
    title = f"fastbp: {run['base']} against {run['head']}"
    table = "".join(
        f'<tr class="{row[1].rstrip("!")}">' + "".join(f"<td>{escape(x)}</td>" for x in row)
        + "</tr>\n" for row in rows(run)
    )  # fmt: skip
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>
<style>{_STYLE}</style></head>
<body>
<h1>{escape(title)}</h1>
{"".join(f"<p>{escape(line)}</p>" for line in summary(run))}
<h2>Timings</h2>
<p>Head's time as a multiple of base's: the median of all pairs and its 99 % interval. The grey bar
is the interval of the control, the base against itself; dashes mark the factor.</p>
<div class="wide" tabindex="0">{picture(run)}</div>
<h2>All figures</h2>
<div class="wide" tabindex="0"><table>
<thead><tr>{"".join(f"<th>{escape(x)}</th>" for x in HEAD)}</tr></thead>
<tbody>
{table}</tbody></table></div>
<p>{escape(run["machine"])}, {escape(run["date"])}</p>
</body></html>
"""


def picture(run: dict[str, Any]) -> str:
    """The intervals as inline SVG, on a logarithmic axis that is symmetric about no change."""
    timed = {n: b for n, b in run["benchmarks"].items() if b["kind"] == "timing"}
    if not timed:
        return "<p>No timings.</p>"
    bounds = [abs(math.log(b[k])) for b in timed.values() for k in _ENDS]
    reach = 1.1 * max(*bounds, math.log(run["factor"]))

    def x(ratio: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 20) * (math.log(ratio) / reach + 1) / 2

    height = _ROW * (len(timed) + 2)
    factor = run["factor"]
    # The outer labels stand outside of their lines: a wide control brings the lines together.
    parts = [
        f'<line x1="{x(r):.1f}" x2="{x(r):.1f}" y1="{_ROW}" y2="{height}" stroke="#999" {dash}/>'
        f'<text x="{x(r) + away:.1f}" y="14" text-anchor="{anchor}">{r:.3g}</text>'
        for r, dash, anchor, away in (
            (1 / factor, _DASH, "end", 4),
            (1, "", "middle", 0),
            (factor, _DASH, "start", -4),
        )
    ]
    for i, (name, b) in enumerate(timed.items()):
        y, colour = _ROW * (i + 1.7), _COLOURS[b["verdict"]]
        label = escape(_short(name))
        parts.append(
            f"<g><title>{escape(name)}: {b['ratio']:.3f}, {b['low']:.3f} to {b['high']:.3f}</title>"
            f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
            f'<rect x="{x(b["control_low"]):.1f}" y="{y - 6:.1f}" height="12" fill="#ddd" '
            f'width="{x(b["control_high"]) - x(b["control_low"]):.1f}"/>'
            f'<line x1="{x(b["low"]):.1f}" x2="{x(b["high"]):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="3"/>'
            f'<circle cx="{x(b["ratio"]):.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/></g>'
        )
    label = "Ratios of times with their intervals: the figures of the table below"
    opening = f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">'
    return f"{opening}{''.join(parts)}</svg>"


_ENDS = ("low", "high", "control_low", "control_high")
_DASH = 'stroke-dasharray="4 4"'


def _short(name: str) -> str:
    """The end of a benchmark's dotted name, which has the parameters."""
    head, bracket, parameters = name.partition("(")
    return head.rpartition(".")[2] + bracket + parameters

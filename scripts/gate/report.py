"""One gate run as a table for people, as Markdown and as JSON."""

from __future__ import annotations

import math
from typing import Any

ORDER = {"worse": 0, "noisy": 1, "better": 2, "same": 3, "skipped": 4}


def rows(run: dict[str, Any]) -> list[tuple[str, ...]]:
    """Benchmark, verdict, head/base, its interval, the control's; what is worse comes first."""
    found = []
    ordered = sorted(run["benchmarks"].items(), key=lambda item: ORDER[item[1]["verdict"]])
    for name, b in ordered:
        verdict = b["verdict"] + ("!" if name in run["failed"] else "")
        if b["kind"] == "timing":
            figures = (
                f"{b['ratio']:.3f}",
                f"{b['low']:.3f} to {b['high']:.3f}",
                f"{b['control_low']:.3f} to {b['control_high']:.3f}",
            )
        elif b["kind"] == "figure":
            what = f"{b['base']:g} to {b['head']:g} {b['unit']}"
            figures = (f"{b['ratio']:.3f}", what, f"tolerance {b['tolerance']:g}")
        else:
            figures = ("", "", "")
        found.append((name, verdict, *figures))
    return found


HEAD = ("benchmark", "verdict", "head/base", "99 % interval", "control's (A/A)")


def text(run: dict[str, Any]) -> str:
    """The table in columns, and what follows from it."""
    table = [HEAD, *rows(run)]
    widths = [max(len(row[c]) for row in table) for c in range(len(HEAD))]
    lines = ["  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)) for row in table]
    return "\n".join([*(line.rstrip() for line in lines), "", *summary(run)])


def markdown(run: dict[str, Any]) -> str:
    """The table as Markdown, for a comment on a change."""
    lines = [
        f"# {run['base']} against {run['head']}", "", *summary(run), "",
        "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD),
    ]  # fmt: skip
    lines += ["| " + " | ".join(row).replace("*", "\\*") + " |" for row in rows(run)]
    return "\n".join(lines) + "\n"


def summary(run: dict[str, Any]) -> list[str]:
    """What the run says, in sentences."""
    timed = [b for b in run["benchmarks"].values() if b["kind"] == "timing"]
    counts = {v: sum(b["verdict"] == v for b in run["benchmarks"].values()) for v in ORDER}
    lines = [", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n) + "."]
    if timed:
        noise = [max(abs(math.log(b["control_low"])), math.log(b["control_high"])) for b in timed]
        noise.sort()
        lines.append(
            f"The control, the base against itself, stays within {math.expm1(noise[-1]):.1%} "
            f"({math.expm1(noise[len(noise) // 2]):.1%} for half of the benchmarks); a timing is "
            f"worse beyond {run['factor'] - 1:.0%} and beyond its own control."
        )
    if counts["noisy"]:
        lines.append("Where it is noisy, a change of that size would not have been seen.")
    if run["failed"]:
        lines.append("WORSE, and worse again: " + ", ".join(run["failed"]))
    else:
        lines.append("No regression.")
    return lines

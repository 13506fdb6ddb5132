"""What the gate says of what is known: of nothing changed, and of slowdowns put in on purpose."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gate.build import ROOT
from gate.judge import false_alarms

PATCHES = ROOT / "tests" / "project" / "slowdowns"
#: by patch, the benchmark that has to name it
SLOWDOWNS = {
    "redundant_pass": "epoch.Epoch.time_epoch('C', 'float32', 1)",
    "scalar_tanh": "kernels.Activations.time_activation('tanh', 'forward')",
    "allocation": "memory.Held.track_allocations('C')",
    "second_compile": "startup.Compiled.track_compiled_signatures",
    "memory": "memory.Private.track_private_peak('C')",
    "learning_rate": "quality.Learned.track_loss('digits, SGD')",
}
#: those and no others: the gate has to tell which one it is
ONLY = "^(" + "|".join(map(re.escape, SLOWDOWNS.values())) + ")$"


def patch(name: str) -> Path:
    """The file of a slowdown."""
    return PATCHES / f"{name}.patch"


def flagged(run: dict[str, Any], name: str) -> bool:
    """Whether a gate run failed, and named the right benchmark."""
    return SLOWDOWNS[name] in run["failed"]


def log_ratios(runs: Iterable[dict[str, Any]]) -> dict[str, list[float]]:
    """All null log ratios by timing: where base and head are the same, the head's as well."""
    found: dict[str, list[float]] = {}
    for run in runs:
        same = run["commits"]["base"] == run["commits"]["head"]
        for name, b in run["benchmarks"].items():
            if b["kind"] == "timing":
                found.setdefault(name, []).extend(b["log_ratios"] if same else b["control"])
    return found


def null_table(runs: Sequence[dict[str, Any]]) -> str:
    """The spread of every timing with nothing changed, and the false-alarm rate that follows."""
    null, factor = log_ratios(runs), runs[0]["factor"]
    lines = [f"{'benchmark':64} pairs  std. dev.   5 % to 95 %       of a run's median"]
    for name, values in sorted(null.items(), key=lambda item: -np.std(item[1])):
        low, high = np.expm1(np.quantile(values, [0.05, 0.95]))
        medians = [math.log(r["benchmarks"][name]["ratio"]) for r in runs
                   if r["benchmarks"][name]["kind"] == "timing"]  # fmt: skip
        lines.append(
            f"{name:64} {len(values):5} {np.std(values):9.2%} {low:+8.2%} to {high:+.2%}"
            f" {np.std(medians):12.2%}"
        )
    if not null:
        return "no timings"
    pairs = min(b["pairs"] for b in runs[0]["benchmarks"].values() if b["kind"] == "timing")
    rate = false_alarms(null, pairs, factor, 10_000)
    failed = sum(bool(run["failed"]) for run in runs)
    lines += [
        "",
        f"{failed} of {len(runs)} runs of a revision against itself failed.",
        f"False alarms that follow from these spreads: {rate:.2%} of gate runs "
        f"({pairs} pairs, factor {factor}, all of these benchmarks).",
    ]
    return "\n".join(lines)

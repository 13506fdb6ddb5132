"""What the measurements say: medians, shares of the roof, ratios; as a table, JSON and a plot."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import numpy as np

TOLERANCE = 1e-3  # between the peers' losses, relative
WHAT = {
    "mean": "the loss reported for the epoch",
    "after": "the loss after the epoch",
    "moved": "the distance that the weights went",
}
PACKAGES = ("fastbp", "numba", "numpy", "jax", "torch", "scikit-learn")


def machine() -> dict[str, Any]:
    """The CPU and the versions behind the figures."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*:\s*(.*)", cpuinfo.read_text())):
        model = found[1]
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.system(), **versions}


def summarize(measured: dict[str, Any]) -> None:
    """Add each result's figures, all of them medians over the rounds of one case.

    Shares and ratios are taken within each round, so that a slower minute of the machine, which
    slows whatever runs in it, counts in neither.
    """
    roofs = {
        threads: [max(rates) for rates in zip(*candidates.values(), strict=True)]
        for threads, candidates in measured["roof"].items()
    }
    ours = {r["threads"]: r["rates"] for r in measured["results"] if r["peer"] == "fastbp"}
    flops = measured["flops"]
    for r in measured["results"]:
        r["samples_per_second"] = median(r["rates"])
        r["gflops"] = r["samples_per_second"] * flops / 1e9
        r["roof_share"] = median(
            rate * flops / roof for rate, roof in zip(r["rates"], roofs[r["threads"]], strict=True)
        )
        if r["peer"] != "fastbp" and r["threads"] in ours:
            pairs = zip(ours[r["threads"]], r["rates"], strict=True)
            r["ratio"] = median(mine / theirs for mine, theirs in pairs)


def spread(values: Iterable[float]) -> float:
    """The relative difference of the smallest and the largest; NaN if one is."""
    array = np.array(list(values))
    return float(np.ptp(array) / np.min(array))


def disagreements(measured: dict[str, Any]) -> list[str]:
    """Where the results of one epoch in the same order from the same weights are not the same."""
    checks = {
        f"{r['peer']} on {r['threads']}": r["check"] for r in measured["results"] if "check" in r
    }
    if measured["predicting"]:
        # float32's rounding of outputs about 1 after some layers of up to a thousand inputs
        return [
            f"{who}: outputs are {c['distance']:.1e} from NumPy's"
            for who, c in checks.items()
            if not c["distance"] <= TOLERANCE / 10
        ]
    wrong = [f"{who}: the weights did not move" for who, c in checks.items() if not c["moved"] > 0]
    for what in ("mean", "after", "moved"):
        values = {who: c[what] for who, c in checks.items()}
        if values and not spread(values.values()) <= TOLERANCE:
            listed = ", ".join(f"{who} {value:.7g}" for who, value in values.items())
            wrong.append(f"{WHAT[what]} differs: {listed}")
    return wrong


def table(measured: dict[str, Any]) -> str:
    """One case as lines of text."""
    roof = ", ".join(
        f"{candidate} {median(rates) / 1e9:.1f} on {threads}"
        for threads, candidates in measured["roof"].items()
        for candidate, rates in candidates.items()
    )
    lines = [
        f"{measured['name']}: {measured['description']}",
        f"   {measured['flops']:,} flops a sample; roof, GFLOP/s: {roof}",
        "   threads  peer         samples/s   GFLOP/s   of roof   fastbp/peer",
    ]
    for r in measured["results"]:
        ratio = f"{r['ratio']:12.2f}x" if "ratio" in r else " " * 13
        lines.append(
            f"   {r['threads']:7}  {r['peer']:8} {r['samples_per_second']:13,.0f} "
            f"{r['gflops']:9.2f} {100 * r['roof_share']:8.1f}% {ratio}"
        )
    checks = [r["check"] for r in measured["results"] if "check" in r]
    if checks and measured["predicting"]:
        worst = max(c["distance"] for c in checks)
        lines.append(f"   check: the outputs are within {worst:.1e} of NumPy's in float64")
    elif checks:
        worst = max(spread(c[what] for c in checks) for what in WHAT)
        lines.append(
            f"   check, one epoch: loss {checks[0]['before']:.6g} to {checks[0]['after']:.6g}, "
            f"{len(checks)} agree within {worst:.1e}"
        )
    notes = {r["footnote"] for r in measured["results"] if r["footnote"]}
    lines += [f"   note: {note}" for note in sorted(notes)]
    lines += [f"   WRONG: {message}" for message in measured["wrong"]]
    return "\n".join(lines)


def means(cases: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The geometric mean over the cases of fastbp's ratio to each peer and thread count."""
    ratios: dict[str, list[float]] = {}
    for measured in cases:
        for r in measured["results"]:
            if "ratio" in r:
                ratios.setdefault(f"{r['peer']}, {r['threads']} thread(s)", []).append(r["ratio"])
    return {key: geometric_mean(values) for key, values in ratios.items()}


def plot(report: dict[str, Any], path: str) -> None:
    """Bars of the share of the roof, a panel for each thread count."""
    from matplotlib.figure import Figure

    cases = report["cases"]
    results = cases[0]["results"]
    threads = sorted({r["threads"] for r in results})
    peers = list(dict.fromkeys(r["peer"] for r in results))
    figure = Figure(figsize=(1.5 + 1.2 * len(cases), 3.2 * len(threads)), layout="constrained")
    for axes, count in zip(figure.subplots(len(threads), squeeze=False).flat, threads, strict=True):
        for i, peer in enumerate(peers):
            shares = [
                100 * r["roof_share"]
                for measured in cases
                for r in measured["results"]
                if (r["peer"], r["threads"]) == (peer, count)
            ]
            left = [x + (i - (len(peers) - 1) / 2) * 0.8 / len(peers) for x in range(len(cases))]
            axes.bar(left, shares, 0.8 / len(peers), label=peer)
        axes.set_xticks(range(len(cases)), [measured["name"] for measured in cases])
        axes.set_yscale("log")
        axes.set_ylabel("% of the FMA roof")
        axes.set_title(f"{count} thread{'s' * (count > 1)}, {report['machine']['cpu']}")
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=len(peers), fontsize="small")
    figure.savefig(path, dpi=150)

"""One run of the gate: install, measure, measure again what looks worse, report."""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from compare.report import machine

from gate import measure
from gate.build import KEPT, CannotMeasure, alone, commit_of, install
from gate.judge import LEAST_PAIRS, Figure, Timing, confirmed
from gate.page import page
from gate.report import markdown, text

OUTPUT = KEPT.parent / "bench_gate"
_FIRST_SHARE = 0.7  # of the budget; the rest is for measuring again


@dataclass(frozen=True)
class Options:
    """The command line's."""

    base: str
    head: str
    factor: float = 1.05
    only: str = ""
    budget: float = 30.0
    pairs: int = 12
    python: str | None = None
    seed: int | None = None
    out: str = str(OUTPUT)

    def check(self) -> None:
        """Raise CannotMeasure for what can't be measured."""
        if not self.factor > 1:
            raise CannotMeasure(f"--factor must be above 1, got {self.factor}")
        if not self.budget > 0:
            raise CannotMeasure(f"--budget must be above 0 minutes, got {self.budget}")
        if self.pairs < LEAST_PAIRS:
            raise CannotMeasure(f"--pairs must be at least {LEAST_PAIRS}, got {self.pairs}")
        try:
            re.compile(self.only)
        except re.error as error:
            raise CannotMeasure(f"--only {self.only!r}: {error}") from None


def run(options: Options) -> dict[str, Any]:
    """Measure and judge; what `write` takes.

    Raises
    ------
    CannotMeasure
        No verdict is possible.
    """
    options.check()
    commits = {"base": commit_of(options.base), "head": commit_of(options.head)}
    rng = random.Random(options.seed)
    with alone(), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # The control has an environment of its own: two of the same commit can be some per cent
        # apart in what Python itself does, time after time.
        wanted = {**commits, "ctrl": commits["base"]}
        places = [install(commit, place, options.python) for place, commit in wanted.items()]
        revisions = dict(zip(measure.ROLES, places, strict=True))
        found = measure.listed(revisions["head"], folder)
        chosen = [b for b in found if re.search(options.only, b["name"])]
        if not chosen:
            raise CannotMeasure(f"no benchmark matches --only {options.only!r}")
        started = time.monotonic()

        def judged(benchmarks: list[dict[str, Any]], minutes: float) -> dict[str, Any]:
            timed = [b for b in benchmarks if b["type"] == "time"]
            others = [b for b in benchmarks if b["type"] != "time"]
            measured: dict[str, Figure | Timing | None] = {}
            measured |= measure.figures(revisions, others, folder)
            measured |= measure.timings(
                revisions, timed, folder, pairs=options.pairs, until=started + 60 * minutes,
                rng=rng, report=lambda line: print(line, file=sys.stderr, flush=True),
            )  # fmt: skip
            return {name: _figures(b, options.factor) for name, b in measured.items()}

        first = judged(chosen, _FIRST_SHARE * options.budget)
        verdicts = {name: b["verdict"] for name, b in first.items()}
        suspects = [b for b in chosen if verdicts[b["name"]] == "worse"]
        # in fresh processes throughout: also what setup_cache measures is measured again
        folder = folder / "again"
        folder.mkdir()
        again = judged(suspects, options.budget) if suspects else {}
    about = machine()
    return {
        "base": options.base,
        "head": options.head,
        "commits": commits,
        "factor": options.factor,
        "failed": confirmed(verdicts, {name: b["verdict"] for name, b in again.items()}),
        "benchmarks": first,
        "again": again,
        "minutes": (time.monotonic() - started) / 60,
        "machine": f"{about['cpu']}, {about['cores']} cores, {revisions['base'].environment}",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _figures(measured: Figure | Timing | None, factor: float) -> dict[str, Any]:
    if measured is None:
        return {"kind": "skipped", "verdict": "skipped"}
    return measured.figures(factor) if isinstance(measured, Timing) else measured.figures()


def write(result: dict[str, Any], out: str) -> str:
    """Write NAME.json, .md and .html; the table for the terminal."""
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    for ending, content in (
        ("json", json.dumps(result, indent=1)),
        ("md", markdown(result)),
        ("html", page(result)),
    ):
        Path(f"{out}.{ending}").write_text(content, encoding="utf-8")
    return f"{text(result)}\n\nwritten: {out}.json, .md and .html"

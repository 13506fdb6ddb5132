"""Pairs of fresh processes, one of each revision and one more of the base as control.

The processes of a pair are alive at the same time and take turns of some 5 ms, one at work and the
others asleep, in orders that are balanced and shuffled. What counts of each is its shortest call:
other processes' turns, interrupts and throttling only ever make one longer. A process keeps its
layout of memory, which alone can make some per cent, so that pairs are the unit of the statistics.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from gate.build import FOLDER, ROOT, CannotMeasure, Installed
from gate.judge import LEAST_PAIRS, Figure, Timing

ROLES = ("base", "head", "control")
#: two sets of orders; in each, every role comes first, second and third once
_BALANCED = (
    [ROLES[i:] + ROLES[:i] for i in range(3)],
    [ROLES[::-1][i:] + ROLES[::-1][:i] for i in range(3)],
)
Report = Callable[[str], None]


class Process:
    """A worker in a revision's environment."""

    def __init__(self, revision: Installed, folder: Path) -> None:
        environment = {
            **os.environ,
            **revision.variables,
            "ASV_COMMIT": revision.commit,
            "ASV_CONF_DIR": str(FOLDER),
        }
        # nothing of the checkout's own fastbp may come in
        environment.pop("PYTHONPATH", None)
        environment.pop("FASTBP_BENCH_ALL", None)
        caches = folder / revision.commit
        caches.mkdir(parents=True, exist_ok=True)
        worker = str(ROOT / "scripts" / "gate" / "worker.py")
        self.errors = (caches / "stderr").open("a+")
        self.pipe = subprocess.Popen(
            [revision.python, worker, str(FOLDER / "benchmarks"), str(caches)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, cwd=folder,
            env=environment, text=True,
        )  # fmt: skip

    def ask(self, command: str, *arguments: Any) -> Any:
        """Send a command and wait for its answer.

        Raises
        ------
        CannotMeasure
            The command failed, or the process ended.
        """
        assert self.pipe.stdin is not None
        assert self.pipe.stdout is not None
        with contextlib.suppress(OSError):  # if it has ended, that shows below
            self.pipe.stdin.write(json.dumps([command, arguments]) + "\n")
            self.pipe.stdin.flush()
        line = self.pipe.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            self.errors.seek(0)
            print(self.errors.read()[-2000:], file=sys.stderr)
            raise CannotMeasure(f"{command} {' '.join(map(str, arguments))}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        assert self.pipe.stdin is not None
        assert self.pipe.stdout is not None
        with contextlib.suppress(OSError):  # what was not sent to a process that has ended
            self.pipe.stdin.close()
        try:
            self.pipe.wait(10)
        except subprocess.TimeoutExpired:
            self.pipe.kill()
            self.pipe.wait()
        self.pipe.stdout.close()
        self.errors.close()


def listed(revision: Installed, folder: Path) -> list[dict[str, Any]]:
    """The benchmarks that the gate can judge: timings, and figures that state a tolerance."""
    with closing(Process(revision, folder)) as process:
        found = process.ask("list")
    return [b for b in found if b["type"] == "time" or b["tolerance"] is not None]


def figures(
    revisions: dict[str, Installed], benchmarks: Iterable[dict[str, Any]], folder: Path
) -> dict[str, Figure | None]:
    """Each figure of base and head, in processes of their own; None where one skips it."""
    found: dict[str, Figure | None] = {}
    for b in benchmarks:
        base, head = (value(revisions[role], b["id"], folder) for role in ("base", "head"))
        found[b["name"]] = (
            None
            if base is None or head is None
            else Figure(base, head, b["tolerance"], b["both_ways"], b["unit"])
        )
    return found


def value(revision: Installed, id: str, folder: Path) -> Any:
    """Run a benchmark that is no timing in a new process; return its value, None if it skips."""
    with closing(Process(revision, folder)) as process:
        return process.ask("value") if process.ask("prepare", id) else None


def timings(
    revisions: dict[str, Installed],
    benchmarks: list[dict[str, Any]],
    folder: Path,
    *,
    pairs: int,
    until: float,
    rng: random.Random,
    report: Report,
) -> dict[str, Timing | None]:
    """At most so many pairs, and none that would end after `until`; None where one skips it.

    Raises
    ------
    CannotMeasure
        Fewer pairs than the statistics need would end by then.
    """
    found: dict[str, Timing | None] = {b["name"]: Timing() for b in benchmarks}
    longest = 0.0
    for pair in range(pairs if benchmarks else 0):
        started = time.monotonic()
        if pair and started + max(LEAST_PAIRS - pair, 1) * longest > until:
            if pair >= LEAST_PAIRS:
                break
            raise CannotMeasure(
                f"a pair takes {longest:.0f} s, and {LEAST_PAIRS} are needed: give a larger "
                "--budget, or choose benchmarks with --only"
            )
        for name, seconds in one_pair(revisions, benchmarks, folder, rng).items():
            timing = found[name]
            if seconds is None or timing is None:
                found[name] = None
                continue
            timing.log_ratios.append(math.log(seconds["head"] / seconds["base"]))
            timing.control.append(math.log(seconds["control"] / seconds["base"]))
        longest = max(longest, time.monotonic() - started)
        report(f"pair {pair + 1} of {pairs}: {time.monotonic() - started:.0f} s")
    return found


def one_pair(
    revisions: dict[str, Installed],
    benchmarks: list[dict[str, Any]],
    folder: Path,
    rng: random.Random,
) -> dict[str, dict[str, float] | None]:
    """The shortest seconds by benchmark and role."""
    roles = rng.sample(ROLES, len(ROLES))
    # the order of sets and dictionaries' slots is one more chance: the same within a pair
    seed = {"PYTHONHASHSEED": str(rng.randrange(2**32))}
    revisions = {
        role: replace(revision, variables={**revision.variables, **seed})
        for role, revision in revisions.items()
    }
    shortest: dict[str, dict[str, float] | None] = {}
    with ExitStack() as stack:
        processes = {
            role: stack.enter_context(closing(Process(revisions[role], folder))) for role in roles
        }
        for b in rng.sample(benchmarks, len(benchmarks)):
            ready = [processes[role].ask("prepare", b["id"]) for role in roles]
            if not all(ready):
                shortest[b["name"]] = None
                continue
            seconds = dict.fromkeys(ROLES, math.inf)
            orders = rng.choice(_BALANCED)
            for role in chain.from_iterable(rng.sample(orders, len(orders))):
                seconds[role] = min(seconds[role], processes[role].ask("seconds"))
            for role in roles:
                processes[role].ask("done")
            shortest[b["name"]] = seconds
    return shortest

"""The end of the pipe in a revision's environment: runs benchmarks by asv's own runner when told.

Commands and answers are JSON, one a line. Needs nothing but asv_runner and what benchmarks need.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import sys
import traceback
from itertools import product
from pathlib import Path
from typing import Any

from asv_runner.discovery import disc_benchmarks, get_benchmark_from_name

#: attributes that win over a benchmark's own, as those of `asv run --attribute` do
SLICE = {"repeat": (1, 50, 0.005), "number": 1, "warmup_time": 0.0, "min_run_count": 1, "rounds": 1}


class Session:
    """Benchmarks by name and parameters' index, one of them at work."""

    def __init__(self, folder: str, caches: str) -> None:
        self.folder, self.caches = folder, Path(caches)
        sys.path.insert(0, str(Path(folder).parent))
        self.benchmark: Any = None

    def list(self) -> list[dict[str, Any]]:
        """Every benchmark and combination of parameters, as `asv compare` names them."""
        found = []
        for b in disc_benchmarks(self.folder):
            for index, values in enumerate(product(*b.params)):
                found.append(
                    {
                        "id": f"{b.name}-{index}" if b.params else b.name,
                        "name": f"{b.name}({', '.join(values)})" if values else b.name,
                        "type": b.type,
                        "unit": b.unit,
                        "tolerance": getattr(b, "tolerance", None),
                        "both_ways": getattr(b, "both_ways", False),
                    }
                )
        return found

    def prepare(self, id: str) -> bool:
        """Set a benchmark up and run it once; False if this revision skips it."""
        self.benchmark = get_benchmark_from_name(self.folder, id, dict(SLICE))
        key = self.benchmark.setup_cache_key
        if key is not None:
            path = self.caches / f"{key.replace(':', '-').replace('/', '-')}.pickle"
            if not path.exists():
                path.write_bytes(pickle.dumps(self.benchmark.do_setup_cache()))
            self.benchmark.set_cache(pickle.loads(path.read_bytes()))
        return not self.benchmark.do_setup()

    def seconds(self) -> float:
        """The shortest call in a slice of time."""
        return min(self.benchmark.do_run()["samples"])

    def value(self) -> float | None:
        """Run a benchmark that is no timing, and return its value; None if it skips."""
        value = float(self.benchmark.do_run())
        return None if math.isnan(value) else value

    def done(self) -> None:
        """Let the benchmark go."""
        self.benchmark.do_teardown()
        self.benchmark = None


def serve(folder: str, caches: str) -> None:
    """Answer commands until the driver closes the pipe."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a benchmark prints must not be taken for an answer
    session = Session(folder, caches)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer = {"value": getattr(session, command)(*arguments)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": repr(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])

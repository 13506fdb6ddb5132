"""Start-up, each time in a new process: import, the first fit cold and cached, what is compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

# A small regression by Adam. Processor time: what other processes do in between does not count.
_FIRST_FIT = """
import json, sys, time
started = time.process_time()
import fastbp, numpy as np
imported = time.process_time()
from numba.core import event
with event.install_recorder("numba:run_pass") as passes:
    net = fastbp.Network(4, [fastbp.Dense(8, "tanh"), fastbp.Dense(1)], seed=0)
    trainer = fastbp.Trainer(net, "mse", "adam", n_threads=1, seed=0)
    trainer.fit(np.zeros((64, 4), np.float32), np.zeros(64, np.float32))
fitted = time.process_time()
first = "translate_bytecode"
print(json.dumps({
    "import": imported - started,
    "fit": fitted - imported,
    "compiled": sum(e.is_start and e.data["name"].startswith(first) for _, e in passes.buffer),
}))
"""


def _start(cache: str) -> dict[str, float]:
    environment = {**os.environ, "FASTBP_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_FIT], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def _children() -> float:
    """Processor seconds of the processes that this one has started and waited for."""
    times = os.times()
    return times.children_user + times.children_system


class Import:
    """`import fastbp` in a new interpreter, which takes its own start along."""

    number = 1
    timer = staticmethod(_children)

    def time_import(self) -> None:
        subprocess.run([sys.executable, "-c", "import fastbp"], check=True)


class FirstFit:
    """From nothing to the first epoch, on a full cache."""

    number = 1
    timer = staticmethod(_children)

    def time_cached_first_fit(self) -> None:
        _start(os.environ["FASTBP_CACHE_DIR"])


class Compiled:
    """What a first fit compiles, and how long that takes; measured once for all."""

    timeout = 300

    def setup_cache(self) -> dict[str, dict[str, float]]:
        with tempfile.TemporaryDirectory() as cache:
            return {"cold": _start(cache), "cached": _start(cache)}

    def track_cold_first_fit(self, figures: dict[str, dict[str, float]]) -> float:
        return figures["cold"]["fit"]

    track_cold_first_fit.unit = "seconds"
    # one measurement of several seconds of processor time; the count below is exact
    track_cold_first_fit.tolerance = 0.25

    def track_compiled_signatures(self, figures: dict[str, dict[str, float]]) -> float:
        return figures["cold"]["compiled"]

    track_compiled_signatures.unit = "functions"
    # a new helper or two are no second compile
    track_compiled_signatures.tolerance = 0.05

    def track_compiled_again(self, figures: dict[str, dict[str, float]]) -> float:
        """In a later process: none."""
        return figures["cached"]["compiled"]

    track_compiled_again.unit = "functions"
    track_compiled_again.tolerance = 0.0

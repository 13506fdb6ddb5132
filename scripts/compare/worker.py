"""A process of its own for each peer and thread count, that works when it is told to.

Commands and answers are JSON, one a line, over the process's standard streams.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from compare.cases import Case, data, distance, glorot, loss_of

MODULES = {
    "fastbp": "fastbp_peer",
    "jax": "jax_peer",
    "jax-host": "jax_host_peer",
    "torch": "torch_peer",
    "sklearn": "sklearn_peer",
    "roof": "roof",
}


#: what a worker's times are taken by. Of one thread the processor's time leaves out the turns that
#: a shared machine gives to others
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class Worker:
    """The driver's end of the pipe."""

    def __init__(self, peer: str, threads: int, clock: str = "wall") -> None:
        self.peer, self.threads = peer, threads
        env = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            env[name] = str(threads)
        env["JAX_PLATFORMS"] = "cpu"
        if threads == 1:
            env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        scripts = Path(__file__).resolve().parents[1]
        paths = [str(scripts), str(scripts.parent), env.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "compare.worker", peer, str(threads), clock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )

    def setup(self, case: Case, seconds: float, predicting: bool) -> dict[str, Any]:
        """Get a case ready; a round will last at least `seconds`."""
        return self.ask("setup", case=asdict(case), seconds=seconds, predicting=predicting)

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises
        ------
        RuntimeError
            If the worker failed.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError(f"{self.peer}, {self.threads} thread(s): {answer['error']}")
        return dict(answer)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Session:
    """The worker's end: one case at a time."""

    def __init__(self, peer: str, threads: int, clock: str) -> None:
        self.clock = CLOCKS[clock]
        self.module = importlib.import_module(f"compare.{MODULES[peer]}")
        self.threads = threads

    def setup(self, case: Case, seconds: float, predicting: bool) -> dict[str, Any]:
        """Check the case against the others' results, then get it ready for `run`."""
        answer: dict[str, Any] = {"footnote": self.module.footnote(case)}
        self.predicting = predicting
        if answer["footnote"] is None and predicting:
            few = replace(case, n=min(case.n, 1024), batch=min(case.batch, 1024))
            peer = self.module.Peer(few, self.threads, False, glorot(few), *data(few))
            answer["check"] = {"distance": distance(few, peer.predict())}
        elif answer["footnote"] is None:
            # Adam's first steps are little more than the gradient's signs, which multiply float32's
            # rounding: PyTorch and JAX are 3e-3 apart after 64 batches of 784-512-512-10
            most = max(16 * case.batch, 1024 // case.batch * case.batch)
            n = case.n if case.n <= most else most + case.n % case.batch
            answer["check"] = self._check(replace(case, n=n))
        self.case = case
        X, y = data(case)
        self.peer = self.module.Peer(case, self.threads, True, glorot(case), X, y)
        self._time(1)  # compiles and warms up
        self.epochs = 1
        while (took := self._time(self.epochs)) < seconds:
            self.epochs = max(self.epochs + 1, math.ceil(1.1 * self.epochs * seconds / took))
        return answer

    def _check(self, case: Case) -> dict[str, float]:
        """One epoch in the given order from the given weights."""
        X, y = data(case)
        start = glorot(case)
        peer = self.module.Peer(case, self.threads, False, glorot(case), X, y)
        reported = peer.fit(1)
        end = peer.weights()
        moved = sum(float(np.sum((a - b) ** 2.0)) for a, b in zip(end, start, strict=True))
        return {
            "before": loss_of(case, start, X, y),
            "mean": float(reported),
            "after": loss_of(case, end, X, y),
            "moved": math.sqrt(moved),
        }

    def run(self) -> dict[str, Any]:
        """Samples a second over enough epochs."""
        return {"rate": self.epochs * self.case.n / self._time(self.epochs)}

    def _time(self, epochs: int) -> float:
        start = self.clock()
        if self.predicting:
            for _ in range(epochs):
                self.peer.predict()
            return self.clock() - start
        loss = self.peer.fit(epochs)
        took = self.clock() - start
        if not math.isfinite(loss):
            raise ValueError(f"the loss became {loss}")
        return took

    def roof(self, dtype: str, seconds: float) -> dict[str, Any]:
        """Operations a second, by candidate."""
        return dict(self.module.measure(dtype, self.threads, seconds, self.clock))


def serve(peer: str, threads: int, clock: str) -> None:
    """Answer commands until the driver closes the pipe."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    session = Session(peer, threads, clock)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        if "case" in arguments:
            fields = arguments["case"]
            arguments["case"] = Case(**{**fields, "widths": tuple(fields["widths"])})
        try:
            answer = getattr(session, command)(**arguments)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": repr(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])

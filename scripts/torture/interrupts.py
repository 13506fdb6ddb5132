#!/usr/bin/env python
"""Send SIGINT at random moments of training, and see that the state is consistent each time.

    python scripts/torture/interrupts.py -n 200

After each KeyboardInterrupt: no thread has been left, the history has the finished epochs, and the
state that is saved then, resumed to the end, gives the bits of a run that was never interrupted.
Prints how long a `fit` took to return. Exits with 1 if something is not so.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from typing import Any

import numpy as np

import fastbp
from fastbp import team

EPOCHS = 12


def problem() -> tuple[fastbp.Trainer, Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 30)).astype(np.float32)
    layers = [fastbp.Dense(64, "tanh", dropout=0.1), fastbp.Dense(3, "softmax")]
    network = fastbp.Network(30, layers, seed=1)
    rate = fastbp.CosineDecay(1e-2, length=1000, per="step")
    trainer = fastbp.Trainer(
        network, "cross_entropy", fastbp.Adam(rate), batch_size=32, seed=2, n_threads=2
    )
    return trainer, X, rng.integers(3, size=3000)


class ShortChunks(fastbp.Callback):
    """Back to Python after every few batches: most interrupts come between two kernels."""

    _longest_chunk = 0.0005


class Sender:
    """Sends one SIGINT after a delay; the handler raises only while armed."""

    def __init__(self) -> None:
        self.armed, self.sent = False, 0.0
        signal.signal(signal.SIGINT, self.handle)

    def handle(self, *_: object) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt

    def send_after(self, delay: float) -> threading.Thread:
        def work() -> None:
            time.sleep(delay)
            self.sent = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=work)
        thread.start()
        return thread


def outcome(trainer: fastbp.Trainer) -> bytes:
    assert trainer.history is not None
    arrays = [*trainer.network.get_weights(), trainer.history.loss, trainer.history.val_loss]
    return b"".join(np.asarray(a).tobytes() for a in arrays)


def torture(times: int, seed: int = 0) -> dict[str, Any]:
    """Counts of interrupts and of inconsistent states, and the longest time to return."""
    team._FLOPS_PER_THREAD = 1e-9  # a team, however little there is to do
    rng, sender = random.Random(seed), Sender()
    whole, X, y = problem()
    started = time.perf_counter()
    whole.fit(X, y, EPOCHS, validation_split=0.1)
    started = time.perf_counter() - started
    expected = outcome(whole)
    counts: dict[str, Any] = {"interrupts": 0, "wrong": 0, "threads left": 0, "slowest (s)": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "state")
        resume = None
        while counts["interrupts"] < times:
            trainer, _, _ = problem()
            thread = sender.send_after(rng.uniform(0.0, 1.2 * started))
            threads = threading.active_count()
            try:
                sender.armed = True
                callbacks = [ShortChunks()] if rng.random() < 0.7 else []
                trainer.fit(X, y, EPOCHS, validation_split=0.1, callbacks=callbacks, resume=resume)
                sender.armed = False
            except KeyboardInterrupt:
                slowest = max(counts["slowest (s)"], time.perf_counter() - sender.sent)
                counts["slowest (s)"] = round(slowest, 4)
                counts["interrupts"] += 1
            thread.join()
            counts["threads left"] += max(0, threading.active_count() - threads)
            if trainer.history is None or len(trainer.history.epoch) == EPOCHS:
                resume = None
                continue
            trainer.save(path)
            other, _, _ = problem()
            other.fit(X, y, EPOCHS, validation_split=0.1, resume=path)
            counts["wrong"] += outcome(other) != expected
            resume = path if rng.random() < 0.5 else None
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=200, help="interrupts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of their moments")
    options = parser.parse_args()
    counts = torture(options.n, options.seed)
    print(", ".join(f"{name} {value}" for name, value in counts.items()))
    return int(counts["wrong"] > 0 or counts["threads left"] > 0)


if __name__ == "__main__":
    sys.exit(main())

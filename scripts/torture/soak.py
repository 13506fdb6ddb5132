#!/usr/bin/env python3
"""Two million steps, with predictions and callbacks in between: memory, threads and files stay.

Reads /proc/self, so Linux only. Exits with 1 where resident memory grows by more than 1 MB after
warming up, or where threads or open files become more.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import fastbp


def held() -> tuple[int, int, int]:
    """Resident bytes, threads and open files of this process."""
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    resident = int(status["VmRSS"].split()[0]) * 1024
    return resident, int(status["Threads"]), len(os.listdir("/proc/self/fd"))


class Counting(fastbp.Callback):
    """Takes part in every epoch."""

    def __init__(self) -> None:
        self.calls = 0

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        self.calls += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if not Path("/proc/self/status").exists():
        sys.exit("soak: needs Linux's /proc")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3200, 8)).astype(np.float32)
    y = (X[:, :1] * X[:, 1:2] > 0).astype(np.float32)
    net = fastbp.Network(8, [fastbp.Dense(16, "tanh"), fastbp.Dense(1, "sigmoid")], seed=0)
    trainer = fastbp.Trainer(
        net, "binary_cross_entropy", "adam", batch_size=32, seed=0, n_threads=options.threads
    )
    epochs, single = 10, 1000  # a round: 10 epochs of 100 batches, 1,000 steps by hand
    rounds = -(-options.steps // (epochs * 100 + single))
    warm, started, first = max(1, rounds // 20), time.monotonic(), (0, 0, 0)
    most = [0, 0, 0]
    for index in range(rounds):
        trainer.fit(X, y, epochs=epochs, callbacks=[Counting()])
        for k in range(single):
            trainer.step(X[k : k + 32], y[k : k + 32])
        net.predict(X)
        net.predict(X[:3])
        trainer.evaluate(X, y)
        now = held()
        if index + 1 == warm:
            first, most = now, list(now)
        most = [max(a, b) for a, b in zip(most, now, strict=True)]
    steps = rounds * (epochs * 100 + single)
    grown = [b - a for a, b in zip(first, most, strict=True)]
    print(
        f"{steps:,} steps in {time.monotonic() - started:.0f} s: resident memory "
        f"{first[0] / 1e6:.1f} MB {grown[0] / 1e3:+.0f} kB, threads {first[1]} {grown[1]:+}, "
        f"open files {first[2]} {grown[2]:+}"
    )
    sys.exit(grown[0] > 1_000_000 or grown[1] > 0 or grown[2] > 0)


if __name__ == "__main__":
    main()

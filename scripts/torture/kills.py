#!/usr/bin/env python
"""Kill training at random moments, most of them inside a save, and see that nothing is lost.

    python scripts/torture/kills.py -n 500

A forked process trains with checkpoints as often as they can be written and gets SIGKILL. After
each kill the newest checkpoint must be whole, and training that goes on from it to the end must
give the weights of a run that was never interrupted, bit for bit. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import fastbp
from fastbp.files import checkpoints as checkpoint

EPOCHS = 12


def problem() -> tuple[fastbp.Trainer, Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(330, 20)).astype(np.float32)
    layers = [fastbp.Dense(40, "tanh", dropout=0.1), fastbp.Dense(3, "softmax")]
    network = fastbp.Network(20, layers, seed=1)
    rate = fastbp.CosineDecay(1e-2, length=100, per="step")
    trainer = fastbp.Trainer(
        network, "cross_entropy", fastbp.Adam(rate), batch_size=16, seed=2, metrics=["accuracy"]
    )
    return trainer, X, rng.integers(3, size=330)


def run(folder: str | None, save: bool, mark: Callable[[int], None] = lambda _: None) -> bytes:
    """Train to the end, from the newest checkpoint on; the bytes of weights and losses."""
    trainer, X, y = problem()
    callbacks: list[fastbp.Callback] = [fastbp.EarlyStopping(patience=1000)]
    if save and folder is not None:
        write = checkpoint.write

        def marking(*arguments: Any) -> None:
            mark(1)
            write(*arguments)
            mark(0)

        checkpoint.write = marking
        callbacks.append(fastbp.Checkpoint(folder, every_seconds=0.0))
    history = trainer.fit(
        X, y, EPOCHS, validation_split=0.1, callbacks=callbacks, resume=folder, progress=False
    )
    figures = [history.loss, history.val_loss, history.accuracy]
    return b"".join(np.asarray(a).tobytes() for a in [*trainer.network.get_weights(), *figures])


def killed(folder: str, delay: float) -> tuple[bool, bool]:
    """A process that trains, killed after so long: whether it was killed, and inside a save."""
    shared = mmap.mmap(-1, 1)

    def mark(value: int) -> None:
        shared[0] = value

    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run(folder, True, mark)
            status = 0
        finally:
            os._exit(status)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("training failed before it was killed")
    return os.WIFSIGNALED(status), shared[0] == 1


def torture(kills: int, seed: int = 0) -> dict[str, int]:
    """Counts of kills, of those inside a save, of checkpoints found, and of what was lost."""
    warnings.simplefilter("error", RuntimeWarning)  # a checkpoint that is damaged, say
    rng = random.Random(seed)
    expected = run(None, False)
    counts = dict.fromkeys(("kills", "inside a save", "resumed from a checkpoint", "lost"), 0)
    while counts["kills"] < kills:
        folder = tempfile.mkdtemp()
        try:
            over = False
            while not over and counts["kills"] < kills:
                was_killed, inside = killed(folder, rng.uniform(0.0, 0.25))
                over = not was_killed
                counts["kills"] += was_killed
                counts["inside a save"] += was_killed and inside
                counts["resumed from a checkpoint"] += was_killed and bool(os.listdir(folder))
                counts["lost"] += run(folder, False) != expected
        finally:
            shutil.rmtree(folder)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=500, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of their moments")
    options = parser.parse_args()
    started = time.monotonic()
    counts = torture(options.n, options.seed)
    print(", ".join(f"{value} {name}" for name, value in counts.items()), end=" ")
    print(f"({time.monotonic() - started:.0f} s)")
    return int(counts["lost"] > 0)


if __name__ == "__main__":
    sys.exit(main())

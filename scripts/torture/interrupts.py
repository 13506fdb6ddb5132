#!/usr/bin/env python
"""Send SIGINT at random moments of training, and see that the state is consistent each time.

    python scripts/torture/interrupts.py -n 500

By teams of 1, 2 and 4 threads, of a size that really takes as many: that is counted where a team
enters a kernel, and printed. Half of the signals come at any moment of a `fit`, a quarter as it
begins, a quarter as it ends; some have a second one right behind them. After each
KeyboardInterrupt: no thread has been left, the trainer can be saved and used, another trainer can
fit the same network, the history has the finished epochs, and the state that was saved, resumed to
the end, gives the bits of a run that was never interrupted. Exits with 1 if something is not so,
and says of each such interrupt where it came. About four minutes on two cores. What Python does in
each place by itself, `every_check.py` goes through.
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
from collections import Counter
from types import CodeType, FrameType
from typing import Any

import numpy as np

import fastbp
from fastbp.runtime import team

EPOCHS = 4
#: of an update: 6 · 84 · (64 · 256 + 256 · 3) operations are worth four threads
BATCH = 84
FIELDS = ("interrupts", "in pairs", "wrong", "refused", "threads left")
FRAMES = 14  # innermost ones that are kept of where a signal came


def problem(threads: int) -> tuple[fastbp.Trainer, Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 64)).astype(np.float32)
    layers = [fastbp.Dense(256, "tanh", dropout=0.1), fastbp.Dense(3, "softmax")]
    network = fastbp.Network(64, layers, seed=1)
    rate = fastbp.CosineDecay(1e-2, length=40, per="step")
    trainer = fastbp.Trainer(
        network, "cross_entropy", fastbp.Adam(rate), batch_size=BATCH, seed=2, n_threads=threads
    )
    return trainer, X, rng.integers(3, size=800)


class ShortChunks(fastbp.Callback):
    """Back to Python after every few batches: most interrupts come between two kernels."""

    longest_chunk = 0.0005


class End(fastbp.Callback):
    """Says when the last epoch has been trained."""

    def __init__(self, reached: threading.Event) -> None:
        self.reached = reached

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: Any) -> None:
        if epoch == EPOCHS - 1:
            self.reached.set()


class Sender:
    """Sends SIGINT after a moment and a delay; the handler raises only while armed.

    Attributes
    ----------
    places : list
        Where the handler has raised since `send`: (code, line) from the innermost frame.
    """

    def __init__(self, draw: random.Random) -> None:
        self.draw, self.armed, self.came = draw, False, 0
        self.places: list[list[tuple[CodeType, int]]] = []
        self.second = 0.0  # seconds until another signal, by the system's clock; 0 for none
        signal.signal(signal.SIGINT, self.handle)
        signal.signal(signal.SIGALRM, self.handle)

    def handle(self, _: int, frame: FrameType | None) -> None:
        if self.armed:
            self.came += 1
            self.places.append(place := [])
            while frame is not None and len(place) < FRAMES:
                place.append((frame.f_code, frame.f_lineno))
                frame = frame.f_back
            second, self.second = self.second, 0.0  # it may come at once
            if second:
                signal.setitimer(signal.ITIMER_REAL, second)
            raise KeyboardInterrupt

    def send(self, moment: threading.Event, longest: float, pair: bool) -> threading.Thread:
        self.places.clear()
        delay = self.draw.uniform(0.0, longest)
        self.second = self.draw.uniform(2e-6, 6e-5) if pair else 0.0

        def work() -> None:
            moment.wait()
            time.sleep(delay)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def told(self) -> str:
        """The places in words."""
        lines = []
        for place in self.places:
            lines.append("  a signal came at")
            lines += [f"    {c.co_filename}:{line} in {c.co_name}" for c, line in place]
        return "\n".join(lines)


def outcome(trainer: fastbp.Trainer) -> list[bytes]:
    assert trainer.history is not None
    arrays = [*trainer.network.get_weights(), trainer.history.loss, trainer.history.val_loss]
    return [np.asarray(a).tobytes() for a in arrays]


def threads_of(trainer: fastbp.Trainer, X: Any, y: Any) -> tuple[int, float]:
    """The most threads that enter a kernel together in a whole `fit`, and seconds that it takes."""
    run, seen = team.Team.run, set()

    def counting(threads: int, *call: Any) -> int:
        seen.add(threads)
        return run(threads, *call)

    team.Team.run = staticmethod(counting)  # type: ignore[method-assign, assignment]
    started = time.perf_counter()
    trainer.fit(X, y, EPOCHS, validation_split=0.1)
    seconds = time.perf_counter() - started
    team.Team.run = staticmethod(run)  # type: ignore[method-assign, assignment]
    return max(seen), seconds


def left(before: int) -> int:
    """Threads that there are more than before; one that is just ending has a second."""
    for _ in range(100):
        if threading.active_count() <= before:
            return 0
        time.sleep(0.01)
    return threading.active_count() - before


def is_consistent(
    trainer: fastbp.Trainer, path: str, expected: list[bytes], threads: int
) -> tuple[bool, bool]:
    """Whether the state is one of the uninterrupted run, and whether nobody is locked out."""
    other, X, y = problem(threads)
    history, free = trainer.history, True
    losses = b"" if history is None else np.asarray(history.loss).tobytes()
    right = expected[-2].startswith(losses)
    try:
        trainer.save(path)
        trainer.evaluate(X[:9], y[:9])
        third = fastbp.Trainer(
            trainer.network, "cross_entropy", batch_size=BATCH, n_threads=threads
        )
        third.fit(X[:200], y[:200])
        trainer.step(X[:9], y[:9])
    except RuntimeError as error:
        print(f"refused: {error}", file=sys.stderr)
        free = False
    if os.path.exists(path):
        other.fit(X, y, EPOCHS, validation_split=0.1, resume=path)
        same = outcome(other) == expected
        if not (same and right):
            print(f"wrong: history {right}, resumed {same}", file=sys.stderr)
        right = right and same
    return right, free


def torture(threads: int, times: int, seed: int = 0, pairs: float = 0.1) -> Counter[str]:
    """Interrupt a team of so many threads so often: counts of `FIELDS`."""
    draw = random.Random(seed)
    sender = Sender(draw)
    whole, X, y = problem(threads)
    whole.fit(X, y)
    whole, X, y = problem(threads)
    real, seconds = threads_of(whole, X, y)
    print(
        f"n_threads={threads}: {real} threads enter a kernel together, a fit takes {seconds:.3f} s"
    )
    if real != threads:
        raise SystemExit(f"the problem doesn't take a team of {threads}")
    expected, counts = outcome(whole), Counter(dict.fromkeys(FIELDS, 0))
    before, resume = threading.active_count(), None
    with tempfile.TemporaryDirectory() as folder:
        saved = 0
        while counts["interrupts"] < times:
            trainer, _, _ = problem(threads)
            moment, aim = threading.Event(), draw.random()
            callbacks: list[fastbp.Callback] = [ShortChunks()] if draw.random() < 0.7 else []
            if aim < 0.25:
                callbacks.append(End(moment))
                longest = 1e-3
            else:
                moment.set()
                longest = 3e-3 if aim < 0.5 else 1.2 * seconds
            pair, came = draw.random() < pairs, sender.came
            thread = sender.send(moment, longest, pair)
            try:
                try:
                    sender.armed = True
                    trainer.fit(
                        X, y, EPOCHS, validation_split=0.1, callbacks=callbacks, resume=resume
                    )
                    sender.armed = False
                except KeyboardInterrupt:
                    sender.armed = False
            except KeyboardInterrupt:  # the second of a pair, while the first was caught
                sender.armed = False
            counts["interrupts"] += sender.came > came
            moment.set()
            thread.join()
            counts["in pairs"] += sender.came - came > 1
            counts["threads left"] = max(counts["threads left"], left(before))
            if sender.came == came:
                resume = None
                continue
            saved += 1
            path = os.path.join(folder, str(saved))
            right, free = is_consistent(trainer, path, expected, threads)
            if not (right and free):
                print(
                    f"n_threads={threads}, seed {seed}, interrupt {counts['interrupts']}: aim "
                    f"{aim:.3f}, pair {pair}, resumes {resume is not None}, callbacks "
                    f"{[type(c).__name__ for c in callbacks]}\n{sender.told()}",
                    file=sys.stderr,
                )
            counts["wrong"] += not right
            counts["refused"] += not free
            if resume is not None:
                os.unlink(resume)
                resume = None
            if draw.random() < 0.5 and os.path.exists(path):
                resume = path
            elif os.path.exists(path):
                os.unlink(path)
    counts["threads left"] = max(counts["threads left"], left(before))
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=500, help="interrupts a team (default: 500)")
    parser.add_argument("--teams", type=int, nargs="+", default=[1, 2, 4], help="their threads")
    parser.add_argument("--pairs", type=float, default=0.1, help="share of two in a row")
    parser.add_argument("--seed", type=int, default=0, help="of their moments")
    options = parser.parse_args()
    bad = 0
    for threads in options.teams:
        started = time.perf_counter()
        counts = torture(threads, options.n, options.seed, options.pairs)
        figures = ", ".join(f"{name} {counts[name]}" for name in FIELDS)
        print(f"  {figures}; {time.perf_counter() - started:.0f} s", flush=True)
        bad += counts["wrong"] + counts["refused"] + counts["threads left"]
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

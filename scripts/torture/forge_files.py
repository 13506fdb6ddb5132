#!/usr/bin/env python3
"""Checkpoints with right digests and forged fields: each is refused, or can be gone on with.

    python scripts/torture/forge_files.py --files 20000

Every value of a trainer's state, from a single number to a whole part, is in turn replaced by
values that no trainer has: negative, huge, not finite, of another kind, dtype or shape. The file is
signed, loaded by `Trainer.load`, trained on, and resumed from by `fit`. Refused means fastbp's own
error, with nothing changed; a divergence is an outcome of training. Any other exception, a process
that ends or takes more than 30 seconds for a file is a failure, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import json
import logging
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastbp
from fastbp.files import checkpoints as checkpoint
from fastbp.files import container, tree
from fastbp.files.container import DTYPES, ModelFileError

_SECONDS = 30.0  # for one file
_EPOCHS = 3
_RNG = np.random.default_rng(0)
X, Y, IDS = _RNG.normal(size=(50, 3)), _RNG.normal(size=(50, 2)), _RNG.integers(2, size=50)

Path_ = tuple[Any, ...]


class Setup(NamedTuple):
    """A trainer, what it is trained on, and the callbacks of its fits."""

    make: Callable[[], fastbp.Trainer]
    fit: dict[str, Any]
    callbacks: Callable[[], list[fastbp.Callback]]


def _setup(optimizer: Any, loss: str = "mse", **settings: Any) -> Setup:
    kind = "softmax" if loss == "cross_entropy" else "linear"
    metrics = ["accuracy", "f1"] if loss == "cross_entropy" else ["r2", "rmse"]

    def make() -> fastbp.Trainer:
        hidden = fastbp.Dense(5, fastbp.LeakyReLU(0.1), dropout=settings.get("dropout", 0.0))
        network = fastbp.Network(3, [hidden, fastbp.Dense(2, kind, bias="shared")], seed=1)
        network.metadata = {"of": ["forging"]}
        rest = {name: value for name, value in settings.items() if name != "dropout"}
        return fastbp.Trainer(network, loss, optimizer, seed=2, metrics=metrics, **rest)

    def callbacks() -> list[fastbp.Callback]:
        return [fastbp.EarlyStopping("val_loss", patience=50), fastbp.TimeBudget(1e6)]

    rows = {"X": X, "y": IDS if loss == "cross_entropy" else Y, "validation_split": 0.2}
    return Setup(make, rows, callbacks)


_PLATEAU = fastbp.ReduceOnPlateau(0.05, patience=0, cooldown=1)
_CYCLE = fastbp.LinearWarmUp(fastbp.CosineDecay(0.02, length=5, restarts=True, lengthen=2), 4)
SETUPS = {
    "sgd": _setup(fastbp.SGD(fastbp.StepDecay(0.1, every=3), momentum=0.9), batch_size=7),
    "adam": _setup(fastbp.Adam(_CYCLE, amsgrad=True), "cross_entropy", batch_size=6, dropout=0.2),
    "nadam": _setup(fastbp.NAdam(_PLATEAU), batch_size=9, clip_norm=1.0, accumulate=2),
    "radam": _setup("radam", batch_size=50),
    "rmsprop": _setup(fastbp.RMSprop(centered=True, momentum=0.5), batch_size=16),
    "rprop": _setup("rprop", batch_size=None),
    "adadelta": _setup("adadelta", batch_size=8, on_divergence="reduce"),
    "lbfgs": _setup(fastbp.LBFGS(history=4), batch_size=None),
    "levenberg_marquardt": _setup("levenberg_marquardt", batch_size=None),
}


class _Within(fastbp.Callback):
    """Takes the state within the last epoch."""

    _looks_on = True
    taken: dict[str, Any] | None = None

    def on_chunk_end(self, trainer: fastbp.Trainer) -> None:
        if trainer.position.epochs == _EPOCHS - 1:
            self.taken = self.taken or trainer._state()


def originals() -> dict[str, dict[str, Any]]:
    """States within an epoch and at one's end, by the name of the set-up."""
    found = {}
    for name, setup in SETUPS.items():
        trainer, within = setup.make(), _Within()
        trainer.fit(**setup.fit, epochs=_EPOCHS, callbacks=[*setup.callbacks(), within])
        found[name] = trainer._state()
        if within.taken is not None and trainer._session.solver is None:
            found[f"{name}, within"] = within.taken
    return found


def place(r: random.Random, value: Any) -> Path_:
    """The path of a part or of a single value, each branch as likely as the next.

    Else the settings, which are many, would be most of it, and hardly one number in an array.
    """
    at: Path_ = ()
    while True:
        keys: list[Any] = []
        if isinstance(value, dict):
            keys = sorted(value)
        elif isinstance(value, list):
            keys = list(range(len(value)))
        if not keys or (at and r.random() < 0.1):
            return at
        at = (*at, r.choice(keys))
        value = value[at[-1]]


NASTY: list[Any] = [
    -1, 0, 1, 2, 7, -(10**6), 10**7, -(10**7), 10**9, 2**31, 2**32 - 1, 2**53, 2**53 + 2, 2**63 - 1,
    2**63, 2**64, -(2**63), 10**400, -(10**400), 0.0, -0.0, 0.5, -0.5, -1.0, 1e300, -1e300, 5e-324,
    1e9, float("nan"), float("inf"), -float("inf"), None, True, False, "", "7", "nan", "\x00", [],
    {}, [[]], {"": 0}, {"epochs": 1}, [0] * 5, [1.5], np.zeros(0), np.zeros((0, 3)), np.zeros(1),
    np.zeros((1, 1)), np.full(40, np.nan), np.zeros(10_000), np.zeros(32, np.float32),
]  # fmt: skip
NUMBERS = [
    -1.0, 0.5, -0.5, -1e6, 1e6, 1e7, -1e7, 1e9, 2.0**31, 2.0**53, 2.0**63, 1e300, -1e300, 5e-324,
    np.nan, np.inf, -np.inf, 0.0, 1.0, 3.0,
]  # fmt: skip


def _array(r: random.Random, array: Any) -> Any:
    """An array that is almost this one."""
    changed = np.array(array)
    way = r.randrange(9)
    if way < 5 and changed.size:
        for _ in range(r.choice([1, 1, 3])):
            changed.reshape(-1)[r.randrange(changed.size)] = r.choice(NUMBERS)
    elif way == 5:
        changed[...] = r.choice(NUMBERS)
    elif way == 6:
        changed = changed.astype(np.float32 if changed.dtype == np.float64 else np.float64)
    elif way == 7:
        changed = r.choice([changed.reshape(-1), changed.T, changed[:-1], changed[None]])
        changed = changed if changed.ndim <= 2 else changed.reshape(1, -1)
    else:
        changed = np.resize(changed, r.choice([0, 1, changed.size + 1, 2 * changed.size]))
    return np.ascontiguousarray(changed)


def _other(r: random.Random, value: Any) -> Any:
    """Draw a value that takes another one's place."""
    if isinstance(value, np.ndarray) and r.random() < 0.8:
        return _array(r, value)
    if isinstance(value, dict) and value and r.random() < 0.5:
        key = r.choice(sorted(value))
        if r.random() < 0.5:
            return {k: v for k, v in value.items() if k != key}
        return {**value, r.choice(["", "more", "recording", "stopped"]): value[key]}
    if isinstance(value, list) and value and r.random() < 0.5:
        return r.choice([value[:-1], value + value[-1:], value[::-1], (value * 40)[:200]])
    if isinstance(value, int) and r.random() < 0.3:
        return value + r.choice([-2, -1, 1, 2, 100])
    if isinstance(value, float) and r.random() < 0.3:
        return value * r.choice([-1.0, 2.0, 1e3, 1e-3])
    return copy.deepcopy(r.choice(NASTY))  # what stands there may be forged in turn


def forged(r: random.Random, whole: dict[str, Any]) -> tuple[Any, list[Path_]]:
    """A state with one value replaced, seldom some, and where."""
    found: Any = copy.deepcopy(whole)
    where = []
    for _ in range(r.choice([1, 1, 1, 2, 4])):
        at = place(r, found)
        holder = found
        for key in at[:-1]:
            holder = holder[key]
        holder[at[-1]] = _other(r, holder[at[-1]])
        where.append(at)
    return found, where


def write(path: Path, found: Any) -> bool:
    """Sign a state and put it in a file, if its kinds of values can stand in one."""
    arrays: dict[str, Any] = {}
    try:
        encoded = tree.encode(found, "state", arrays)
    except TypeError:
        return False
    tensors = [[name, DTYPES[a.dtype.name], list(a.shape)] for name, a in arrays.items()]
    value = {"state": encoded, "tensors": tensors}
    path.write_bytes(container.pack(checkpoint._KIND, value, arrays))
    return True


def outcome(name: str, path: Path) -> str:
    """ "refused", "went on" or "diverged", of loading and of resuming; raises anything else."""
    setup = SETUPS[name.partition(",")[0]]
    return ", ".join(_told(way, setup, path) for way in (_load_and_fit, _resume))


def _told(way: Callable[[Setup, Path], None], setup: Setup, path: Path) -> str:
    try:
        way(setup, path)
    except ModelFileError:
        return "refused"
    except fastbp.DivergenceError:
        return "diverged"
    return "went on"


def _load_and_fit(setup: Setup, path: Path) -> None:
    trainer = fastbp.Trainer.load(path)
    if trainer.network.n_inputs != X.shape[1] or trainer.network.n_outputs != Y.shape[1]:
        raise AssertionError("a network of another shape was loaded")
    trainer.fit(**setup.fit, epochs=1, callbacks=setup.callbacks())
    trainer.step(setup.fit["X"], setup.fit["y"])


def _resume(setup: Setup, path: Path) -> None:
    trainer = setup.make()
    before = _bytes(trainer)
    try:
        history = trainer.fit(
            **setup.fit, epochs=_EPOCHS + 1, callbacks=setup.callbacks(), resume=path
        )
    except ModelFileError:
        if _bytes(trainer) != before or trainer.history is not None:
            raise AssertionError("something has changed, though it was refused") from None
        raise
    lists = [figures for figures in vars(history).values() if isinstance(figures, list)]
    assert all(len(figures) <= 2**20 for figures in lists)


def _bytes(trainer: fastbp.Trainer) -> bytes:
    kept = trainer._state()
    arrays = [*kept["weights"], *(a for slot in kept["slots"] for a in slot), kept["hyper"]]
    rest = repr((kept["rates"], kept["counters"], kept["settings"]["seed"])).encode()
    return b"".join(a.tobytes() for a in arrays) + rest


def work(first: int, last: int, seed: int, folder: Path) -> tuple[Counter[str], set[Any]]:
    """Forge files `first` ... `last` - 1, telling each before it is looked at."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    whole, counts, fields = originals(), Counter[str](), set()
    names = sorted(whole)
    for index in range(first, last):
        r = random.Random(f"{seed} {index}")
        name = names[index % len(names)]
        found, where = forged(r, whole[name])
        path = folder / f"{index}.safetensors"
        if not write(path, found):
            counts["can't be written"] += 1
            continue
        print(json.dumps(["at", index, name, [list(map(str, at)) for at in where]]), flush=True)
        try:
            result = outcome(name, path)
        except Exception as error:
            result = "FAILED"
            told = f"{type(error).__name__}: {str(error)[:300]}"
            print(json.dumps(["failed", index, told]), flush=True)
        else:
            path.unlink()
        counts[result] += 1
        fields |= {(name, *map(str, at)) for at in where}
    return counts, fields


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """A process's lines, None when it says nothing for too long."""
    told: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            told.put(line)
        told.put("")

    threading.Thread(target=listen, daemon=True).start()
    while True:
        try:
            line = told.get(timeout=_SECONDS)
        except queue.Empty:
            yield None
            return
        if line == "":
            return
        yield line


def torture(
    count: int, seed: int, folder: Path, first: int = 0
) -> tuple[Counter[str], list[str], int]:
    """Forge `count` files in processes of their own: outcomes, failures, and fields forged."""
    counts, failures, fields = Counter[str](), [], set[Any]()
    last = first + count
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    while first < last:
        command = [sys.executable, __file__, "--worker", str(first), str(last), str(seed)]
        errors = folder / f"errors-{first}"
        with errors.open("w") as file:  # a pipe that nobody reads would fill up
            process = subprocess.Popen(
                [*command, str(folder)], stdout=subprocess.PIPE, stderr=file, text=True,
                env=environment,
            )  # fmt: skip
        place, began = "", first
        for line in _lines(process):
            if line is None:
                failures.append(f"HANGS: {place}")
                process.kill()
                break
            match json.loads(line):
                case ["at", index, *what]:
                    first, place = index + 1, f"{index} {what}"
                case ["failed", index, error]:
                    failures.append(f"{place}: {error}")
                case ["done", found, named]:
                    counts.update(found)
                    fields |= {tuple(f) for f in named}
                    first = last
        process.communicate()
        told = errors.read_text()[-2000:]
        errors.unlink()
        if first < last or process.returncode:
            if process.returncode not in (0, -9):
                failures.append(f"ENDS with {process.returncode}: {place}\n{told}")
            counts["lost with a process"] += first - began
        if first == began:
            break  # it doesn't come to its first file
    return counts, failures, len(fields)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        faulthandler.enable()
        first, last, seed, folder = options.worker
        counts, fields = work(int(first), int(last), int(seed), Path(folder))
        print(json.dumps(["done", counts, sorted(fields)]), flush=True)
        return
    started, found = time.monotonic(), []
    kept = Path(tempfile.mkdtemp(prefix="fastbp-forged-"))
    share = -(-options.files // options.jobs)

    def run(job: int) -> None:
        found.append(torture(share, options.seed, kept, job * share))

    threads = [threading.Thread(target=run, args=(job,)) for job in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = sum((counts for counts, _, _ in found), Counter[str]())
    failures = [failure for _, failed, _ in found for failure in failed]
    for result, number in sorted(counts.items()):
        print(f"{number:7} {result}")
    fields = max(number for _, _, number in found)
    print(
        f"{counts.total()} files of {fields} fields and more in {time.monotonic() - started:.0f} s"
    )
    print(f"{len(failures)} failures", *failures[:20], sep="\n")
    if failures:
        print(f"the files are in {kept}")
    else:
        kept.rmdir()
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()

"""The way of a fit: from the trainer down to one kernel call, with no step back up."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import layering
import numpy as np
import pytest

import fastbp
from fastbp.runtime.team import Team

PACKAGE = str(Path(fastbp.__file__).parent)


class Calls:
    """Calls from one of fastbp's functions to another, as (caller, called) modules and names."""

    def __init__(self) -> None:
        self.made: set[tuple[str, str, str]] = set()
        self.order: list[str] = []  # modules in the order in which they are first called

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not (called := module(frame)):
            return
        if called not in self.order:
            self.order.append(called)
        if frame.f_back is not None and (caller := module(frame.f_back)):
            self.made.add((caller, called, frame.f_code.co_name))

    def __enter__(self) -> Calls:
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def module(frame: FrameType) -> str:
    """The module of a frame's code, without ``fastbp.``; empty for others' code."""
    file = frame.f_code.co_filename
    if not file.startswith(PACKAGE):
        return ""
    parts = Path(file).relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def upwards(calls: Calls) -> list[tuple[str, str, str]]:
    """Calls of what stands above its caller, but for what callbacks are asked and ask for."""
    return sorted(
        (caller, called, name)
        for caller, called, name in calls.made
        if layering.line(called) > layering.line(caller)
        and not (called.startswith("callbacks") or caller.startswith("callbacks"))
    )


def fit(optimizer: str, **options: Any) -> Calls:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))
    network = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(1)], seed=0)
    size = 8 if optimizer in ("sgd", "adam") else None
    trainer = fastbp.Trainer(network, "mse", optimizer, batch_size=size, seed=0, metrics=["mae"])
    trainer.fit(X, y, 1, progress=False)  # what is compiled is compiled here
    with Calls() as calls:
        trainer.fit(X, y, 3, progress=False, **options)
    return calls


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs", "levenberg_marquardt"])
@pytest.mark.parametrize("given", ["nothing", "weights", "callbacks"])
def test_no_step_back_up(optimizer: str, given: str) -> None:
    options: dict[str, Any] = {
        "nothing": {},
        "weights": {"sample_weight": np.linspace(0.5, 1.5, 40), "validation_split": 0.25},
        "callbacks": {"callbacks": [fastbp.EarlyStopping("loss"), fastbp.TimeBudget(60)]},
    }[given]
    calls = fit(optimizer, **options)
    assert upwards(calls) == []
    assert len(calls.made) > 30


def test_the_way() -> None:
    """`Trainer.fit`, arguments, session, fit, batches, program, and then a kernel."""
    way = ["trainer", "training.arguments", "training.session", "training.fit",
           "training.batches", "runtime.program"]  # fmt: skip
    order = fit("sgd").order
    assert [name for name in order if name in way] == way


def test_one_kernel_call_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """All batches of an epoch are one call of the kernel that trains, once it is timed."""
    monkeypatch.setattr("fastbp.training.fit._CHUNK_SECONDS", 1e9)
    run, made = Team.run, []

    def counted(threads: int, entry: Any, *arguments: Any) -> int:
        made.append(entry)
        return int(run(threads, entry, *arguments))

    monkeypatch.setattr(Team, "run", counted)
    fit("sgd")
    assert len(made) == 2 + 4  # the first batch of each of two fits is a call of its own
    assert len(set(made)) == 1


def test_a_step_up_is_seen() -> None:
    calls = Calls()
    calls.made.add(("runtime.program", "training.fit", "run"))
    assert upwards(calls)

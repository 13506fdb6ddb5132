"""A fit in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

import fastbp

X = np.random.default_rng(0).normal(size=(64, 4))
Y = X.sum(axis=1)


def build() -> fastbp.Trainer:
    network = fastbp.Network(4, [fastbp.Dense(8, "tanh"), fastbp.Dense(1)], seed=0)
    return fastbp.Trainer(network, "mse", "adam", batch_size=8, seed=0)


class Gate(fastbp.Callback):
    """Holds a fit at its first epoch's end until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
        self.reached.set()
        assert self.opened.wait(30)


def test_it_is_the_fit_that_it_would_have_been() -> None:
    here, there = build(), build()
    handle = here.fit_async(X, Y, epochs=5, validation_split=0.25)
    history = handle.result(30)
    expected = there.fit(X, Y, epochs=5, validation_split=0.25)
    assert (history.loss, history.val_loss) == (expected.loss, expected.val_loss)
    assert handle.done()
    assert handle.progress is not None
    assert handle.progress.done_epoch
    assert here.history is history
    here.fit(X, Y)  # the trainer is free again


def test_other_uses_are_refused_meanwhile_and_predictions_are_not() -> None:
    trainer, gate = build(), Gate()
    handle = trainer.fit_async(X, Y, epochs=2, callbacks=[gate])
    assert gate.reached.wait(30)
    for use in (trainer.fit, trainer.fit_async, trainer.step, trainer.evaluate):
        with pytest.raises(RuntimeError, match="at work in another thread"):
            use(X, Y)
    assert trainer.network.predict(X).shape == (64, 1)
    assert not handle.done()
    gate.opened.set()
    assert handle.result(30).epoch == [0, 1]


def test_cancel() -> None:
    trainer, gate = build(), Gate()
    handle = trainer.fit_async(X, Y, epochs=10**6, callbacks=[gate])
    assert gate.reached.wait(30)
    handle.cancel()
    gate.opened.set()
    history = handle.result(30)
    assert history.stopped == "cancelled"
    assert 1 <= len(history.epoch) <= 2
    assert trainer.fit(X, Y).stopped is None  # the next is not


def test_arguments_are_refused_at_once_and_the_rest_by_the_result() -> None:
    trainer = build()
    with pytest.raises(ValueError, match="X"):
        trainer.fit_async(X[:, :2], Y)
    with pytest.raises(TypeError, match="progress"):
        trainer.fit_async(X, Y, progress=3)  # type: ignore[arg-type]

    class Failing(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        trainer.fit_async(X, Y, callbacks=[Failing()]).result(30)
    assert trainer.step(X, Y) > 0


def test_await_and_its_cancellation() -> None:
    trainer, gate = build(), Gate()

    async def whole() -> fastbp.History:
        return await trainer.fit_async(X, Y, epochs=3)

    assert asyncio.run(whole()).epoch == [0, 1, 2]

    async def broken_off() -> fastbp.History:
        handle = trainer.fit_async(X, Y, epochs=10**6, callbacks=[gate])
        begun = asyncio.Event()

        async def waiting() -> fastbp.History:
            begun.set()
            return await handle

        task = asyncio.create_task(waiting())
        await begun.wait()  # a task that is cancelled before it has begun waits for nothing
        await asyncio.to_thread(gate.reached.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.opened.set()
        return await asyncio.to_thread(handle.result, 30)

    assert asyncio.run(broken_off()).stopped == "cancelled"


def test_progress_is_handed_on() -> None:
    seen: list[fastbp.Progress] = []
    build().fit_async(X, Y, epochs=2, progress=seen.append).result(30)
    assert [p.epoch for p in seen if p.done_epoch] == [0, 1]

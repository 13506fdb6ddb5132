"""Whoever ends a `fit`: the best weights come back, and divergence costs an epoch at most."""

from __future__ import annotations

import contextlib
import copy
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from interrupting import interrupt_at

import fastbp
import fastbp.jit
from fastbp.training import fit as fitting
from fastbp.training.snapshot import Recovery

RNG = np.random.default_rng(0)
X, V = RNG.normal(size=(2, 100, 4))


def target(A: Any) -> Any:
    return np.sin(A[:, 0]) + 0.3 * A[:, 1]


def build(optimizer: Any = None, **settings: Any) -> fastbp.Trainer:
    net = fastbp.Network(4, [fastbp.Dense(16, "tanh"), fastbp.Dense(1)], seed=0)
    optimizer = optimizer or fastbp.SGD(0.02)
    return fastbp.Trainer(net, "mse", optimizer, **({"seed": 0} | settings))


def equal(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(one, other, strict=True))


class Figures(fastbp.Callback):
    """Says what `val_loss` is, and keeps every epoch's weights."""

    def __init__(self, values: list[float]) -> None:
        self.values, self.seen = values, []  # type: ignore[var-annotated]

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        logs["val_loss"] = self.values[epoch]
        self.seen.append(trainer.network.get_weights())


class At(fastbp.Callback):
    """Does something at the end of an epoch, or inside the one after it."""

    def __init__(self, epoch: int, what: Callable[[fastbp.Trainer], None], inside: bool) -> None:
        self.epoch, self.what, self.inside, self.now = epoch, what, inside, -1

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.now = epoch
        if epoch == self.epoch and not self.inside:
            self.what(trainer)

    def on_chunk_end(self, trainer: fastbp.Trainer) -> None:
        if self.now == self.epoch and self.inside:
            self.what(trainer)


def explode(trainer: fastbp.Trainer) -> None:
    trainer.learning_rate = 1e9


def halve(trainer: fastbp.Trainer) -> None:
    net = trainer.network
    net.set_weights([w / 2 for w in net.get_weights()])


def halve_and_stop(trainer: fastbp.Trainer) -> None:
    halve(trainer)
    trainer.stop("halved")


def by_another_trainer(trainer: fastbp.Trainer) -> None:
    fastbp.Trainer(trainer.network, "mse", "sgd", seed=0).step(X, target(X))
    trainer.stop("stepped")


def interrupt(_: fastbp.Trainer) -> None:
    raise KeyboardInterrupt


def fail(_: fastbp.Trainer) -> None:
    raise OSError("on purpose")


def refuse(_: object) -> None:
    raise RuntimeError("another trainer is at work on this network")


def stop(trainer: fastbp.Trainer) -> None:
    trainer.stop("enough")


ENDS = [stop, halve, halve_and_stop, by_another_trainer, explode, interrupt, fail]


@pytest.mark.parametrize("best", [2, 3])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("on_divergence", ["raise", "stop"])
@pytest.mark.parametrize("what", ENDS)
def test_the_best_weights_come_back(
    what: Callable[[fastbp.Trainer], None], on_divergence: str, inside: bool, best: int,
    monkeypatch: Any,
) -> None:  # fmt: skip
    """Where the best epoch is the last one or another, whatever ends the fit after epoch 3."""
    monkeypatch.setattr(fitting, "_CHUNK_SECONDS", 0.0)
    figures = Figures([9.0, 8.0, 7.0, 6.0 if best == 3 else 7.5, *[8.0] * 99])
    stopping = fastbp.EarlyStopping(patience=4)
    assert (stopping.best, stopping.best_epoch, stopping.best_weights) == (None, None, None)
    trainer = build(on_divergence=on_divergence)
    try:
        history = trainer.fit(
            X, target(X), 50, validation_data=(V, target(V)),
            callbacks=[figures, stopping, At(3, what, inside)],
        )  # fmt: skip
    except (fastbp.DivergenceError, KeyboardInterrupt, OSError):
        assert trainer.history is not None
        history = trainer.history
    assert len(history.loss) < 50
    assert equal(trainer.network.get_weights(), figures.seen[best])
    assert (stopping.best, stopping.best_epoch) == (figures.values[best], best)
    assert stopping.best_weights is not None
    assert equal(stopping.best_weights, figures.seen[best])
    assert history.network_epoch == best


def test_a_budget_gives_back_what_is_best(monkeypatch: Any) -> None:
    """Spent within an epoch, after the best one's end; and by an exception."""
    monkeypatch.setattr(fitting, "_CHUNK_SECONDS", 0.0)
    for end in (stop, interrupt, explode):
        figures, budget = Figures([3.0, 1.0, 2.0, 2.0, 2.0, 2.0]), fastbp.TimeBudget(1e9)
        trainer = build()
        with contextlib.suppress(KeyboardInterrupt, fastbp.DivergenceError):
            trainer.fit(
                X, target(X), 6, validation_data=(V, target(V)),
                callbacks=[figures, budget, At(1, end, True)],
            )  # fmt: skip
        assert equal(trainer.network.get_weights(), figures.seen[1])
        assert (budget.best, budget.best_epoch) == (1.0, 1)


def test_without_restoring_nothing_is_given_back() -> None:
    stopping = fastbp.EarlyStopping(restore_best_weights=False, patience=1)
    figures = Figures([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    trainer = build()
    trainer.fit(X, target(X), 6, validation_data=(V, target(V)), callbacks=[figures, stopping])
    assert equal(trainer.network.get_weights(), figures.seen[3])
    assert (stopping.best, stopping.best_epoch, stopping.best_weights) == (1.0, 1, None)


def test_cancelled_in_an_epoch(monkeypatch: Any) -> None:
    monkeypatch.setattr(fitting, "_CHUNK_SECONDS", 0.0)
    figures = Figures([9.0, 8.0, 7.0, *[8.0] * 99])
    trainer, begun = build(), threading.Event()

    def cancel(_: fastbp.Trainer) -> None:
        assert begun.wait(60)
        handle.cancel()

    handle = trainer.fit_async(
        X, target(X), 50, validation_data=(V, target(V)),
        callbacks=[figures, fastbp.EarlyStopping(), At(2, cancel, True)],
    )  # fmt: skip
    begun.set()
    history = handle.result(60)
    assert history.stopped == "cancelled"
    assert history.network_epoch == 2
    assert equal(trainer.network.get_weights(), figures.seen[2])


def test_a_run_that_was_broken_off_resumes_exactly(tmp_path: Path, monkeypatch: Any) -> None:
    """Its best weights are back in the network, and its own are what `save` writes."""
    monkeypatch.setattr(fitting, "_CHUNK_SECONDS", 0.0)
    values = [9.0, 8.0, 7.0, 7.5, 7.25, 7.1, 6.0, 6.5]
    whole, broken, resumed = build(), build(), build()
    sets = {"validation_data": (V, target(V))}
    whole.fit(X, target(X), 8, callbacks=[Figures(values), fastbp.EarlyStopping()], **sets)  # type: ignore[arg-type]
    figures = Figures(values)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(
            X, target(X), 8, callbacks=[figures, fastbp.EarlyStopping(), At(4, interrupt, True)],
            **sets,  # type: ignore[arg-type]
        )  # fmt: skip
    assert equal(broken.network.get_weights(), figures.seen[2])
    broken.save(tmp_path / "run")
    resumed.fit(
        X, target(X), 8, callbacks=[Figures(values), fastbp.EarlyStopping()],
        resume=tmp_path / "run", **sets,  # type: ignore[arg-type]
    )  # fmt: skip
    assert equal(resumed.network.get_weights(), whole.network.get_weights())
    halve(broken)  # then they are the trainer's
    broken.save(tmp_path / "changed")
    assert equal(
        fastbp.Trainer.load(tmp_path / "changed").network.get_weights(),
        broken.network.get_weights(),
    )


class Clip(fastbp.Callback):
    """Changes weights after each epoch, and says a figure of its own if it is given one."""

    def __init__(self, figures: list[float] | None = None) -> None:
        self.figures, self.seen = figures, []  # type: ignore[var-annotated]

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        net = trainer.network
        net.set_weights([np.clip(w, -0.1, 0.1) for w in net.get_weights()])
        self.seen.append(net.get_weights())
        if self.figures is not None:
            logs["val_loss"] = self.figures[epoch]


@pytest.mark.parametrize("figures", [None, [3.0, 1.0, 2.0, 2.5]])
def test_weights_belong_to_their_figure(figures: list[float] | None) -> None:
    """Where a callback earlier in the list changes weights, with a figure of its own or without."""
    trainer, clip, stopping = build(), Clip(figures), fastbp.EarlyStopping()
    sets = (V, target(V))
    trainer.fit(X, target(X), 4, validation_data=sets, callbacks=[clip, stopping])
    if figures is None:
        assert trainer.evaluate(*sets)["loss"] == pytest.approx(stopping.best, rel=1e-6)
    else:
        assert equal(trainer.network.get_weights(), clip.seen[1])


def test_what_a_later_callback_sets_at_the_end_stays() -> None:
    """And the history doesn't say that it is the best epoch's."""
    epochs = []

    class Average(fastbp.Callback):
        def on_train_end(self, trainer: fastbp.Trainer, history: fastbp.History) -> None:
            epochs.append(history.network_epoch)
            halve(trainer)

    figures = Figures([3.0, 1.0, 2.0, 2.0])
    trainer, stopping = build(), fastbp.EarlyStopping()
    history = trainer.fit(
        X, target(X), 4, validation_data=(V, target(V)), callbacks=[figures, stopping, Average()]
    )
    assert equal(trainer.network.get_weights(), [w / 2 for w in figures.seen[1]])
    assert (epochs, history.network_epoch) == ([1], None)


@pytest.mark.parametrize("how", ["callback", "network", "interrupt"])
def test_the_best_of_an_earlier_fit_stays_there(how: str, tmp_path: Path, monkeypatch: Any) -> None:
    """A fit that ends before its callbacks have begun gives nothing back."""
    trainer, stopping = build(), fastbp.EarlyStopping()
    sets = {"validation_data": (V, target(V))}
    figures = Figures([3.0, 1.0, 2.0])
    trainer.fit(X, target(X), 3, callbacks=[figures, stopping], **sets)  # type: ignore[arg-type]
    trainer.step(X, target(X))
    now, callbacks = trainer.network.get_weights(), [stopping]
    error: Any = OSError
    if how == "callback":
        callbacks.insert(0, fastbp.CSVLogger(tmp_path / "nowhere" / "log.csv"))  # type: ignore[arg-type]
    elif how == "network":
        error = RuntimeError
        monkeypatch.setattr(trainer.network._parameters, "begin_training", refuse)
    else:
        error = KeyboardInterrupt
        monkeypatch.setattr(trainer._session.engine.rates, "begin", lambda *_: interrupt(trainer))
    with pytest.raises(error):
        trainer.fit(X, target(X), 3, callbacks=callbacks, **sets)  # type: ignore[arg-type]
    assert equal(trainer.network.get_weights(), now)
    assert trainer.history is not None
    assert trainer.history.network_epoch is None


def test_figures_that_are_no_floats(tmp_path: Path) -> None:
    """Whole numbers and arrays of one value are figures too, and are saved and resumed from."""
    for kind in (int, np.array, np.float32, bool):
        folder = tmp_path / str(kind)
        for resume in (None, folder):
            figures = Figures([kind(v) for v in (3.0, 2.0, 1.0, 0.0, 0.0)])  # type: ignore[operator]
            stopping = fastbp.EarlyStopping()
            history = build().fit(
                X, target(X), 2 if resume is None else 4, validation_data=(V, target(V)),
                callbacks=[figures, stopping, fastbp.Checkpoint(folder)], resume=resume,
            )  # fmt: skip
        assert all(type(v) is float for v in history.val_loss)
        assert stopping.best == float(kind(0.0))  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore:.*not to the same bits:RuntimeWarning")
def test_the_best_of_another_figure_is_none(tmp_path: Path) -> None:
    """A run that is resumed with another monitor begins anew to look for the best."""
    figures = Figures([1.0] * 99)
    build().fit(
        X, target(X), 8, validation_data=(V, target(V)),
        callbacks=[figures, fastbp.EarlyStopping(patience=6), fastbp.Checkpoint(tmp_path)],
    )  # fmt: skip
    stopping = fastbp.EarlyStopping("loss", patience=3)
    history = build().fit(
        X, target(X), 20, validation_data=(V, target(V)),
        callbacks=[Figures([1.0] * 99), stopping], resume=tmp_path,
    )  # fmt: skip
    assert len(history.loss) == 20
    assert stopping.best == min(history.loss[8:])


def test_compiled_code_changes_weights_too() -> None:
    """By kernels of a person's own, which count no version: nobody trusts one any more."""
    train, rows = fastbp.jit.train_batch, np.ascontiguousarray(X, np.float32)
    wanted = np.ascontiguousarray(target(X)[:, None], np.float32)

    @numba.njit(nogil=True)
    def go(state: Any, X: Any, y: Any) -> Any:
        return train(state, X, y)

    trainer = build(batch_size=100)
    trainer.step(X, target(X))
    state = trainer.compiled(rows=100)
    for _ in range(20):
        go(state, rows, wanted)
    before, updates = trainer.network.get_weights(), trainer._session.engine.rates.steps
    trainer.learning_rate = 1e38
    with pytest.raises(fastbp.DivergenceError, match="is as it was before it"):
        trainer.step(X, 1e10 * target(X))
    assert equal(trainer.network.get_weights(), before)
    assert trainer._session.engine.rates.steps == updates == 21
    trainer.learning_rate = 0.02

    def train_on(_: fastbp.Trainer) -> None:
        go(state, rows, wanted)

    figures = Figures([3.0, 1.0, 2.0])
    trainer.fit(
        X, target(X), 2, validation_data=(V, target(V)),
        callbacks=[figures, fastbp.EarlyStopping(), At(1, train_on, False)],
    )  # fmt: skip
    assert equal(trainer.network.get_weights(), figures.seen[1])


# ------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("optimizer", [fastbp.SGD(0.02), fastbp.Adam(0.02), fastbp.Rprop()])
@pytest.mark.parametrize("epochs", [1, 2, 30, 200])
def test_divergence_costs_an_epoch_at_most(optimizer: Any, epochs: int) -> None:
    """Or a fiftieth of what there was."""
    trainer, figures = build(optimizer, on_divergence="raise"), Figures([1.0] * 999)
    bad = np.full(100, 3e38, np.float32)
    trainer.fit(X, target(X), epochs - 1)
    before = trainer.network.get_weights()
    history = trainer.fit(X, target(X), 1, callbacks=[figures])
    last = trainer.network.get_weights()
    assert history.network_epoch == epochs - 1
    with pytest.raises(fastbp.DivergenceError) as raised:
        trainer.fit(X, bad, 3)
    assert equal(trainer.network.get_weights(), last)
    assert not equal(last, before)
    where = f"at the end of epoch {epochs - 1}"
    assert str(raised.value).endswith(f"The network is as it was {where}")
    assert raised.value.history is not None
    assert raised.value.history.network_epoch == epochs - 1


@pytest.mark.parametrize("mode", ["raise", "stop"])
@pytest.mark.parametrize("fatal", [1, 2, 50, 200, 700])
def test_late_divergence(mode: str, fatal: int) -> None:
    trainer, figures = build(on_divergence=mode), Figures([1.0] * 999)
    callbacks = [figures, At(fatal - 1, explode, False)]
    if mode == "stop":
        history = trainer.fit(X, target(X), 999, callbacks=callbacks)
        told = str(history.stopped)
    else:
        with pytest.raises(fastbp.DivergenceError) as raised:
            trainer.fit(X, target(X), 999, callbacks=callbacks)
        assert raised.value.history is not None
        assert raised.value.epoch in (fatal, fatal + 1)
        history, told = raised.value.history, str(raised.value)
    at = history.network_epoch
    assert at is not None
    assert fatal - 1 - at <= max(1, 0.02 * fatal)
    assert f"he network is as it was at the end of epoch {at}" in told
    assert equal(trainer.network.get_weights(), figures.seen[at])


def test_what_leads_to_divergence_twice_is_left() -> None:
    """First the last snapshot, then that of the fit's beginning, until there is a new one."""
    trainer = build(fastbp.SGD(0.02, momentum=0.9), on_divergence="reduce")
    engine = trainer._session.engine
    recovery = Recovery(engine.parameters, engine.snapshot, engine.rates, 32, 4, reduces=True)
    kept = []

    def change() -> None:
        halve(trainer)
        engine.slots[0] += 1.0

    def keep(first: bool = False) -> None:
        change()
        assert recovery.take(0, 0, first)
        kept.append((trainer.network.get_weights(), engine.slots[0].copy()))

    def back_at(which: int) -> bool:
        change()
        recovery.go_back()
        weights, velocity = kept[which]
        same = np.array_equal(engine.slots[0], velocity)
        return same and equal(trainer.network.get_weights(), weights)

    keep(first=True)
    keep()
    assert [back_at(1), back_at(0), back_at(0)] == [True, True, True]
    keep()
    assert [back_at(2), back_at(0)] == [True, True]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_half_the_rate_begins_from_weights_that_can_be_gone_on_from(
    seed: int, momentum: float
) -> None:
    """Not from those of an epoch that was on its way to infinity, nor with such a momentum."""
    y = np.sin(X[:, 0]) + X[:, 1] ** 2
    net = fastbp.Network(4, [fastbp.Dense(16, "relu"), fastbp.Dense(1)], seed=seed)
    rate = 2.0 if momentum == 0.0 else 0.5
    trainer = fastbp.Trainer(
        net, "mse", fastbp.SGD(rate, momentum=momentum), seed=seed, on_divergence="reduce"
    )
    start = trainer.evaluate(X, y)["loss"]
    trainer.fit(X, y, 100)
    assert trainer.learning_rate < rate
    assert trainer.evaluate(X, y)["loss"] < start


def test_weights_that_a_callback_sets_are_progress(monkeypatch: Any) -> None:
    """Set inside an epoch too, whose snapshots are far apart."""
    monkeypatch.setattr(fitting, "_CHUNK_SECONDS", 0.0)
    for inside in (False, True):
        trainer, kept = build(batch_size=1), []

        def meddle(trainer: fastbp.Trainer, kept: list[Any] = kept) -> None:
            if not kept:
                halve(trainer)
                kept.append(trainer.network.get_weights())
                explode(trainer)

        with pytest.raises(fastbp.DivergenceError):
            trainer.fit(X, target(X), 9, callbacks=[At(2, meddle, inside)])
        assert equal(trainer.network.get_weights(), kept[0])


def test_stopped_with_infinite_weights() -> None:
    """The last update overflows, and a callback ends the fit: its losses were finite."""
    net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], seed=0)
    net.set_weights([[[1.0]]])
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(3e38), batch_size=1, seed=0)
    with pytest.raises(fastbp.DivergenceError, match="a weight became infinite or NaN in epoch 0"):
        trainer.fit([[1.0]], [-9.0], 9, callbacks=[At(0, stop, False)])
    assert net.get_weights()[0] == 1.0


@pytest.mark.parametrize("layers", [1, 3])
def test_a_step_that_overflows(layers: int) -> None:
    """The weights, the optimizer and the count of updates are as before it; so a retry is exact."""
    dense = [fastbp.Dense(40, "linear") for _ in range(layers - 1)]
    net = fastbp.Network(4, [*dense, fastbp.Dense(1)], seed=0)
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(0.01, momentum=0.9), seed=0)
    twin = copy.deepcopy(trainer)
    for one in (trainer, twin):
        for _ in range(3):
            one.step(X, target(X))
    before = net.get_weights()
    trainer.learning_rate = 3e38
    with pytest.raises(fastbp.DivergenceError, match="a weight became infinite or NaN by this up"):
        trainer.step(X, 1e3 * target(X))
    assert equal(net.get_weights(), before)
    trainer.learning_rate = 0.01
    assert trainer.step(X, target(X)) == twin.step(X, target(X))
    assert equal(net.get_weights(), twin.network.get_weights())


def test_a_step_may_overflow_where_that_is_ignored() -> None:
    trainer = build(fastbp.SGD(3e38), on_divergence="ignore")
    trainer.step(X, 1e3 * target(X))
    assert not all(np.isfinite(w).all() for w in trainer.network.get_weights())


# ------------------------------------------------------------------- one owner of the weights

SOLVERS = [fastbp.LBFGS(), fastbp.LevenbergMarquardt()]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("by", ["callback", "trainer", "thread"])
def test_solvers_go_on_from_weights_that_are_set(solver: Any, by: str) -> None:
    """As a new trainer would that begins there (L-BFGS without its history)."""
    trainer = build(solver, batch_size=None)
    there = [w * 0.5 + 0.25 for w in trainer.network.get_weights()]
    start = build(solver, batch_size=None)
    start.network.set_weights(there)
    expected = start.fit(X, target(X), 1).loss[0]

    def meddle(trainer: fastbp.Trainer) -> None:
        if by == "trainer":
            other = fastbp.Trainer(trainer.network, "mse", fastbp.SGD(0.0), batch_size=None)
            trainer.network.set_weights(there)
            other.step(X, target(X))
        elif by == "thread":
            thread = threading.Thread(target=trainer.network.set_weights, args=(there,))
            thread.start()
            thread.join()
        else:
            trainer.network.set_weights(there)

    history = trainer.fit(X, target(X), 4, callbacks=[At(1, meddle, False)])
    assert history.loss[2] == pytest.approx(expected, rel=1e-6)
    assert history.loss[3] < history.loss[2]
    assert trainer.evaluate(X, target(X))["loss"] < history.loss[3]


@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_set_in_the_midst_of_an_iteration_stay(solver: Any, monkeypatch: Any) -> None:
    trainer = build(solver, batch_size=None)
    there = [w * 0.5 + 0.25 for w in trainer.network.get_weights()]
    driver = trainer._session.solver
    assert driver is not None
    accept, left = driver.accept, [2]

    def meddled() -> bool:
        left[0] -= 1
        if left[0] == 0:
            trainer.network.set_weights(there)
        return accept()

    monkeypatch.setattr(driver, "accept", meddled)
    seen = Figures([1.0] * 9)
    history = trainer.fit(X, target(X), 3, callbacks=[seen])
    assert equal(seen.seen[1], there)
    trainer.network.set_weights(there)
    assert history.loss[2] == pytest.approx(trainer.evaluate(X, target(X))["loss"], rel=1e-6)
    trainer.network.set_weights(seen.seen[2])
    assert trainer.evaluate(X, target(X))["loss"] < history.loss[2]


# --------------------------------------------------------------------------------- copies


def copies() -> list[Callable[[fastbp.Trainer], Any]]:
    return [copy.copy, copy.deepcopy, pickle.dumps]


@pytest.mark.parametrize("make", copies())
def test_a_trainer_at_work_is_not_copied(make: Callable[[fastbp.Trainer], Any]) -> None:
    trainer, begun, go = build(), threading.Event(), threading.Event()

    def wait(_: fastbp.Trainer) -> None:
        begun.set()
        go.wait(60)

    handle = trainer.fit_async(X, target(X), 3, callbacks=[At(0, wait, False)])
    assert begun.wait(60)
    try:
        with pytest.raises(RuntimeError, match="at work in another thread"):
            make(trainer)
        assert isinstance(make(trainer.network), (fastbp.Network, bytes))
    finally:
        go.set()
    handle.result(60)
    make(trainer)


@pytest.mark.parametrize("make", copies())
def test_a_callback_may_copy_its_trainer(make: Callable[[fastbp.Trainer], Any]) -> None:
    """The copy is as after the epoch, and the fit goes on as without it."""
    trainer, twin, made = build(fastbp.Adam()), build(fastbp.Adam()), []
    twin.fit(X, target(X), 5)
    trainer.fit(X, target(X), 5, callbacks=[At(2, lambda t: made.append(make(t)), False)])
    assert equal(trainer.network.get_weights(), twin.network.get_weights())
    one = pickle.loads(made[0]) if make is pickle.dumps else made[0]
    if make is copy.copy:
        assert one.network is trainer.network
    else:
        one.fit(X, target(X), 2)
        assert equal(one.network.get_weights(), twin.network.get_weights())


# ----------------------------------------------------------------------------- interrupts


def test_an_interrupt_at_any_line_of_a_fit(tmp_path: Path) -> None:
    """Nothing is left taken: others may train, and saving knows that it is outside."""
    line = 0
    while True:
        line += 1
        trainer = build()

        def fit(trainer: fastbp.Trainer = trainer) -> None:
            trainer.fit(X[:8], target(X[:8]), 2, callbacks=[fastbp.EarlyStopping("loss")])

        outcome = interrupt_at(line, fit, fitting.__file__)
        net = trainer.network
        if outcome.reached:
            other = fastbp.Trainer(net, "mse", seed=0)
            other.fit(X, target(X))
            expected = net.get_weights()
            trainer.save(tmp_path / "run")  # of the weights that the network has
            assert equal(fastbp.Trainer.load(tmp_path / "run").network.get_weights(), expected)
            history = trainer.history
            assert history is None or len(history.loss) == len(history.epoch)
            trainer.fit(X, target(X))
        else:
            break
    assert line > 100

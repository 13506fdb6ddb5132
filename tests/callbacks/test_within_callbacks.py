"""What a callback may call within a fit: it changes no bit; and what it may not."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp

RNG = np.random.default_rng(6)
X, Y = RNG.normal(size=(300, 4)), RNG.integers(0, 3, 300)
V, TO_V = RNG.normal(size=(77, 4)), RNG.integers(0, 3, 77)
METRICS = ["accuracy", "f1", "auc", "r2", "balanced_accuracy"]
HOOKS = ("on_train_begin", "on_epoch_begin", "on_chunk_end", "on_epoch_end", "on_settled",
         "on_train_end")  # fmt: skip


def build(optimizer: Any = "adam", **settings: Any) -> fastbp.Trainer:
    layers = [fastbp.Dense(11, "tanh", dropout=0.1), fastbp.Dense(3, "softmax")]
    net = fastbp.Network(4, layers, seed=1)
    settings = {"batch_size": 7, "seed": 2, "metrics": METRICS} | settings
    return fastbp.Trainer(net, "cross_entropy", optimizer, **settings)


def solver(name: str) -> fastbp.Trainer:
    net = fastbp.Network(4, [fastbp.Dense(5, "tanh"), fastbp.Dense(3)], dtype="float64", seed=1)
    return fastbp.Trainer(net, "mse", name, batch_size=None, metrics=["mae", "r2"], seed=2)


class Calls(fastbp.Callback):
    """Calls a function of the trainer at every moment of a fit, or some."""

    longest_chunk = 0.0  # so that there are several chunks

    def __init__(self, work: Any, hooks: Any = HOOKS) -> None:
        self.results: list[Any] = []
        for name in hooks:
            setattr(self, name, lambda trainer, *rest: self.results.append(work(trainer)))


def looks(trainer: fastbp.Trainer) -> Any:
    """All that a callback may call, on sets of other sizes than those of the fit."""
    net = trainer.network
    y = np.eye(3)[TO_V] if trainer.loss.name == "mse" else TO_V
    found = [
        trainer.evaluate(V, y), trainer.evaluate(V[:5], y[:5], np.ones(5)),
        trainer.gradients(V, y), net.predict(V), net.predict_classes(V), net.activations(V[:3]),
    ]  # fmt: skip
    assert trainer.evaluate(V, y) == found[0]
    return found


def figures(history: fastbp.History) -> dict[str, Any]:
    lists = {name: v for name, v in vars(history).items() if name != "samples_per_second"}
    return {**lists, "network_epoch": history.network_epoch}


@pytest.mark.parametrize("kind", ["batches", "threads", "lbfgs", "levenberg_marquardt"])
def test_looking_changes_no_bit(kind: str) -> None:
    """Metrics of the epoch under way, dropout's masks, the order, and what a solver keeps."""
    trainers = [
        solver(kind) if kind not in ("batches", "threads")
        else build(n_threads=2, batch_size=150) if kind == "threads" else build()
        for _ in range(2)
    ]  # fmt: skip
    targets = Y if kind in ("batches", "threads") else np.eye(3)[Y]
    held = TO_V if kind in ("batches", "threads") else np.eye(3)[TO_V]
    calls = Calls(looks)
    data: Any = {"validation_data": {"val": (V, held), "few": (V[:9], held[:9])}}
    here = trainers[0].fit(X, targets, 4, callbacks=[calls], **data)
    there = trainers[1].fit(X, targets, 4, **data)
    assert figures(here) == figures(there)
    for p, q in zip(*(t.network.get_weights() for t in trainers), strict=True):
        np.testing.assert_array_equal(p, q)
    least = 40 if kind == "batches" else 10
    assert len(calls.results) > least
    assert figures(trainers[0].fit(X, targets, 1)) == figures(trainers[1].fit(X, targets, 1))


def test_what_is_seen_is_the_network_as_it_is() -> None:
    """At each moment the figures are those of the weights that the network has then."""

    def compares(trainer: fastbp.Trainer) -> None:
        other = build()
        other.network.set_weights(trainer.network.get_weights())
        assert trainer.evaluate(V, TO_V) == other.evaluate(V, TO_V)
        assert trainer.gradients(V, TO_V)[0] == other.gradients(V, TO_V)[0]

    class Shifts(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
            trainer.network.set_weights([w + 0.1 for w in trainer.network.get_weights()])

    build().fit(X, Y, 2, callbacks=[Shifts(), Calls(compares)])


def test_figures_that_a_callback_adds_are_watched() -> None:
    """The public report's: a figure on data of one's own, by which the fit ends."""

    class Second(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
            logs["second"] = trainer.evaluate(V, TO_V)["loss"]

    stopping = fastbp.EarlyStopping("second", 2)
    trainer = build()
    history = trainer.fit(X, Y, 40, callbacks=[Second(), stopping])
    assert stopping.best == min(history.second)
    assert trainer.evaluate(V, TO_V)["loss"] == min(history.second)


def test_from_the_progress_and_in_the_background() -> None:
    trainer, found = build(), []

    def report(progress: fastbp.Progress) -> None:
        if progress.done_epoch:
            found.append(trainer.evaluate(V, TO_V)["accuracy"])

    history = trainer.fit(X, Y, 3, validation_data=(V, TO_V), progress=report)
    assert found == history.val_accuracy
    calls = Calls(looks)
    handle = build().fit_async(X, Y, 3, validation_data=(V, TO_V), callbacks=[calls])
    assert handle.result().val_accuracy == history.val_accuracy
    assert len(calls.results) > 10


def test_over_a_break(tmp_path: Path) -> None:
    """A checkpoint from within a fit is the same with a callback that evaluates."""
    expected = build().fit(X, Y, 4)
    calls = Calls(looks, ["on_epoch_end", "on_chunk_end"])
    build().fit(X, Y, 2, callbacks=[calls, fastbp.Checkpoint(tmp_path / "run")])
    history = build().fit(X, Y, 4, callbacks=[Calls(looks)], resume=tmp_path / "run")
    assert history.loss == expected.loss
    assert history.f1 == expected.f1


REFUSED = {
    "fit": lambda t: t.fit(V, TO_V),
    "fit_async": lambda t: t.fit_async(V, TO_V),
    "step": lambda t: t.step(V, TO_V),
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_trains_is_refused_in_its_own_words(name: str, hook: str) -> None:
    said = "in its own fit, from which a callback has called this: within it evaluate, gradients"
    with pytest.raises(RuntimeError, match=said):
        build().fit(X, Y, 2, callbacks=[Calls(REFUSED[name], [hook])])


def test_a_refusal_that_is_borne_changes_nothing() -> None:
    def tries(trainer: fastbp.Trainer) -> None:
        for call in REFUSED.values():
            with pytest.raises(RuntimeError, match="in its own fit"):
                call(trainer)

    here, there = build(), build()
    assert figures(here.fit(X, Y, 2, callbacks=[Calls(tries)])) == figures(there.fit(X, Y, 2))
    assert here.step(V, TO_V) == there.step(V, TO_V)


@pytest.mark.parametrize("call", [*REFUSED.values(), lambda t: t.evaluate(V, TO_V),
                                  lambda t: t.gradients(V, TO_V)])  # fmt: skip
def test_another_thread_is_refused_as_before(call: Any) -> None:
    found: list[str] = []

    def elsewhere(trainer: fastbp.Trainer) -> None:
        def work() -> None:
            try:
                call(trainer)
            except RuntimeError as error:
                found.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    build().fit(X, Y, 1, callbacks=[Calls(elsewhere, ["on_epoch_end"])])
    assert found == ["this trainer is at work in another thread; use one for each"]


def test_bad_arguments_are_named_within_a_fit() -> None:
    with pytest.raises(ValueError, match="X must have as many features"):
        build().fit(X, Y, callbacks=[Calls(lambda t: t.evaluate(V[:, :2], TO_V))])


def test_copies_within_a_fit() -> None:
    """Of a trainer that evaluates meanwhile."""

    def copies(trainer: fastbp.Trainer) -> Any:
        found = trainer.evaluate(V, TO_V)
        for copied in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
            assert copied.evaluate(V, TO_V) == found
            copied.step(V, TO_V)

    build().fit(X, Y, 1, callbacks=[Calls(copies, ["on_epoch_end", "on_epoch_begin"])])

"""What a trainer's state from a file must be: every number in its range, before anything changes.

A digest says that a file is what somebody wrote, not that it was fastbp. What becomes an index, a
count or a size further on is bounded here; each part of a trainer knows its own ranges
(``check_state`` of `Rates` and of the solvers, ``_check_state`` of callbacks).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.checks import integer, real
from fastbp.files.container import check_keys
from fastbp.history import check_lists
from fastbp.kernels import layout as lay
from fastbp.kernels.updates.hyper import HYPER_SIZE, LEARNING_RATE, STATE
from fastbp.layers.dense import check_weights, shapes
from fastbp.network import of_network
from fastbp.training import settings
from fastbp.training.divergence import MOST_REDUCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbp.callbacks.base import Callback
    from fastbp.trainer import Trainer

State = dict[str, Any]

PARTS = {"settings", "machine", "weights", "slots", "hyper", "counters", "rates", "solver", "fit"}
_FIT = {
    "inside", "results", "sums", "spent", "reductions", "lowest", "rising", "val_loss", "data",
    "validation", "history", "callbacks",
}  # fmt: skip
#: the greatest count: float64 holds all whole numbers up to it
MOST = 2**53


def check_parts(state: Any) -> None:
    """Raise ValueError unless all parts are there; "format" is the file's, or missing in memory."""
    check_keys("the checkpoint", state, PARTS, {"format"})


def check_architecture(state: State) -> None:
    """Raise TypeError or ValueError unless the weights are those of the network in the settings.

    Only then may a network be built as the settings say: a few digits could ask for any memory.
    """
    check_parts(state)
    settings.check_stored(state["settings"])
    about, weights = state["settings"]["network"], state["weights"]
    shapes: list[tuple[int, ...]] = []
    n_in = about["n_inputs"]
    for layer in about["layers"]:
        n_out = layer["units"]
        shapes.append((n_in, n_out))
        if layer["bias"]:
            shapes.append((1 if layer["bias"] == "shared" else n_out,))
        n_in = n_out
    if not isinstance(weights, list) or [np.shape(w) for w in weights] != shapes:
        raise ValueError("its weights are not shaped as its settings say")


def check(state: State, trainer: Trainer) -> None:
    """Raise TypeError or ValueError unless the state is one of a trainer with these settings."""
    check_parts(state)
    if not _is_texts(state["machine"]):
        raise TypeError("its machine must be a dict of strings")
    different = trainer._settings.differences(state["settings"], of_network(trainer.network))
    if different:
        raise ValueError(f"it is of another trainer: {'; '.join(different)}")
    network = trainer.network
    check_weights(state["weights"], network.n_inputs, network.layers, network.dtype)
    _check_slots(state["slots"], trainer)
    _check_hyper(state["hyper"], trainer)
    integer("its seed", state["settings"]["seed"], minimum=0, maximum=2**64 - 1)
    check_keys("its counters", state["counters"], {"epochs"})
    integer("its epochs", state["counters"]["epochs"], minimum=0, maximum=MOST)
    trainer._engine.rates.check_state(state["rates"])
    if trainer._solver is not None:
        trainer._solver.check_state(state["solver"])
    elif state["solver"] is not None:
        raise ValueError("its solver must be None")
    if state["fit"] is not None:
        _check_fit(state["fit"], trainer)


def not_finite(state: State) -> str | None:
    """What holds a value that is not finite: such a state is not written, and not read."""
    for what, arrays in (("a weight", state["weights"]), ("an optimizer slot", _flat(state))):
        if not all(np.isfinite(a).all() for a in arrays):
            return what
    return None


def _flat(state: State) -> Iterator[Any]:
    return (array for slot in state["slots"] for array in slot)


def _check_slots(slots: Any, trainer: Trainer) -> None:
    network, engine = trainer.network, trainer._engine
    expected = [shape for _, shape in shapes(network.n_inputs, network.layers)]
    if not isinstance(slots, list) or len(slots) != len(engine.slots):
        raise ValueError(f"it must have {len(engine.slots)} optimizer slots")
    for which, slot in enumerate(slots):
        if not isinstance(slot, list) or len(slot) != len(expected):
            raise ValueError("its optimizer slots are not shaped as the weights")
        low = 0.0 if which in engine._update.squares else -math.inf
        for i, (array, shape) in enumerate(zip(slot, expected, strict=True)):
            what = f"its optimizer slot {which}, array {i},"
            check_array(what, array, shape, network.dtype, low=low)


def _check_hyper(hyper: Any, trainer: Trainer) -> None:
    check_array("its hyper", hyper, (HYPER_SIZE,), "float64")
    real("its last learning rate", hyper[LEARNING_RATE], low=0.0)
    for i, most in enumerate(trainer._engine._update.most):
        real(f"its hyper[{STATE + i}]", hyper[STATE + i], low=0.0, high=most)


def _check_fit(fit: Any, trainer: Trainer) -> None:
    check_keys("its fit", fit, _FIT)
    if type(fit["lowest"]) is not float or math.isnan(fit["lowest"]):
        raise TypeError(f"its lowest must be a float, got {fit['lowest']!r}")
    if not isinstance(fit["rising"], bool):
        raise TypeError(f"its rising must be True or False, got {fit['rising']!r}")
    integer("its reductions", fit["reductions"], minimum=0, maximum=MOST_REDUCTIONS)
    real("its spent", fit["spent"], low=0.0)
    if fit["val_loss"] is not None and type(fit["val_loss"]) is not float:
        raise TypeError(f"its val_loss must be a float or None, got {fit['val_loss']!r}")
    _check_fingerprint("its data", fit["data"])
    if fit["validation"] is not None:
        _check_fingerprint("its validation data", fit["validation"])
    _check_history(fit["history"])
    if not isinstance(fit["callbacks"], list):
        raise TypeError("its callbacks must be a list")
    for entry in fit["callbacks"]:
        check_keys("a callback", entry, {"kind", "settings", "state"})
        known = entry["settings"] is None or _is_texts(entry["settings"])
        if not (isinstance(entry["kind"], str) and known and isinstance(entry["state"], dict)):
            raise TypeError("a callback must have a kind, settings and a state")
    if not isinstance(fit["inside"], bool):
        raise TypeError(f"its inside must be True or False, got {fit['inside']!r}")
    if fit["inside"] and trainer._solver is not None:
        raise ValueError("its inside must be False: a solver's epoch is one iteration")
    if fit["inside"]:
        _check_place(fit, trainer)


def _check_place(fit: State, trainer: Trainer) -> None:
    """Where it stands in an epoch; `check_samples` knows how many batches there are."""
    results, anything = fit["results"], trainer.on_divergence == "ignore"
    if not isinstance(results, np.ndarray) or results.dtype != np.float64 or results.ndim != 1:
        raise TypeError("its results must be a row of float64")
    if len(results) < lay.R_STATUS:
        raise ValueError(f"its results must be at least {lay.R_STATUS} values, got {len(results)}")
    _whole("its batches", results[lay.R_BATCHES])
    real("its weight", results[lay.R_WEIGHT], low=0.0)
    if not anything:
        real("its error", results[lay.R_ERROR])
    taken = [metric for metric in trainer.metrics if not metric._whole]
    sizes = [metric._sums(trainer.network.n_outputs) for metric in taken]
    check_array("its sums", fit["sums"], (sum(sizes),), "float64", nan=anything, high=math.inf)
    for metric, end, size in zip(taken, np.cumsum(sizes), sizes, strict=True):
        if metric._positive and (fit["sums"][end - size : end] < 0.0).any():
            raise ValueError(f"its sums of {metric.name!r} must be at least 0")


def check_samples(fit: State, n_batches: int) -> None:
    """Raise for a place in an epoch that one of so many batches hasn't."""
    if fit["inside"]:
        integer("its batches", int(fit["results"][lay.R_BATCHES]), minimum=0, maximum=n_batches)


def _check_fingerprint(what: str, found: Any) -> None:
    if not isinstance(found, dict) or not found.keys() <= {"X", "y", "sample_weight"}:
        raise ValueError(f"{what} must be of X, y and sample_weight")
    for name, entry in found.items():
        check_keys(f"{what} {name}", entry, {"about", "whole", "sample"})
        texts = isinstance(entry["about"], str) and isinstance(entry["sample"], str)
        if not (texts and isinstance(entry["whole"], (str, type(None)))):
            raise TypeError(f"{what} {name} must be described by strings")


def _check_history(history: Any) -> None:
    if not isinstance(history, dict):
        raise TypeError(f"its history must be a dict, got {type(history).__name__}")
    for name, values in history.items():
        if not isinstance(values, np.ndarray) or values.dtype != np.float64 or values.ndim != 1:
            raise TypeError(f"its history's {name} must be a row of float64")
    check_lists(history)
    for value in history["epoch"]:
        _whole("its history's epoch", value)


def paired(callbacks: Sequence[Callback], saved: list[State]) -> list[tuple[Callback, State]]:
    """Each callback with the first saved one of its kind that no other has taken."""
    left, found = list(saved), []
    for callback in callbacks:
        for i, entry in enumerate(left):
            if entry["kind"] == type(callback).__name__:
                found.append((callback, left.pop(i)))
                break
    return found


def check_callbacks(callbacks: Sequence[Callback], state: State, trainer: Trainer) -> None:
    """Raise for a state of a callback that can't be restored; a person's own are their own."""
    saved = [] if state["fit"] is None else state["fit"]["callbacks"]
    for callback, entry in paired(callbacks, saved):
        callback._check_state(trainer, entry["state"])


def check_array(
    what: str, array: Any, shape: tuple[int, ...], dtype: str, *,
    low: float = -math.inf, high: float | None = None, nan: bool = False,
) -> None:  # fmt: skip
    """Raise unless it is an array of that shape and kind, finite, and at least `low`.

    With `high`, infinities are right up to it, and with `nan` anything is.
    """
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TypeError(f"{what} must be an array of {dtype}")
    if array.shape != shape:
        raise ValueError(f"{what} must be of shape {shape}, got {array.shape}")
    right = ~np.isnan(array) if high is not None else np.isfinite(array)
    if not nan and not (right & (array >= low)).all():
        raise ValueError(
            f"{what} must hold {'numbers' if high is not None else 'finite numbers'}"
            f"{' of at least 0' if low == 0.0 else ''}"
        )


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _whole(what: str, value: Any) -> int:
    """Return a float that is a count."""
    number = float(value)
    if not (0.0 <= number <= MOST and number == math.floor(number)):
        raise ValueError(f"{what} must be a whole number in [0, {MOST}], got {number}")
    return int(number)

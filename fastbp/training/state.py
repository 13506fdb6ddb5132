"""All that a trainer has come to, as plain data and arrays: taken from it, given to it again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import llvmlite
import numba
import numpy as np
from numpy.typing import NDArray

from fastbp.data import fingerprint
from fastbp.history import NOT_FIGURES
from fastbp.kernels import layout as lay
from fastbp.kernels.compiling.target import CPU_NAME, VECTOR_BYTES
from fastbp.kernels.updates.hyper import LEARNING_RATE, OWN, STATE
from fastbp.network import of_network
from fastbp.training.state_checks import paired
from fastbp.version import __version__

if TYPE_CHECKING:
    from fastbp.trainer import Trainer
    from fastbp.training.fit import Fit

Array = NDArray[Any]
State = dict[str, Any]


def taken(trainer: Trainer, *, with_fit: bool = True) -> State:
    """A copy of a trainer's state; between two updates."""
    engine = trainer._engine
    fit = trainer._fit if with_fit else None
    return {
        "settings": {"network": of_network(trainer.network), **trainer._settings.described()},
        "machine": machine(),
        "weights": _weights(trainer),
        "slots": [engine.parameters.unpack(slot) for slot in engine.slots],
        "hyper": engine.hyper.copy(),
        "counters": {"epochs": trainer._epochs_done},
        "rates": engine.rates.state(),
        "solver": None if trainer._solver is None else trainer._solver.state(),
        "fit": None if fit is None else taken_fit(fit),
    }


def _weights(trainer: Trainer) -> list[Array]:
    """The run's: of a fit that was broken off, as it was left, if nobody has changed them since."""
    parameters, left = trainer._engine.parameters, trainer._left
    if left is not None and left[0] == parameters.version:
        return left[1]
    return parameters.unpack(parameters.buffer)


def given(trainer: Trainer, state: State) -> None:
    """Bring a trainer to a state that `check` has let pass."""
    trainer.network.set_weights(state["weights"])
    given_beside_weights(trainer, state)


def given_beside_weights(trainer: Trainer, state: State) -> None:
    """The same, the network having its weights."""
    engine = trainer._engine
    for slot, values in zip(engine.slots, state["slots"], strict=True):
        engine.parameters.pack_slot(slot, values)
    for part in (slice(LEARNING_RATE, OWN), slice(STATE, None)):  # constants are settings
        engine.hyper[part] = state["hyper"][part]
    trainer._settings = trainer._settings.changed("seed", state["settings"]["seed"])
    trainer._epochs_done = state["counters"]["epochs"]
    engine.rates.set_state(state["rates"])
    if trainer._solver is not None:
        trainer._solver.set_state(state["solver"])


def machine() -> dict[str, str]:
    """What the bits of a run depend on, beside its settings and data."""
    return {
        "fastbp": __version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
        "CPU": f"{CPU_NAME}, vectors of {VECTOR_BYTES} bytes",
    }


def taken_fit(fit: Fit) -> State:
    """What a checkpoint keeps of a fit, with where it is inside its epoch."""
    data, validation = fit.fingerprints
    inside = fit.inside and fit.solver is None
    figures = {k: v for k, v in vars(fit.history).items() if k not in NOT_FIGURES}
    return {
        "inside": inside,
        "results": fit.results.copy() if inside else None,
        "sums": fit.measuring.sums.copy() if inside else None,
        "spent": fit.spent,
        "reductions": fit.reductions,
        "lowest": math.inf if fit.recovery is None else fit.recovery.lowest,
        "rising": fit.recovery is None or fit.recovery.rising,
        "val_loss": fit.val_loss,
        "data": data,
        "validation": validation,
        "history": {name: np.array(list_, np.float64) for name, list_ in figures.items()},
        "callbacks": _taken_callbacks(fit),
    }


def _taken_callbacks(fit: Fit) -> list[State]:
    """What is kept of the callbacks: as they are, or were saved, if they are still to be restored.

    (Files of the first format hold less of them.)
    """
    saved = fit.resumed if fit.callbacks_resume else None
    if saved is not None and saved["fit"] is not None and saved["format"] > 1:
        return list(saved["fit"]["callbacks"])
    return [
        {"kind": type(c).__name__, "settings": known, "state": c.state()}
        for c, known in zip(fit.callbacks, fit.callback_settings, strict=True)
    ]


def given_fit(fit: Fit, state: State) -> None:
    """Have a fit, and its trainer, stand where the saved one stood."""
    given(fit.trainer, state)
    kept = state["fit"]
    if kept is None:
        return
    fit.reductions, fit.val_loss, fit.spent = kept["reductions"], kept["val_loss"], kept["spent"]
    if fit.recovery is not None:
        fit.recovery.lowest, fit.recovery.rising = kept["lowest"], kept["rising"]
    for name, values in kept["history"].items():
        kind = int if name == "epoch" else float
        vars(fit.history)[name] = [kind(value) for value in values]
    if kept["inside"] and not fingerprint.differences("", kept["data"], fit.fingerprints[0]):
        fit.measuring.begin(fit.samples)
        fit.measuring.sums[:] = kept["sums"]
        # The rest are places of threads, of which there may be another number.
        fit.results[: lay.R_STATUS] = kept["results"][: lay.R_STATUS]
        fit.inside = True


def given_callbacks(fit: Fit, state: State) -> None:
    """Restore each callback from the saved one that it is paired with, if it monitors the same."""
    saved = [] if state["fit"] is None else state["fit"]["callbacks"]
    known = {id(c): s or {} for c, s in zip(fit.callbacks, fit.callback_settings, strict=True)}
    for callback, entry in paired(fit.callbacks, saved):
        before, now = entry.get("settings") or {}, known[id(callback)]
        # What is the best of one figure says nothing of another one.
        if before.get("monitor", now.get("monitor")) == now.get("monitor"):
            callback.restore(fit.trainer, entry["state"])

"""All that a trainer has come to, as plain data and arrays: taken from it, given to it again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core import config
from numpy.typing import NDArray

import fastbp
from fastbp import panels, settings
from fastbp.checks import integer
from fastbp.container import check_keys
from fastbp.history import NOT_FIGURES
from fastbp.inputs import Samples
from fastbp.kernels import layout as lay
from fastbp.kernels.hyper import HYPER_SIZE, LEARNING_RATE, OWN, STATE
from fastbp.kernels.target import VECTOR_BYTES

if TYPE_CHECKING:
    from fastbp.fitting import Fit
    from fastbp.trainer import Trainer

Array = NDArray[Any]
State = dict[str, Any]

PARTS = {"settings", "machine", "weights", "slots", "hyper", "counters", "rates", "solver", "fit"}
_FIT = {
    "inside", "results", "sums", "spent", "reductions", "val_loss", "data", "history", "callbacks",
}  # fmt: skip
_SAMPLES = 64  # rows of the data that its fingerprint looks at


def taken(trainer: Trainer) -> State:
    """A copy of a trainer's state; between two updates."""
    engine, network = trainer._engine, trainer.network
    fit = trainer._fit
    return {
        "settings": settings.of_trainer(trainer),
        "machine": machine(),
        "weights": _weights(trainer),
        "slots": [panels.read(network, slot) for slot in engine.slots],
        "hyper": engine.hyper.copy(),
        "counters": {"epochs": trainer._epochs_done},
        "rates": engine.rates.state(),
        "solver": None if trainer._solver is None else trainer._solver.state(),
        "fit": None if fit is None else taken_fit(fit),
    }


def _weights(trainer: Trainer) -> list[Array]:
    """The run's: of a fit that was broken off, as it was left, if nobody has changed them since."""
    network, left = trainer.network, trainer._left
    if left is not None and left[0] == network._version:
        return left[1]
    return panels.read(network, network._parameters)


def check(state: State, trainer: Trainer) -> None:
    """Raise ValueError unless the state is one of a trainer with these settings."""
    check_keys("the checkpoint", state, PARTS)
    if not isinstance(state["machine"], dict):
        raise ValueError("its machine must be a dict")
    different = settings.differences(state["settings"], trainer)
    if different:
        raise ValueError(f"it is of another trainer: {'; '.join(different)}")
    network, engine = trainer.network, trainer._engine
    shapes = [shape for _, shape in panels.shapes(network)]
    panels.checked(network, state["weights"])
    slots = state["slots"]
    if not isinstance(slots, list) or len(slots) != len(engine.slots):
        raise ValueError(f"it must have {len(engine.slots)} optimizer slots")
    for slot in slots:
        if [np.shape(a) for a in slot] != shapes or any(a.dtype != network.dtype for a in slot):
            raise ValueError("its optimizer slots are not shaped as the weights")
    hyper = state["hyper"]
    if np.shape(hyper) != (HYPER_SIZE,) or not np.isfinite(hyper).all():
        raise ValueError(f"its hyper must be {HYPER_SIZE} finite values")
    integer("its seed", state["settings"]["seed"], minimum=0, maximum=2**64 - 1)
    check_keys("its counters", state["counters"], {"epochs"})
    integer("its epochs", state["counters"]["epochs"], minimum=0)
    _check_like("its rates", state["rates"], engine.rates.state())
    if trainer._solver is not None:
        _check_like("its solver", state["solver"], trainer._solver.state())
    if state["fit"] is not None:
        _check_fit(state["fit"])


def _check_like(what: str, given: Any, now: State) -> None:
    """Raise unless there are the same names, and numbers and arrays where they are now."""
    check_keys(what, given, set(now))
    for name, value in now.items():
        is_array = isinstance(value, np.ndarray)
        number = isinstance(given[name], (np.ndarray if is_array else (int, float)))
        if not number or np.shape(given[name]) != np.shape(value):
            kind = f"an array of shape {np.shape(value)}" if is_array else "a number"
            raise ValueError(f"{what}: {name.strip('_')} must be {kind}")


def _check_fit(fit: Any) -> None:
    check_keys("its fit", fit, _FIT)
    integer("its reductions", fit["reductions"], minimum=0)
    if not isinstance(fit["spent"], (int, float)):
        raise ValueError(f"its spent must be seconds, got {fit['spent']!r}")
    for name in ("data", "history"):
        if not isinstance(fit[name], dict):
            raise ValueError(f"its {name} must be a dict")
    for name, values in fit["history"].items():
        if not isinstance(values, np.ndarray) or values.ndim != 1:
            raise ValueError(f"its history's {name} must be a row of numbers")
    if not isinstance(fit["callbacks"], list):
        raise ValueError("its callbacks must be a list")
    for entry in fit["callbacks"]:
        check_keys("a callback", entry, {"kind", "state"})
    if fit["inside"]:
        results, sums = fit["results"], fit["sums"]
        if np.ndim(results) != 1 or len(results) < lay.R_STATUS or np.ndim(sums) != 1:
            raise ValueError("its position in an epoch is not as it should be")


def given(trainer: Trainer, state: State) -> None:
    """Bring a trainer to a state that `check` has let pass."""
    trainer.network.set_weights(state["weights"])
    given_beside_weights(trainer, state)


def given_beside_weights(trainer: Trainer, state: State) -> None:
    """The same, the network having its weights."""
    engine, network = trainer._engine, trainer.network
    for slot, values in zip(engine.slots, state["slots"], strict=True):
        panels.write_updated(network, slot, values)
    for part in (slice(LEARNING_RATE, OWN), slice(STATE, None)):  # constants are settings
        engine.hyper[part] = state["hyper"][part]
    trainer.seed = state["settings"]["seed"]
    trainer._epochs_done = state["counters"]["epochs"]
    engine.rates.set_state(state["rates"])
    if trainer._solver is not None:
        trainer._solver.set_state(state["solver"])


def machine() -> dict[str, str]:
    """What the bits of a run depend on, beside its settings and data."""
    cpu = config.CPU_NAME or llvm.get_host_cpu_name()
    return {
        "fastbp": fastbp.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
        "CPU": f"{cpu}, vectors of {VECTOR_BYTES} bytes",
    }


def fingerprint(samples: Samples) -> dict[str, str]:
    """Sizes, and a digest of some rows, of X, y and sample_weight."""
    found = {}
    for name, source in zip(("X", "y", "sample_weight"), samples, strict=True):
        if source is None:
            continue
        rows = np.unique(np.linspace(0, source.n - 1, _SAMPLES).astype(np.int64))
        values = np.ascontiguousarray(source.array[rows])
        digest = hashlib.sha256(values.tobytes()).hexdigest()[:16]
        found[name] = f"{source.n} x {source.n_features} {source.kind} {digest}"
    return found


def changes(state: State, samples: Samples) -> list[str]:
    """What differs between the run that was saved and this one, in words."""
    pairs = [("", state["machine"], machine())]
    if state["fit"] is not None:
        pairs.append(("data ", state["fit"]["data"], fingerprint(samples)))
    return [
        f"{what}{name} was {before.get(name, 'none')!r}, is {now.get(name, 'none')!r}"
        for what, before, now in pairs
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]


def taken_fit(fit: Fit) -> State:
    """What a checkpoint keeps of a fit, with where it is inside its epoch."""
    inside = fit.inside and fit.solver is None
    figures = {k: v for k, v in vars(fit.history).items() if k not in NOT_FIGURES}
    return {
        "inside": inside,
        "results": fit.results.copy() if inside else None,
        "sums": fit.measuring.sums.copy() if inside else None,
        "spent": fit.spent,
        "reductions": fit.reductions,
        "val_loss": fit.val_loss,
        "data": fingerprint(fit.samples),
        "history": {name: np.array(list_, np.float64) for name, list_ in figures.items()},
        "callbacks": [{"kind": type(c).__name__, "state": c.state()} for c in fit.callbacks],
    }


def given_fit(fit: Fit, state: State) -> None:
    """Have a fit, and its trainer, stand where the saved one stood."""
    given(fit.trainer, state)
    kept = state["fit"]
    if kept is None:
        return
    fit.reductions, fit.val_loss, fit.spent = kept["reductions"], kept["val_loss"], kept["spent"]
    for name, values in kept["history"].items():
        kind = int if name == "epoch" else float
        vars(fit.history)[name] = [kind(value) for value in values]
    if kept["inside"] and fingerprint(fit.samples) == kept["data"]:
        fit.measuring.begin(fit.samples)
        fit.measuring.sums[:] = kept["sums"]
        # The rest are places of threads, of which there may be another number.
        fit.results[: lay.R_STATUS] = kept["results"][: lay.R_STATUS]
        fit.inside = True


def given_callbacks(fit: Fit, state: State) -> None:
    """Restore each callback from the first saved one of its kind that no other has taken."""
    saved = list(state["fit"]["callbacks"]) if state["fit"] is not None else []
    for callback in fit.callbacks:
        for entry in saved:
            if entry["kind"] == type(callback).__name__:
                callback.restore(fit.trainer, entry["state"])
                saved.remove(entry)
                break

"""What differs between a run that was saved and the one that goes on with it."""

from __future__ import annotations

import functools
import inspect
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.callbacks.base import Callback
from fastbp.data import fingerprint
from fastbp.data.fingerprint import Fingerprint
from fastbp.data.inputs import Samples
from fastbp.files import checkpoints as checkpoint
from fastbp.files import container
from fastbp.training import state, state_checks

if TYPE_CHECKING:
    from fastbp.trainer import Trainer

#: of the samples, and of the validation data
Fingerprints = tuple["Fingerprint | None", "Fingerprint | None"]

_LOG = logging.getLogger("fastbp")
_SAME_BITS = "the run goes on, but not to the same bits"
_LONGEST = 200  # characters of a setting


def fingerprints(trainer: Trainer, samples: Samples, validation: Samples | None) -> Fingerprints:
    """Those of a fit's data."""
    dtype = trainer.network.dtype
    return fingerprint.of(samples, dtype), fingerprint.of(validation, dtype)


def saved(
    trainer: Trainer,
    path: str,
    samples: Samples,
    validation: Samples | None,
    callbacks: Sequence[Callback],
) -> state.State | None:
    """The checkpoint to go on from, after every check of it; None without any.

    It has an entry "here" beside its own: the fingerprints of this call's data.

    Warns
    -----
    RuntimeWarning
        Something that the bits of a run depend on is otherwise here.
    """
    found = checkpoint.newest(path, 5)
    if found is None:
        return None
    file, kept = found
    with container.naming(file):
        state_checks.check(kept, trainer)
        fit, here = kept["fit"], fingerprints(trainer, samples, validation)
        if fit is not None:
            _refuse_old_weights(kept)
            if not fingerprint.differences("", fit["data"], here[0]):
                size = trainer._settings.rows_of(samples[0].n)
                state_checks.check_samples(fit, -(-samples[0].n // size))
        state_checks.check_callbacks(callbacks, kept, trainer)
    kept["here"] = here
    seed = kept["settings"]["seed"]
    if not trainer._settings.seed_drawn and trainer.seed != seed:
        _warn(f"{file}: seed was {seed}, is {trainer.seed}; the run goes on with {seed}")
    certain, perhaps = _of_callbacks(callbacks, fit)
    for change in [*_of_machine(kept), *_of_data(kept, validation), *certain]:
        _warn(f"{file}: {change}; {_SAME_BITS}")
    for change in perhaps:
        _LOG.warning("%s: %s; if it changes what is trained, %s", file, change, _SAME_BITS)
    return kept


def callback_settings(callback: Callback) -> dict[str, str] | None:
    """What a callback was made with, as text, of plain values; None of one that only looks on.

    Attributes are taken for settings that have the names of the constructor's arguments.
    """
    if callback._looks_on:
        return None
    has, kind = getattr(callback, "__dict__", {}), type(callback)
    names = {*_arguments(kind)} & has.keys() - {*callback._of_this_call}  # type: ignore[arg-type]
    found = {name: has[name] for name in sorted(names)}
    texts = {name: repr(_plain(value)) for name, value in found.items() if _is_plain(value)}
    return {name: text for name, text in texts.items() if len(text) <= _LONGEST}


@functools.lru_cache(256)
def _arguments(kind: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(kind).parameters)
    except (TypeError, ValueError):  # it is compiled, and doesn't tell
        return ()


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, np.number, np.bool_))


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    return value.item() if isinstance(value, (np.number, np.bool_)) else value


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, 5)


def _refuse_old_weights(kept: state.State) -> None:
    if kept["format"] == 1 and "sample_weight" in kept["fit"]["data"]:
        raise ValueError(
            "it is of a fit with sample or class weights by a fastbp in which they had another "
            "meaning (format 1): going on would be neither that run nor one as it is now. Begin "
            "the fit anew; Trainer.load still gives its network"
        )


def _of_machine(kept: state.State) -> list[str]:
    before, now = kept["machine"], state.machine()
    return [
        f"{name} was {before.get(name, 'none')!r}, is {now.get(name, 'none')!r}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]


def _of_data(kept: state.State, validation: Samples | None) -> list[str]:
    fit = kept["fit"]
    if fit is None:
        return []
    here, held = kept["here"]
    found = fingerprint.differences("data", fit["data"], here)
    if kept["format"] > 1:  # before, nothing was kept of validation data
        found += fingerprint.differences("validation data", fit["validation"], held)
    return found


def _of_callbacks(
    callbacks: Sequence[Callback], fit: state.State | None
) -> tuple[list[str], list[str]]:
    """What differs for certain, and perhaps: a person's own that keeps no state may be a log."""
    if fit is None:
        return [], []
    pairs = state_checks.paired(callbacks, fit["callbacks"])
    certain: list[str] = []
    perhaps: list[str] = []
    for callback, entry in pairs:
        before, now = entry["settings"], callback_settings(callback)
        if before is None or now is None:
            continue
        for name in sorted({*before, *now}):
            a, b = before.get(name, "none"), now.get(name, "none")
            if a != b:
                certain.append(f"callback {entry['kind']}'s {name} was {a}, is {b}")
    theirs = [id(entry) for _, entry in pairs]
    for entry in fit["callbacks"]:
        if id(entry) not in theirs and (entry["state"] or entry["settings"] is not None):
            text = f"callback {entry['kind']!r} was there, is none"
            (certain if entry["state"] else perhaps).append(text)
    mine = [id(callback) for callback, _ in pairs]
    for callback in callbacks:
        if id(callback) not in mine and not callback._looks_on:
            keeps = type(callback).state is not Callback.state
            text = f"callback {type(callback).__name__!r} was none, is there"
            (certain if keeps else perhaps).append(text)
    return certain, perhaps

"""The checkpoint that a fit goes on from: found, checked, and compared with what there is here."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np

from fastbp.callbacks.hooks import Hooks, check_saved
from fastbp.checks import integer, real
from fastbp.data.inputs import Samples
from fastbp.files import checkpoints, container
from fastbp.files.container import check_keys, whole_number
from fastbp.history import check_lists
from fastbp.layers.thresholds import KEYS
from fastbp.training import provenance
from fastbp.training.batches import check_batches, check_epoch_state
from fastbp.training.session import Saved, Session
from fastbp.training.snapshot import MOST_REDUCTIONS

_LOG = logging.getLogger("fastbp")
_SAME_BITS = "the run goes on, but not to the same bits"
#: what `Fit.state` gives
_FIT = {
    "inside", "results", "sums", "spent", "reductions", "lowest", "rising", "val_loss", "data",
    "validation", "history", "callbacks",
}  # fmt: skip


def saved_state(
    session: Session,
    path: str,
    samples: Samples,
    validation: Samples | None,
    hooks: Hooks,
    counts: bool,
) -> Saved | None:
    """Return the checkpoint to go on from, after every check of it; None without any.

    It has an entry "here" beside its own: the fingerprints of this call's data. Warnings are said
    to come from four calls above.

    Warns
    -----
    RuntimeWarning
        Something that the bits of a run depend on is otherwise here.
    """
    found = checkpoints.newest(path, 5)
    if found is None:
        return None
    file, kept = found
    settings, parameters = session.engine.settings, session.parameters
    with container.naming(file):
        session.check_state(kept)
        fit, here = kept["fit"], provenance.fingerprints(samples, validation, parameters.dtype)
        check_fit(fit, session)
        if fit is not None:
            _refuse_old_weights(kept)
            if provenance.same_samples(fit, here):
                check_batches(fit, -(-samples[0].n // settings.rows_of(samples[0].n)))
        saved = [] if fit is None else fit["callbacks"]
        hooks.check_state(saved, parameters)
    kept["here"] = here
    seed = kept["settings"]["seed"]
    if not settings.seed_drawn and settings.seed != seed:
        _warn(f"{file}: seed was {seed}, is {settings.seed}; the run goes on with {seed}")
    certain, perhaps = ([], []) if fit is None else hooks.differences(saved)
    counted = counts if fit is None else fit.get("count_epochs", True)
    if counted != counts:
        certain.append(f"count_epochs was {counted}, is {counts}")
    for change in [*provenance.changes(kept, here), *certain]:
        _warn(f"{file}: {change}; {_SAME_BITS}")
    for change in perhaps:
        _LOG.warning("%s: %s; if it changes what is trained, %s", file, change, _SAME_BITS)
    return kept


def keeps_thresholds(kept: Saved | None) -> bool:
    """Return whether a fit that goes on from there cuts classes as the checkpoint says.

    A callback may have set that since the targets were looked at.
    """
    if kept is None or kept["fit"] is None:
        return False
    there = kept["settings"]["network"].keys() & {*KEYS}
    return bool(there) and provenance.same_samples(kept["fit"], kept["here"])


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, 5)


def _refuse_old_weights(kept: Saved) -> None:
    if kept["format"] == 1 and "sample_weight" in kept["fit"]["data"]:
        raise ValueError(
            "it is of a fit with sample or class weights by a fastbp in which they had another "
            "meaning (format 1): going on would be neither that run nor one as it is now. Begin "
            "the fit anew; Trainer.load still gives its network"
        )


def check_fit(fit: Any, session: Session) -> None:
    """Raise TypeError or ValueError for what `Fit.set_state` can't take; None is right."""
    if fit is None:
        return
    check_keys("its fit", fit, _FIT, {"count_epochs"})
    if not isinstance(fit.get("count_epochs", True), bool):
        raise TypeError(f"its count_epochs must be True or False, got {fit['count_epochs']!r}")
    integer("its reductions", fit["reductions"], minimum=0, maximum=MOST_REDUCTIONS)
    real("its spent", fit["spent"], low=0.0)
    if fit["val_loss"] is not None and type(fit["val_loss"]) is not float:
        raise TypeError(f"its val_loss must be a float or None, got {fit['val_loss']!r}")
    provenance.check_fingerprint("its data", fit["data"])
    if fit["validation"] is not None:
        provenance.check_fingerprint("its validation data", fit["validation"])
    _check_history(fit["history"])
    check_saved(fit["callbacks"])
    check_epoch_state(fit, session.parameters, session.engine.settings)


def _check_history(history: Any) -> None:
    if not isinstance(history, dict):
        raise TypeError(f"its history must be a dict, got {type(history).__name__}")
    for name, values in history.items():
        if not isinstance(values, np.ndarray) or values.dtype != np.float64 or values.ndim != 1:
            raise TypeError(f"its history's {name} must be a row of float64")
    check_lists(history)
    for value in history["epoch"]:
        whole_number("its history's epoch", value)

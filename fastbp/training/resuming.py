"""The checkpoint that a fit goes on from: found, checked, and compared with what there is here."""

from __future__ import annotations

import logging
import warnings

from fastbp.callbacks.hooks import Hooks
from fastbp.data.inputs import Samples
from fastbp.files import checkpoints, container
from fastbp.training import provenance
from fastbp.training.batches import check_batches
from fastbp.training.fit import check_state
from fastbp.training.session import Saved, Session

_LOG = logging.getLogger("fastbp")
_SAME_BITS = "the run goes on, but not to the same bits"


def saved_state(
    session: Session, path: str, samples: Samples, validation: Samples | None, hooks: Hooks
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
        check_state(fit, session)
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
    for change in [*provenance.changes(kept, here), *certain]:
        _warn(f"{file}: {change}; {_SAME_BITS}")
    for change in perhaps:
        _LOG.warning("%s: %s; if it changes what is trained, %s", file, change, _SAME_BITS)
    return kept


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, 5)


def _refuse_old_weights(kept: Saved) -> None:
    if kept["format"] == 1 and "sample_weight" in kept["fit"]["data"]:
        raise ValueError(
            "it is of a fit with sample or class weights by a fastbp in which they had another "
            "meaning (format 1): going on would be neither that run nor one as it is now. Begin "
            "the fit anew; Trainer.load still gives its network"
        )

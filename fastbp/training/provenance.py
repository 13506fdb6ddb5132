"""What the bits of a run depend on beside its settings: the machine and the data, then and now."""

from __future__ import annotations

from typing import Any

import llvmlite
import numba
import numpy as np

from fastbp.data import fingerprint
from fastbp.data.fingerprint import Fingerprint
from fastbp.data.inputs import Samples
from fastbp.files.container import check_keys
from fastbp.kernels.compiling.target import CPU_NAME, VECTOR_BYTES
from fastbp.version import __version__

#: of the samples, and of the validation data
Fingerprints = tuple["Fingerprint | None", "Fingerprint | None"]


def machine() -> dict[str, str]:
    """Return versions and CPU."""
    return {
        "fastbp": __version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
        "CPU": f"{CPU_NAME}, vectors of {VECTOR_BYTES} bytes",
    }


def fingerprints(samples: Samples, validation: Samples | None, dtype: str) -> Fingerprints:
    """Return those of a fit's data, for a network of that dtype."""
    return fingerprint.of(samples, dtype), fingerprint.of(validation, dtype)


def same_samples(fit: dict[str, Any], here: Fingerprints) -> bool:
    """Return whether the fit that a checkpoint is of had these samples."""
    return not fingerprint.differences("", fit["data"], here[0])


def changes(saved: dict[str, Any], here: Fingerprints) -> list[str]:
    """Return in words what was otherwise where a checkpoint was written: the machine, the data."""
    before, now = saved["machine"], machine()
    found = [
        f"{name} was {before.get(name, 'none')!r}, is {now.get(name, 'none')!r}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    fit = saved["fit"]
    if fit is not None:
        found += fingerprint.differences("data", fit["data"], here[0])
        if saved["format"] > 1:  # before, nothing was kept of validation data
            found += fingerprint.differences("validation data", fit["validation"], here[1])
    return found


def check_machine(found: Any) -> None:
    """Raise TypeError for what `machine` can't have given."""
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise TypeError("its machine must be a dict of strings")


def check_fingerprint(what: str, found: Any) -> None:
    """Raise TypeError or ValueError for what is no fingerprint."""
    if not isinstance(found, dict) or not found.keys() <= {"X", "y", "sample_weight"}:
        raise ValueError(f"{what} must be of X, y and sample_weight")
    for name, entry in found.items():
        check_keys(f"{what} {name}", entry, {"about", "whole", "sample"})
        texts = isinstance(entry["about"], str) and isinstance(entry["sample"], str)
        if not (texts and isinstance(entry["whole"], (str, type(None)))):
            raise TypeError(f"{what} {name} must be described by strings")

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

#: of the samples, and of each set of validation data by its name
Fingerprints = tuple["Fingerprint | None", dict[str, Fingerprint]]


def machine() -> dict[str, str]:
    """Return versions and CPU."""
    return {
        "fastbp": __version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
        "CPU": f"{CPU_NAME}, vectors of {VECTOR_BYTES} bytes",
    }


def fingerprints(samples: Samples, held: dict[str, Samples], dtype: str) -> Fingerprints:
    """Return those of a fit's data, for a network of that dtype."""
    sets = {name: fingerprint.of(each, dtype) or {} for name, each in held.items()}
    return fingerprint.of(samples, dtype), sets


def of_sets(sets: dict[str, Fingerprint]) -> Any:
    """Return the sets' fingerprints as a checkpoint has them.

    None without any; that of the set "val" alone as it is, as files were before there were several.
    """
    if list(sets) in ([], ["val"]):
        return sets.get("val")
    return {"sets": [[name, found] for name, found in sets.items()]}


def sets_of(stored: Any) -> dict[str, Fingerprint]:
    """Return the fingerprints that `of_sets` has given, by the sets' names.

    Raises
    ------
    TypeError, ValueError
        It can't have given that.
    """
    if stored is None:
        return {}
    if not isinstance(stored, dict) or stored.keys() != {"sets"}:
        check_fingerprint("its validation data", stored)
        return {"val": stored}
    sets: dict[str, Fingerprint] = {}
    for entry in stored["sets"] if isinstance(stored["sets"], list) else [None]:
        match entry:
            case [str(name), found] if name and name not in sets:
                check_fingerprint(f"its validation data {name!r}", found)
                sets[name] = found
            case _:
                raise ValueError("its validation data must have sets, each with a name of its own")
    return sets


def _changed_sets(before: dict[str, Fingerprint], now: dict[str, Fingerprint]) -> list[str]:
    """Return in words what is otherwise with the sets, and that the first is another one."""
    plain = {*before, *now} <= {"val"}
    found = []
    for name in {**before, **now}:
        what = "validation data" if plain else f"validation_data[{name!r}]"
        found += fingerprint.differences(what, before.get(name), now.get(name))
    first, here = next(iter(before), None), next(iter(now), None)
    if first in now and here in before and first != here:
        found.append(f"the first set of validation_data was {first!r}, is {here!r}")
    return found


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
            found += _changed_sets(sets_of(fit["validation"]), here[1])
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

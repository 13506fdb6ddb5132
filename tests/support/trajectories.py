"""PyTorch's trajectories: the figures of tests/golden, and the schedules that they were made with.

They are written by scripts/golden/trajectories.py.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import paths

import fastbp

with np.load(paths.GOLDEN / "trajectories.npz") as archive:
    GOLDEN = {key: archive[key] for key in archive.files}
META: dict[str, Any] = json.loads(str(GOLDEN["meta"]))


def schedule(name: str) -> fastbp.Schedule:
    """One of the file's schedules, by steps."""
    kind, arguments = META["schedules"][name]
    if kind == "LinearWarmUp":
        inner = arguments.get("after")
        after = getattr(fastbp, inner[0])(0.1, per="step", **inner[1]) if inner else 0.1
        return fastbp.LinearWarmUp(**{**arguments, "after": after})
    made: fastbp.Schedule = getattr(fastbp, kind)(0.1, per="step", **arguments)
    return made

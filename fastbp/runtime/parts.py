"""What a program is made for: an objective, an update, what is done beside it, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.functions.losses import LossKernel
from fastbp.kernels.updates.hyper import UpdateKernel
from fastbp.runtime.memory import Int64s, Records

Array = NDArray[Any]


class Objective(NamedTuple):
    """What is minimised: a loss's kernel, and the loss's settings in the network's dtype."""

    loss: LossKernel
    settings: Array


class Update(NamedTuple):
    """How an optimizer changes the parameters.

    Attributes
    ----------
    kernels : UpdateKernel
        Its kernels, and what there is to know of them.
    slots : sequence of ndarray
        Its values beside each parameter, laid out as these are.
    hyper : ndarray of float64
        Its scalars (kernels/updates/hyper.py).
    stops : bool
        Whether a batch whose loss is not finite ends a call before the batch's update.
    """

    kernels: UpdateKernel
    slots: Sequence[Array]
    hyper: NDArray[np.float64]
    stops: bool


class Refinement(NamedTuple):
    """What is done to gradients and weights beside the optimizer's update (kernels/refine.py).

    Attributes
    ----------
    pieces : structured array
        The pieces of the parameters that are trained (runtime/pieces.py).
    settings : ndarray of float64
        As the kernels read them (REFINE_CLIP_VALUE ... in kernels/layout.py).
    refined : bool
        Whether gradients are changed: by a penalty, or by clipping of any kind.
    clipped : bool
        Whether the norm of all gradients is bounded.
    bounded : bool
        Whether a layer's weights are.
    """

    pieces: Records
    settings: NDArray[np.float64]
    refined: bool
    clipped: bool
    bounded: bool


class Measurement(NamedTuple):
    """The records of the metrics that are taken, for kernels/measure.py, and their sums."""

    records: Int64s
    sums: NDArray[np.float64]

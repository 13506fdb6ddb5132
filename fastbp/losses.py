"""Losses: what a person chooses. The arithmetic is in kernels/losses.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastbp.checks import choice
from fastbp.kernels.losses import LOSSES as _KERNELS
from fastbp.kernels.losses import Loss as _Kernel


@dataclass(frozen=True)
class Loss:
    """An error E = sum_i w_i e_i / sum_i w_i over a batch; w are sample weights, k outputs."""

    name: ClassVar[str]

    @property
    def _kernel(self) -> _Kernel:
        return _KERNELS[self.name]


@dataclass(frozen=True)
class MSE(Loss):
    """Mean squared error: ``e = (1/k) sum_j (p - t)²``."""

    name: ClassVar[str] = "mse"


@dataclass(frozen=True)
class HalfSquaredError(Loss):
    """The textbook error: ``e = (1/2) sum_j (p - t)²``."""

    name: ClassVar[str] = "half_squared_error"


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """``e = (1/k) sum_j -(t log p + (1 - t) log(1 - p))``, computed from the logits.

    Takes a sigmoid output layer and targets in [0, 1].
    """

    name: ClassVar[str] = "binary_cross_entropy"


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """``e = -sum_j t log p``, computed from the logits by log-softmax.

    Takes a softmax output layer, and class ids (n,) or class probabilities (n, k).
    """

    name: ClassVar[str] = "cross_entropy"


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss for loss in (MSE, HalfSquaredError, BinaryCrossEntropy, CrossEntropy)
}


def resolve(loss: object, activation: str) -> Loss:
    """The loss given by object or by name, if it goes with that output activation."""
    if isinstance(loss, str):
        found = LOSSES[choice("loss", loss, LOSSES)]()
    elif isinstance(loss, Loss):
        found = loss
    else:
        raise TypeError(f"loss must be a name or a fastbp loss, got {type(loss).__name__}")
    required = found._kernel.requires
    if required is not None and activation != required:
        raise ValueError(
            f"loss {found.name!r} takes a network whose last layer has activation {required!r}, "
            f"got {activation!r}"
        )
    return found

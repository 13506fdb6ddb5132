"""What all metrics have in common. The sums are taken in kernels/functions/metrics.py."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.compiling import jit
from fastbp.values import dataclass

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A figure beside the loss; samples count by their weights, never by those of classes.

    Attributes
    ----------
    name : str
        Its name in `History` and `Trainer.evaluate`.

    Examples
    --------
    >>> import fastbp
    >>> isinstance(fastbp.TopK(3), fastbp.Metric), fastbp.F1().name
    (True, 'f1')
    """

    _kernel: ClassVar[jit.CFunc]
    #: whether it is the better the larger it is, which every metric has to say
    _rises: ClassVar[bool]
    #: whether it takes all samples together, and so can't be had of an epoch under way
    _whole: ClassVar[bool] = False
    #: whether no sum of it is ever below 0
    _positive: ClassVar[bool] = False
    #: whether its settings are each output's mean target, which is found before the samples are run
    _about_means: ClassVar[bool] = False
    #: whether it is about classes, which for one output are cut where the network says: the kernel
    #: is told in `_settings`, as `_classes` has them, and `_of_rows` has targets of 0 and 1
    _of_classes: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its name in `History` and `Trainer.evaluate`."""
        raise NotImplementedError

    def _check(self, k: int) -> None:
        """Raise TypeError or ValueError where the metric doesn't go with k outputs."""

    def _sums(self, k: int) -> int:
        """How many sums the kernel keeps for k outputs, that of the weights included."""
        return 2

    def _settings(self, activation: str, k: int) -> list[float]:
        """What the kernel is told of an output layer of k units with that activation."""
        return [0.0]

    def _width(self, k: int) -> int:
        """How many numbers a row of k outputs leaves, where all samples are taken together."""
        return 1 + 2 * k

    def _value(self, sums: Doubles, k: int, settings: Doubles) -> float:
        """The figure, from the kernel's sums for k outputs and what it was told by `_settings`."""
        return ratio(sums[1], sums[0])


def ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan

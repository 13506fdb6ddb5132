"""Learning-rate schedules: the rate as a function of the number of updates or epochs before.

Each is an optimizer's `learning_rate` in place of a number. Their own first argument is the rate
that they start from (or, for `OneCycle`, rise to).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import choice, integer, real
from fastbp.values import dataclass

Doubles = NDArray[np.float64]
Per = Literal["epoch", "step"]
_MOST = 2**53  # of a count: float64 holds all whole numbers up to it


def _count(name: str, value: object, minimum: int) -> None:
    """Raise unless `value` is a whole number from `minimum` up that a float64 holds."""
    integer(name, value, minimum=minimum)
    integer(name, value, minimum=minimum, maximum=_MOST)


@dataclass(frozen=True)
class Schedule:
    """A learning rate that changes by itself.

    t is the number of epochs or updates before. Updates are counted in every `fit` and `step`;
    epochs by every `fit`, but with ``count_epochs=False``, and by `Trainer.end_epoch`, without
    which a loop of `step` never moves a schedule by epochs. Both counts go on over several calls. A
    schedule is an optimizer's `learning_rate`.

    Parameters
    ----------
    learning_rate : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> isinstance(fastbp.StepDecay(0.1, every=10), fastbp.Schedule)
    True
    """

    learning_rate: float

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, low=0.0)
        choice("per", self._per, ["epoch", "step"])
        self._check()

    def _check(self) -> None:
        """Raise for a setting that is out of its range."""

    @property
    def _per(self) -> str:
        per: str = getattr(self, "per", "epoch")
        return per

    def rates(self, count: Any) -> Doubles:
        """The rates after so many epochs or updates.

        Parameters
        ----------
        count : int or array_like of int
            At least 0.

        Returns
        -------
        ndarray of float64
            Of the same shape.

        Examples
        --------
        >>> import fastbp
        >>> fastbp.ExponentialDecay(0.1, gamma=0.5).rates(2).tolist()
        0.025
        """
        t = np.asarray(count, np.float64)
        # NumPy takes powers of a lone number by another routine than those of an array, which may
        # differ in the last digit; updates' rates must not depend on how many are taken together.
        return np.asarray(self._rates(t.reshape(-1)), np.float64).reshape(t.shape)

    def _rates(self, t: Doubles) -> Any:
        return self.learning_rate * self._factors(t)

    def _factors(self, t: Doubles) -> Any:
        """The rate as a multiple of `learning_rate`."""
        raise NotImplementedError


@dataclass(frozen=True)
class StepDecay(Schedule):
    """``learning_rate gamma^floor(t / every)``: PyTorch's StepLR.

    Parameters
    ----------
    learning_rate : float
        At least 0: that of the start.
    every : int
        At least 1.
    gamma : float
        At least 0.
    per : {"epoch", "step"}
        What t counts: epochs, or updates.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.StepDecay(0.1, every=10).rates([0, 9, 10, 25]).round(6).tolist()
    [0.1, 0.1, 0.01, 0.001]
    """

    every: int
    gamma: float = 0.1
    per: Per = "epoch"

    def _check(self) -> None:
        _count("every", self.every, 1)
        real("gamma", self.gamma, low=0.0)

    def _factors(self, t: Doubles) -> Any:
        return self.gamma ** np.floor(t / self.every)


@dataclass(frozen=True)
class MultiStepDecay(Schedule):
    """``learning_rate gamma^(milestones that are reached)``: PyTorch's MultiStepLR.

    Parameters
    ----------
    learning_rate : float
        At least 0: that of the start.
    milestones : sequence of int
        Each at least 1, in any order; kept as a tuple.
    gamma : float
        At least 0.
    per : {"epoch", "step"}
        What t counts: epochs, or updates.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.MultiStepDecay(0.1, milestones=(2, 5)).rates([0, 2, 5]).round(6).tolist()
    [0.1, 0.01, 0.001]
    """

    milestones: tuple[int, ...]
    gamma: float = 0.1
    per: Per = "epoch"

    def _check(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for milestone in self.milestones:
            _count("milestones", milestone, 1)
        real("gamma", self.gamma, low=0.0)

    def _factors(self, t: Doubles) -> Any:
        return self.gamma ** np.searchsorted(np.sort(self.milestones), t, side="right")


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``learning_rate gamma^t``: PyTorch's ExponentialLR.

    Parameters
    ----------
    learning_rate : float
        At least 0: that of the start.
    gamma : float
        At least 0.
    per : {"epoch", "step"}
        What t counts: epochs, or updates.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.ExponentialDecay(0.1, gamma=0.5).rates([0, 1, 2]).tolist()
    [0.1, 0.05, 0.025]
    """

    gamma: float
    per: Per = "epoch"

    def _check(self) -> None:
        real("gamma", self.gamma, low=0.0)

    def _factors(self, t: Doubles) -> Any:
        return self.gamma**t


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """``learning_rate (1 - t / length)^power``, 0 from `length` on: PyTorch's PolynomialLR.

    Parameters
    ----------
    learning_rate : float
        At least 0: that of the start.
    length : int
        Epochs or updates until the rate is 0, at least 1.
    power : float
        At least 0; 1 is a straight line.
    per : {"epoch", "step"}
        What t counts: epochs, or updates.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.PolynomialDecay(0.1, length=4).rates([0, 2, 9]).tolist()
    [0.1, 0.05, 0.0]
    """

    length: int
    power: float = 1.0
    per: Per = "epoch"

    def _check(self) -> None:
        _count("length", self.length, 1)
        real("power", self.power, low=0.0)

    def _factors(self, t: Doubles) -> Any:
        return (1.0 - np.minimum(t, self.length) / self.length) ** self.power


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """``minimum + (learning_rate - minimum) (1 + cos(pi t / length)) / 2``.

    Loshchilov & Hutter 2017; PyTorch's CosineAnnealingLR, but that from `length` on the rate stays
    at the minimum. With `restarts` it starts anew there, each time `lengthen` times as long:
    CosineAnnealingWarmRestarts.

    Parameters
    ----------
    learning_rate : float
        At least 0: that of the start.
    length : int
        Epochs or updates until the rate is at the minimum, at least 1.
    minimum : float
        At least 0.
    restarts : bool
        Whether it starts anew at the minimum.
    lengthen : int
        At least 1: how many times as long as the one before each cycle is.
    per : {"epoch", "step"}
        What t counts: epochs, or updates.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.CosineDecay(0.1, length=10).rates([0, 5, 10, 12]).round(6).tolist()
    [0.1, 0.05, 0.0, 0.0]
    >>> fastbp.CosineDecay(0.1, length=2, restarts=True, lengthen=2).rates([2, 4]).tolist()
    [0.1, 0.05]
    """

    length: int
    minimum: float = 0.0
    restarts: bool = False
    lengthen: int = 1
    per: Per = "epoch"

    def _check(self) -> None:
        _count("length", self.length, 1)
        real("minimum", self.minimum, low=0.0)
        _count("lengthen", self.lengthen, 1)

    def _rates(self, t: Doubles) -> Any:
        length: Any = self.length
        if not self.restarts:
            t = np.minimum(t, length)
        elif self.lengthen == 1:
            t = t % length
        else:
            ratio = self.lengthen
            cycle = np.floor(np.log(t / length * (ratio - 1) + 1 + 1e-12) / math.log(ratio))
            t = t - length * (ratio**cycle - 1) / (ratio - 1)
            length = length * ratio**cycle
        wave = (1.0 + np.cos(math.pi * t / length)) / 2.0
        return self.minimum + (self.learning_rate - self.minimum) * wave


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to `learning_rate` in the first part of `length`, then down: PyTorch's OneCycleLR.

    Smith & Topin 2018, by cosines: from ``learning_rate / start_divisor`` up, then down to that
    divided by `end_divisor`. Momentum stays as it is. `length` is that of the whole training: with
    a `fit` a chunk, the updates of all chunks in all epochs, each chunk's last one included.

    Parameters
    ----------
    learning_rate : float
        At least 0: the highest.
    length : int
        Epochs or updates in all, at least 2.
    rise : float
        In (0, 1): the part of `length` in which the rate rises.
    start_divisor : float
        Above 0.
    end_divisor : float
        Above 0.
    per : {"epoch", "step"}
        What t counts: epochs, or updates.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.OneCycle(1.0, length=11, rise=0.2).rates([0, 1, 10]).round(6).tolist()
    [0.04, 0.935692, 4e-06]
    """

    length: int
    rise: float = 0.3
    start_divisor: float = 25.0
    end_divisor: float = 1e4
    per: Per = "step"

    def _check(self) -> None:
        _count("length", self.length, 2)
        real("rise", self.rise, low=0.0, high=1.0, low_open=True, high_open=True)
        real("start_divisor", self.start_divisor, low=0.0, low_open=True)
        real("end_divisor", self.end_divisor, low=0.0, low_open=True)

    def _factors(self, t: Doubles) -> Any:
        t = np.minimum(t, self.length - 1.0)
        top, end = self.rise * self.length - 1.0, self.length - 1.0
        start = 1.0 / self.start_divisor
        low = np.where(t <= top, start, start / self.end_divisor)
        share = np.where(t <= top, 1.0 - t / (top or 1.0), (t - top) / (end - top))
        return low + (1.0 - low) * (1.0 + np.cos(math.pi * share)) / 2.0


@dataclass(frozen=True)
class LinearWarmUp(Schedule):
    """A linear rise over the first `length` from `start` times the rate, then another schedule.

    PyTorch's LinearLR, and SequentialLR to what follows, which counts from there.

    Parameters
    ----------
    after : float or Schedule
        What follows; no `ReduceOnPlateau`.
    length : int
        At least 1, in what `after` counts; for a number, in updates or epochs as `per` says.
    start : float
        In [0, 1].
    per : {"epoch", "step"}
        What is counted where `after` is a number.

    Attributes
    ----------
    learning_rate : float
        That of `after` at its start.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.LinearWarmUp(0.1, length=4, start=0.0).rates([0, 1, 4, 9]).tolist()
    [0.0, 0.025, 0.1, 0.1]
    >>> cosine = fastbp.CosineDecay(0.1, length=10, per="step")
    >>> optimizer = fastbp.Adam(fastbp.LinearWarmUp(cosine, length=5))
    """

    learning_rate: float
    after: float | Schedule
    length: int
    start: float
    per: Per

    def __init__(
        self,
        after: float | Schedule,
        length: int,
        start: float = 1.0 / 3.0,
        per: Per = "step",
    ) -> None:
        if isinstance(after, ReduceOnPlateau):
            raise TypeError("after must be a number or a schedule by count, got ReduceOnPlateau")
        if isinstance(after, Schedule):
            rate, per = float(after.rates(0)), after._per  # type: ignore[assignment]
        else:
            rate = real("after", after, low=0.0)
        settings = {"learning_rate": rate, "after": after, "length": length, "start": start}
        for name, value in {**settings, "per": per}.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def _check(self) -> None:
        _count("length", self.length, 1)
        real("start", self.start, low=0.0, high=1.0)

    def _rates(self, t: Doubles) -> Any:
        rising = self.start + (1.0 - self.start) * np.minimum(t, self.length) / self.length
        later = np.maximum(t - self.length, 0.0)
        after = self.after.rates(later) if isinstance(self.after, Schedule) else self.learning_rate
        return np.where(t < self.length, self.learning_rate * rising, after)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Times `factor` after more than `patience` epochs without progress.

    PyTorch's ReduceLROnPlateau. Progress is a figure below ``best - |best| min_delta``, or above
    ``best + |best| min_delta`` for one that should rise (see `EarlyStopping`). PyTorch's "rel" mode
    has ``best (1 - min_delta)``, by which every figure that stays the same is progress where it is
    negative; for others they are the same. A NaN is no progress. It looks at each epoch's figures
    of a `fit`, but with ``count_epochs=False``, and at those that `Trainer.end_epoch` is given.

    Parameters
    ----------
    learning_rate : float
        At least 0: that of the start.
    factor : float
        In [0, 1).
    patience : int
        Epochs without progress that are still borne, at least 0.
    min_delta : float
        At least 0: what counts as progress, as a part of the best figure.
    cooldown : int
        Epochs after a reduction that are not counted, at least 0.
    minimum : float
        At least 0: the rate goes no lower.
    monitor : str or None
        As of `EarlyStopping`: a figure of `History`, or None for the loss on the validation data. A
        figure that a callback adds is looked at when all of them have been told of the epoch's end,
        others before that. Of what `Trainer.end_epoch` is given, None is "val_loss".
    mode : {"auto", "min", "max"}
        As of `EarlyStopping`.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range; at the `fit` or `Trainer.end_epoch`, that it has
        no such figure.

    Examples
    --------
    >>> import fastbp
    >>> optimizer = fastbp.SGD(fastbp.ReduceOnPlateau(0.1, patience=3))
    """

    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    cooldown: int = 0
    minimum: float = 0.0
    monitor: str | None = None
    mode: Literal["auto", "min", "max"] = "auto"

    def _check(self) -> None:
        real("factor", self.factor, low=0.0, high=1.0, high_open=True)
        _count("patience", self.patience, 0)
        real("min_delta", self.min_delta, low=0.0)
        _count("cooldown", self.cooldown, 0)
        real("minimum", self.minimum, low=0.0)
        if not (self.monitor is None or isinstance(self.monitor, str)):
            raise TypeError(f"monitor must be a figure's name or None, got {self.monitor!r}")
        choice("mode", self.mode, ["auto", "min", "max"])

    def _factors(self, t: Doubles) -> Any:
        return np.ones_like(t)


#: kinds of schedules
SCHEDULES: tuple[type[Schedule], ...] = (
    StepDecay, MultiStepDecay, ExponentialDecay, PolynomialDecay, CosineDecay, OneCycle,
    LinearWarmUp, ReduceOnPlateau,
)  # fmt: skip

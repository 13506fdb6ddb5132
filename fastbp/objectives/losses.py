"""Losses: what a person chooses. The arithmetic is in kernels/functions/losses.py."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import real
from fastbp.kernels.functions.losses import LOSSES as _KERNELS
from fastbp.kernels.functions.losses import LossKernel
from fastbp.objectives.names import LossAlias, LossName, loss_name
from fastbp.values import dataclass


@dataclass(frozen=True)
class Loss:
    """An error E = sum_i w_i e_i / (B m) over an update's B samples; k outputs.

    w_i is the sample's weight times its class's, 1 if not given; m the mean weight of all samples
    of the `fit`, 1 in `Trainer.step` and `Trainer.gradients`. What is reported of an epoch, of
    validation data and by `Trainer.evaluate` is sum_i w_i e_i / sum_i w_i.

    Attributes
    ----------
    name : str
        By which `Trainer` takes it, with its defaults.

    Examples
    --------
    >>> import fastbp
    >>> isinstance(fastbp.Huber(0.5), fastbp.Loss), fastbp.Huber(0.5).name
    (True, 'huber')
    """

    name: ClassVar[str]

    @property
    def _kernel(self) -> LossKernel:
        return _KERNELS[self.name]

    def _parameters(self) -> tuple[float, ...]:
        """The parameters that the loss's kernel reads, in its order."""
        return astuple(self)

    def _threshold(self, low: float, high: float) -> float:
        """Where one output is cut into two classes, whose targets are these; `high` is above."""
        middle = low / 2.0 + high / 2.0  # without overflow
        return middle if low <= middle < high else low  # of neighbours there is none

    def _record(self, dtype: str) -> NDArray[Any]:
        """What the kernel for `dtype` is handed: the parameters, as that dtype has them."""
        return np.array(self._parameters(), dtype)


@dataclass(frozen=True)
class MSE(Loss):
    """Mean squared error: ``e = (1/k) sum_j (p - t)²``.

    "mse" for `Trainer`; as PyTorch's ``MSELoss``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> net.set_weights([[[1.5]], [0.0]])
    >>> trainer = fastbp.Trainer(net, fastbp.MSE())
    >>> round(trainer.evaluate([[2.0]], [[1.0]])["loss"], 4)
    4.0
    """

    name: ClassVar[str] = "mse"


@dataclass(frozen=True)
class HalfSquaredError(Loss):
    """The textbook error: ``e = (1/2) sum_j (p - t)²``.

    "half_squared_error" for `Trainer`; Rumelhart, Hinton & Williams 1986. Unlike `MSE` it is a sum
    over outputs.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(2)], seed=0)
    >>> net.set_weights([[[1.0, 2.0]], [0.0, 0.0]])
    >>> trainer = fastbp.Trainer(net, fastbp.HalfSquaredError())
    >>> round(trainer.evaluate([[2.0]], [[1.0, 2.0]])["loss"], 4)
    2.5
    """

    name: ClassVar[str] = "half_squared_error"


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """``e = (1/k) sum_j -(t log p + (1 - t) log(1 - p))``, computed from the logits.

    Takes a sigmoid output layer and targets in [0, 1].

    "binary_cross_entropy" for `Trainer`; as PyTorch's ``BCEWithLogitsLoss``, which takes logits.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    >>> net.set_weights([[[0.0]], [0.0]])
    >>> trainer = fastbp.Trainer(net, fastbp.BinaryCrossEntropy())
    >>> round(trainer.evaluate([[2.0]], [[1.0]])["loss"], 4)
    0.6931
    """

    name: ClassVar[str] = "binary_cross_entropy"

    def _threshold(self, low: float, high: float) -> float:
        return 0.5  # targets are probabilities of class 1


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """``e = -sum_j t log p``, computed from the logits by log-softmax.

    Takes a softmax output layer, and class ids (n,) or class probabilities (n, k).

    "cross_entropy" for `Trainer`; the negative log-likelihood of classes (Bridle 1990).

    Parameters
    ----------
    label_smoothing : float
        s in [0, 1]: targets become ``(1 - s) t + s / k`` (Szegedy et al. 2016), as PyTorch's.

    Raises
    ------
    TypeError, ValueError
        `label_smoothing` is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.CrossEntropy(label_smoothing=0.1)
    CrossEntropy(label_smoothing=0.1)
    """

    name: ClassVar[str] = "cross_entropy"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        real("label_smoothing", self.label_smoothing, low=0.0, high=1.0)

    @property
    def _kernel(self) -> LossKernel:
        return _KERNELS["cross_entropy_smoothed" if self.label_smoothing else "cross_entropy"]


@dataclass(frozen=True)
class KLDivergence(Loss):
    """``e = sum_j t log(t / p)``, 0 log 0 = 0, computed from the logits.

    Takes a softmax output layer, and class probabilities (n, k) or class ids (n,).

    "kl_divergence" for `Trainer`; Kullback & Leibler 1951.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(2, "softmax")], seed=0)
    >>> net.set_weights([[[0.0, 0.0]], [0.0, 0.0]])
    >>> trainer = fastbp.Trainer(net, fastbp.KLDivergence())
    >>> round(trainer.evaluate([[2.0]], [[0.25, 0.75]])["loss"], 4)
    0.1308
    """

    name: ClassVar[str] = "kl_divergence"


@dataclass(frozen=True)
class MAE(Loss):
    """Mean absolute error: ``e = (1/k) sum_j |p - t|``, derivative 0 at 0.

    "mae" for `Trainer`; as PyTorch's ``L1Loss``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> net.set_weights([[[1.5]], [0.0]])
    >>> trainer = fastbp.Trainer(net, fastbp.MAE())
    >>> round(trainer.evaluate([[2.0]], [[1.0]])["loss"], 4)
    2.0
    """

    name: ClassVar[str] = "mae"


@dataclass(frozen=True)
class Huber(Loss):
    """``e = (1/k) sum_j x²/2`` where ``|x| <= delta``, else ``delta (|x| - delta/2)``; x = p - t.

    Huber 1964; as PyTorch's ``HuberLoss``.

    "huber" for `Trainer`.

    Parameters
    ----------
    delta : float
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        `delta` is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Huber(0.5)
    Huber(delta=0.5)
    """

    name: ClassVar[str] = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        real("delta", self.delta, low=0.0, low_open=True)


@dataclass(frozen=True)
class LogCosh(Loss):
    """``e = (1/k) sum_j log cosh(p - t)``, without overflow.

    "log_cosh" for `Trainer`; as Keras's ``LogCosh``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> net.set_weights([[[0.5]], [0.0]])
    >>> trainer = fastbp.Trainer(net, fastbp.LogCosh())
    >>> round(trainer.evaluate([[2.0]], [[0.0]])["loss"], 4)
    0.4338
    """

    name: ClassVar[str] = "log_cosh"


@dataclass(frozen=True)
class Quantile(Loss):
    """``e = (1/k) sum_j max(q (t - p), (q - 1) (t - p))``: p becomes the q-quantile of t.

    Koenker & Bassett 1978.

    "quantile" for `Trainer`.

    Parameters
    ----------
    q : float
        In (0, 1).

    Raises
    ------
    TypeError, ValueError
        `q` is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Quantile(0.9)
    Quantile(q=0.9)
    """

    name: ClassVar[str] = "quantile"
    q: float = 0.5

    def __post_init__(self) -> None:
        real("q", self.q, low=0.0, high=1.0, low_open=True, high_open=True)

    def _parameters(self) -> tuple[float, ...]:
        return self.q, 1.0 - self.q


@dataclass(frozen=True)
class Poisson(Loss):
    """``e = (1/k) sum_j exp(z) - t z``, for counts t >= 0. Takes an exp output layer.

    "poisson" for `Trainer`; the negative log-likelihood of a Poisson distribution without its
    constant, as PyTorch's ``PoissonNLLLoss``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, "exp")], seed=0)
    >>> net.set_weights([[[0.5]], [0.0]])
    >>> trainer = fastbp.Trainer(net, fastbp.Poisson())
    >>> round(trainer.evaluate([[2.0]], [[3.0]])["loss"], 4)
    -0.2817
    """

    name: ClassVar[str] = "poisson"


@dataclass(frozen=True)
class Hinge(Loss):
    """``e = (1/k) sum_j max(0, 1 - s p)``, s = ±1; targets are -1 and 1, or 0 and 1.

    "hinge" for `Trainer`; Cortes & Vapnik 1995, as Keras's ``Hinge``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> net.set_weights([[[0.25]], [0.0]])
    >>> trainer = fastbp.Trainer(net, fastbp.Hinge())
    >>> round(trainer.evaluate([[2.0]], [[1.0]])["loss"], 4)
    0.5
    """

    name: ClassVar[str] = "hinge"

    def _threshold(self, low: float, high: float) -> float:
        return 0.0  # a target of 0 means -1


#: what is taken for a loss
LossLike = LossName | LossAlias | Loss

LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        MSE, HalfSquaredError, MAE, Huber, LogCosh, Quantile, Poisson, BinaryCrossEntropy,
        CrossEntropy, KLDivergence, Hinge,
    )
}  # fmt: skip


def resolve(loss: object, activation: str) -> Loss:
    """The loss given by object or by name, if it goes with that output activation."""
    if isinstance(loss, str):
        found = LOSSES[loss_name(loss, activation)]()
    elif isinstance(loss, Loss):
        found = loss
    else:
        raise TypeError(
            "loss must be a name or a fastbp loss, or fastbp.CustomLoss(f, derivative) for a "
            f"function of your own, got {type(loss).__name__}"
        )
    required = found._kernel.requires
    if required is not None and activation != required:
        raise ValueError(
            f"loss {found.name!r} takes a network whose last layer has activation {required!r}, "
            f"got {activation!r}"
        )
    return found

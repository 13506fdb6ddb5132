"""A rate for each parameter, from running squares: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from fastbp.optimizers.base import Optimizer
from fastbp.optimizers.fields import above_0, at_least_0, fraction, truth
from fastbp.optimizers.schedules import Schedule
from fastbp.values import dataclass


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012), as PyTorch's ``torch.optim.RMSprop``.

    ``v = rho v + (1 - rho) g²``, ``p -= learning_rate g / (sqrt(v) + epsilon)``. With `centered`, v
    less the square of g's running mean stands for v. With a momentum,
    ``b = momentum b + g / (...)``, ``p -= learning_rate b``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    rho : float
        In [0, 1).
    epsilon : float
        Greater than 0.
    centered : bool
        Whether the variance is estimated, not the mean square.
    momentum : float
        In [0, 1).
    weight_decay : float
        Greater than or equal to 0; times p is added to g, for weights and biases alike.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.RMSprop(1e-3, centered=True).rho
    0.99
    """

    learning_rate: float | Schedule = 0.01
    rho: float = fraction(0.99)
    epsilon: float = above_0(1e-8)
    centered: bool = truth(False)
    momentum: float = fraction(0.0)
    weight_decay: float = at_least_0(0.0)

    def _kernel(self) -> str:
        return "rmsprop" + "_centered" * self.centered + "_momentum" * (self.momentum > 0.0)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011): ``v += g²``, ``p -= learning_rate g / (sqrt(v) + epsilon)``.

    As PyTorch's ``torch.optim.Adagrad``; v starts at 0.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    epsilon : float
        Greater than 0.
    weight_decay : float
        Greater than or equal to 0; times p is added to g, for weights and biases alike.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Adagrad(0.1).epsilon
    1e-10
    """

    learning_rate: float | Schedule = 0.01
    epsilon: float = above_0(1e-10)
    weight_decay: float = at_least_0(0.0)

    def _kernel(self) -> str:
        return "adagrad"


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012), as PyTorch's ``torch.optim.Adadelta``.

    ``v = rho v + (1 - rho) g²``, ``x = sqrt(u + epsilon) / sqrt(v + epsilon) g``,
    ``u = rho u + (1 - rho) x²``, ``p -= learning_rate x``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    rho : float
        In [0, 1).
    epsilon : float
        Greater than 0.
    weight_decay : float
        Greater than or equal to 0; times p is added to g, for weights and biases alike.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Adadelta().rho
    0.9
    """

    learning_rate: float | Schedule = 1.0
    rho: float = fraction(0.9)
    epsilon: float = above_0(1e-6)
    weight_decay: float = at_least_0(0.0)

    def _kernel(self) -> str:
        return "adadelta"

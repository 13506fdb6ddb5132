"""Running means of the gradient and of its square: Adam and its relatives."""

from __future__ import annotations

from fastbp.optimizers.base import Optimizer
from fastbp.optimizers.fields import above_0, at_least_0, fraction, truth
from fastbp.optimizers.schedules import Schedule
from fastbp.values import dataclass


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), as PyTorch's ``torch.optim.Adam``.

    ``m = beta_1 m + (1 - beta_1) g``, ``v = beta_2 v + (1 - beta_2) g²``,
    ``p -= learning_rate (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Greater than 0.
    weight_decay : float
        Greater than or equal to 0; times p is added to g, for weights and biases alike.
    amsgrad : bool
        Whether v's greatest value so far stands for v (Reddi et al. 2018).

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Adam(1e-2).beta_2
    0.999
    """

    learning_rate: float | Schedule = 1e-3
    beta_1: float = fraction(0.9)
    beta_2: float = fraction(0.999)
    epsilon: float = above_0(1e-8)
    weight_decay: float = at_least_0(0.0)
    amsgrad: bool = truth(False)

    def _kernel(self) -> str:
        return "adam_amsgrad" if self.amsgrad else "adam"


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), as ``torch.optim.AdamW``.

    ``p -= learning_rate weight_decay p`` before Adam's step, whose g is without decay.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Greater than 0.
    weight_decay : float
        Greater than or equal to 0, for weights and biases alike.
    amsgrad : bool
        Whether v's greatest value so far stands for v (Reddi et al. 2018).

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.AdamW().weight_decay
    0.01
    """

    learning_rate: float | Schedule = 1e-3
    beta_1: float = fraction(0.9)
    beta_2: float = fraction(0.999)
    epsilon: float = above_0(1e-8)
    weight_decay: float = at_least_0(0.01)
    amsgrad: bool = truth(False)

    def _kernel(self) -> str:
        return "adamw_amsgrad" if self.amsgrad else "adamw"


@dataclass(frozen=True)
class Adamax(Optimizer):
    """Adam by the greatest gradient (Kingma & Ba 2015, 7.1), as ``torch.optim.Adamax``.

    ``v = max(beta_2 v, |g| + epsilon)``, ``p -= learning_rate m / ((1 - beta_1^t) v)``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    beta_1, beta_2 : float
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
    >>> fastbp.Adamax().learning_rate
    0.002
    """

    learning_rate: float | Schedule = 2e-3
    beta_1: float = fraction(0.9)
    beta_2: float = fraction(0.999)
    epsilon: float = above_0(1e-8)
    weight_decay: float = at_least_0(0.0)

    def _kernel(self) -> str:
        return "adamax"


@dataclass(frozen=True)
class NAdam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016), as PyTorch's ``torch.optim.NAdam``.

    ``mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2)``, M_t is the product of mu up to t, and
    ``p -= learning_rate ((1 - mu_t) g / (1 - M_t) + mu_(t+1) m / (1 - M_(t+1))) / (...)`` with
    Adam's denominator.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Greater than 0.
    weight_decay : float
        Greater than or equal to 0; times p is added to g, for weights and biases alike.
    momentum_decay : float
        Greater than or equal to 0.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.NAdam().momentum_decay
    0.004
    """

    learning_rate: float | Schedule = 2e-3
    beta_1: float = fraction(0.9)
    beta_2: float = fraction(0.999)
    epsilon: float = above_0(1e-8)
    weight_decay: float = at_least_0(0.0)
    momentum_decay: float = at_least_0(4e-3)

    def _kernel(self) -> str:
        return "nadam"


@dataclass(frozen=True)
class RAdam(Optimizer):
    """Adam with the variance of its step rectified (Liu et al. 2020), as ``torch.optim.RAdam``.

    While there are too few steps for an estimate of the variance, ``p -= learning_rate m /
    (1 - beta_1^t)``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    beta_1, beta_2 : float
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
    >>> fastbp.RAdam(1e-2).beta_1
    0.9
    """

    learning_rate: float | Schedule = 1e-3
    beta_1: float = fraction(0.9)
    beta_2: float = fraction(0.999)
    epsilon: float = above_0(1e-8)
    weight_decay: float = at_least_0(0.0)

    def _kernel(self) -> str:
        return "radam"

"""Optimizers: what a person chooses. The arithmetic is in kernels/updates.py."""

from __future__ import annotations

from dataclasses import dataclass

from fastbp.checks import choice, real
from fastbp.kernels.updates import UPDATES, Update


@dataclass(frozen=True)
class Optimizer:
    """What every optimizer has: a learning rate, and the kernel that its settings select."""

    learning_rate: float

    def _update(self) -> Update:
        raise NotImplementedError

    def _constants(self) -> tuple[float, ...]:
        """The kernel's own constants, in its order."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: ``v = momentum v + g``, ``p -= learning_rate v``.

    g is the gradient plus ``weight_decay p``, for weights and biases alike; v starts as the first
    g. With `nesterov`, ``p -= learning_rate (g + momentum v)``. As PyTorch's ``torch.optim.SGD``.

    Parameters
    ----------
    learning_rate : float
        Greater than or equal to 0.
    momentum : float
        In [0, 1).
    nesterov : bool
        Needs a momentum.
    weight_decay : float
        Greater than or equal to 0.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.SGD(0.1, momentum=0.9, nesterov=True)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.0)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, low=0.0)
        real("momentum", self.momentum, low=0.0, high=1.0, high_open=True)
        real("weight_decay", self.weight_decay, low=0.0)
        if not isinstance(self.nesterov, bool):
            raise TypeError(f"nesterov must be True or False, got {self.nesterov!r}")
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov=True takes a momentum > 0, got 0")

    def _update(self) -> Update:
        name = "sgd" if self.momentum == 0.0 else "sgd_momentum"
        return UPDATES["sgd_nesterov" if self.nesterov else name]

    def _constants(self) -> tuple[float, ...]:
        return (self.weight_decay, self.momentum)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), as PyTorch's ``torch.optim.Adam``.

    ``m = beta_1 m + (1 - beta_1) g``, ``v = beta_2 v + (1 - beta_2) g²``,
    ``p -= learning_rate (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)``;
    g is the gradient plus ``weight_decay p``, for weights and biases alike.

    Parameters
    ----------
    learning_rate : float
        Greater than or equal to 0.
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
        Greater than 0.
    weight_decay : float
        Greater than or equal to 0.

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

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        real("learning_rate", self.learning_rate, low=0.0)
        real("beta_1", self.beta_1, low=0.0, high=1.0, high_open=True)
        real("beta_2", self.beta_2, low=0.0, high=1.0, high_open=True)
        real("epsilon", self.epsilon, low=0.0, low_open=True)
        real("weight_decay", self.weight_decay, low=0.0)

    def _update(self) -> Update:
        return UPDATES["adam"]

    def _constants(self) -> tuple[float, ...]:
        return (self.beta_1, self.beta_2, self.epsilon, self.weight_decay)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def resolve(optimizer: object) -> Optimizer:
    """The optimizer given by object or by name (with its defaults)."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        return OPTIMIZERS[choice("optimizer", optimizer, OPTIMIZERS)]()  # type: ignore[call-arg]
    raise TypeError(
        "optimizer must be a name or an optimizer such as fastbp.Adam(1e-3), "
        f"got {type(optimizer).__name__}"
    )

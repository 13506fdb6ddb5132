"""Steps along the gradient, or along its sign: SGD, Rprop, Lion."""

from __future__ import annotations

from fastbp.checks import real
from fastbp.optimizers.base import Optimizer
from fastbp.optimizers.fields import at_least_0, fraction, truth
from fastbp.optimizers.schedules import Schedule
from fastbp.values import dataclass


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: ``v = momentum v + g``, ``p -= learning_rate v``.

    v starts as the first g (Polyak 1964). With `nesterov`, ``p -= learning_rate (g + momentum v)``
    (Sutskever et al. 2013). As PyTorch's ``torch.optim.SGD``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    momentum : float
        In [0, 1).
    nesterov : bool
        Needs a momentum.
    weight_decay : float
        Greater than or equal to 0; times p is added to g, for weights and biases alike.

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

    learning_rate: float | Schedule = 0.01
    momentum: float = fraction(0.0)
    nesterov: bool = truth(False)
    weight_decay: float = at_least_0(0.0)

    def _check(self) -> None:
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov=True takes a momentum > 0, got 0")

    def _kernel(self) -> str:
        return (
            "sgd" if self.momentum == 0.0 else "sgd_nesterov" if self.nesterov else "sgd_momentum"
        )


@dataclass(frozen=True)
class Rprop(Optimizer):
    """Resilient propagation (Riedmiller & Braun 1993), as PyTorch's ``torch.optim.Rprop``.

    Every parameter has a step of its own. It grows by ``etas[1]`` while the gradient keeps its
    sign, and shrinks by ``etas[0]`` where the sign has turned; that step is then not taken. Only
    the gradient's sign counts, so batches should be the whole set (``batch_size=None``).

    Parameters
    ----------
    learning_rate : float or Schedule
        Every parameter's first step, within `step_sizes`.
    etas : tuple of two float
        0 < etas[0] < 1 < etas[1].
    step_sizes : tuple of two float
        The least and the greatest step, 0 < least <= greatest.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Rprop().etas
    (0.5, 1.2)
    """

    learning_rate: float | Schedule = 0.01
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50.0)

    def _check(self) -> None:
        for name in ("etas", "step_sizes"):
            if not isinstance(getattr(self, name), (tuple, list)) or len(getattr(self, name)) != 2:
                raise TypeError(f"{name} must be two numbers, got {getattr(self, name)!r}")
        real("etas[0]", self.etas[0], low=0.0, high=1.0, low_open=True, high_open=True)
        real("etas[1]", self.etas[1], low=1.0, low_open=True)
        real("step_sizes[0]", self.step_sizes[0], low=0.0, low_open=True)
        real("step_sizes[1]", self.step_sizes[1], low=self.step_sizes[0])

    def _kernel(self) -> str:
        return "rprop"

    def _starts(self) -> tuple[float, ...]:
        return (0.0, self._first_rate)


@dataclass(frozen=True)
class Lion(Optimizer):
    """Lion (Chen et al. 2023): steps of one size, along the sign of an interpolated mean.

    ``p -= learning_rate (sign(beta_1 m + (1 - beta_1) g) + weight_decay p)``, then
    ``m = beta_2 m + (1 - beta_2) g``. g is without ``weight_decay p``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than or equal to 0.
    beta_1, beta_2 : float
        In [0, 1).
    weight_decay : float
        Greater than or equal to 0, decoupled from g.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Lion().beta_2
    0.99
    """

    learning_rate: float | Schedule = 1e-4
    beta_1: float = fraction(0.9)
    beta_2: float = fraction(0.99)
    weight_decay: float = at_least_0(0.0)

    def _kernel(self) -> str:
        return "lion"

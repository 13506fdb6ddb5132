"""Activations: what a person chooses. The arithmetic is in kernels/functions/."""

from __future__ import annotations

from dataclasses import asdict, astuple
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import real
from fastbp.kernels.functions.activation_kernel import ActivationKernel
from fastbp.kernels.functions.activations import ACTIVATIONS as KERNELS
from fastbp.layers.names import ACTIVATION_NAMES, ActivationAlias, ActivationName
from fastbp.values import dataclass


@dataclass(frozen=True)
class Activation:
    """An activation with settings of its own; those without any go by their names.

    Attributes
    ----------
    name : str
        By which `Dense` takes it, with its defaults.

    Examples
    --------
    >>> import fastbp
    >>> isinstance(fastbp.ELU(0.5), fastbp.Activation), fastbp.ELU(0.5).name
    (True, 'elu')
    """

    name: ClassVar[str]

    def _settings(self) -> dict[str, Any]:
        """The settings by name, as a model file holds them."""
        return asdict(self)

    def _parameters(self) -> tuple[float, ...]:
        """The parameters that the kernel reads, in its order."""
        return astuple(self)

    def _record(self, dtype: str) -> NDArray[Any]:
        """What the kernel for `dtype` is handed: the parameters, as that dtype has them."""
        return np.array(self._parameters(), dtype)

    def _kernel(self) -> ActivationKernel:
        return KERNELS[self.name]


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """``a = z`` where z > 0, else ``negative_slope z`` (Maas et al. 2013).

    Parameters
    ----------
    negative_slope : float
        Greater than or equal to 0.

    Raises
    ------
    TypeError, ValueError
        `negative_slope` is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Dense(8, fastbp.LeakyReLU(0.1)).activation
    LeakyReLU(negative_slope=0.1)
    """

    name: ClassVar[str] = "leaky_relu"
    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        real("negative_slope", self.negative_slope, low=0.0)


@dataclass(frozen=True)
class ELU(Activation):
    """``a = z`` where z > 0, else ``alpha (exp(z) - 1)`` (Clevert et al. 2016).

    Parameters
    ----------
    alpha : float
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        `alpha` is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.ELU().alpha
    1.0
    """

    name: ClassVar[str] = "elu"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        real("alpha", self.alpha, low=0.0, low_open=True)


#: what is taken for an activation
ActivationLike = ActivationName | ActivationAlias | Activation

#: the classes of those with settings, by name
WITH_SETTINGS: dict[str, type[Activation]] = {kind.name: kind for kind in (LeakyReLU, ELU)}


def checked(activation: object) -> ActivationName | Activation:
    """Check an activation given by name or object; an object with its defaults becomes its name."""
    if isinstance(activation, Activation):
        default = WITH_SETTINGS.get(activation.name)
        plain = default is not None and activation == default()
        return ACTIVATION_NAMES.find("activation", activation.name) if plain else activation
    if callable(activation):
        raise TypeError(
            "activation must be a name or a fastbp activation, or fastbp.CustomActivation(f, "
            f"derivative) for a function of your own, got {activation!r}"
        )
    return ACTIVATION_NAMES.find("activation", activation)


def name_of(activation: str | Activation) -> str:
    return activation if isinstance(activation, str) else activation.name


def kernel_of(activation: str | Activation) -> ActivationKernel:
    return KERNELS[activation] if isinstance(activation, str) else activation._kernel()


def parameters_of(activation: str | Activation) -> tuple[float, ...]:
    """The parameters that an activation's kernel reads, in its order."""
    return _object_of(activation)._parameters()


def record_of(activation: str | Activation, dtype: str) -> NDArray[Any]:
    """What an activation's kernel for `dtype` is handed as its settings; empty for most."""
    return _object_of(activation)._record(dtype)


def _object_of(activation: str | Activation) -> Activation:
    if isinstance(activation, str):
        return WITH_SETTINGS.get(activation, Activation)()
    return activation

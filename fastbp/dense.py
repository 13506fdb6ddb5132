"""A layer's description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fastbp.checks import choice, integer
from fastbp.initializers import INITIALIZERS
from fastbp.kernels.activations import ACTIVATIONS

#: the most inputs or outputs of a layer
MOST_UNITS = 1 << 24


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``a = f(b + x W)``.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str
        f: "linear", "sigmoid", "tanh", "relu" or "softmax".
    bias : True, "shared" or False
        One bias per unit, one for the whole layer (as in textbook diagrams), or none.
    kernel_initializer : str
        How W starts: "auto" (He uniform for relu, Glorot uniform otherwise), "glorot_uniform",
        "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal" or "zeros".
        Biases start at zero.

    Raises
    ------
    TypeError, ValueError
        An argument is not of that kind; the message lists what is known.
    """

    units: int
    activation: str = "linear"
    bias: bool | Literal["shared"] = True
    kernel_initializer: str = "auto"

    def __init__(
        self,
        units: int,
        activation: str = "linear",
        *,
        bias: bool | Literal["shared"] = True,
        kernel_initializer: str = "auto",
    ) -> None:
        if not (isinstance(bias, (bool, np.bool_)) or bias == "shared"):
            raise ValueError(f"bias must be True, 'shared' or False, got {bias!r}")
        for name, value in (
            ("units", integer("units", units, minimum=1, maximum=MOST_UNITS)),
            ("activation", choice("activation", activation, ACTIVATIONS)),
            ("bias", bias if bias == "shared" else bool(bias)),
            (
                "kernel_initializer",
                choice("kernel_initializer", kernel_initializer, ["auto", *INITIALIZERS]),
            ),
        ):
            object.__setattr__(self, name, value)

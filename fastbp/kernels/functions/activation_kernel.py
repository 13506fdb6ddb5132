"""What the driver needs to know of an activation, which its table holds by name."""

from __future__ import annotations

from dataclasses import dataclass

from fastbp.kernels.compiling import jit


@dataclass(frozen=True)
class ActivationKernel:
    """What the driver needs to know of an activation.

    Attributes
    ----------
    forward, backward : CFunc or None
        f and f'; None where nothing has to be called.
    clamped : bool
        Whether f is max(z, 0): in hidden layers the register tiles do that themselves, and its mask
        on the way back.
    needs_z : bool
        Whether f' is taken from the sums z, which are then kept beside the outputs.
    """

    forward: jit.CFunc | None
    backward: jit.CFunc | None
    clamped: bool = False
    needs_z: bool = False

"""What a trainer does to gradients and weights beside the optimizer: penalties, clipping, bounds,
and which parameters it leaves alone. The arithmetic is in kernels/refine.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels import layout as lay
from fastbp.runtime.memory import Records, aligned_zeros
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.parts import Refinement


@dataclass(frozen=True)
class Refining:
    """For one network's parameters, with that clipping (infinite is none).

    Attributes
    ----------
    pieces : ndarray of int64
        The pieces of update work whose parameters are trained.
    lowest : int
        The first layer that has any.
    """

    parameters: Parameters
    clip_value: float = math.inf
    clip_norm: float = math.inf

    def __post_init__(self) -> None:
        if not len(self.pieces):
            raise ValueError("network has no layer that is trainable")

    @property
    def pieces(self) -> Records:
        pieces, layers = self.parameters.pieces, self.parameters.layers
        kinds = zip(pieces["layer"].tolist(), pieces["kind"].tolist(), strict=True)
        trained = [
            layers[index].trainable in (True, "weights" if kind == lay.PIECE_WEIGHTS else "biases")
            for index, kind in kinds
        ]
        if all(trained):
            return pieces
        kept: Records = aligned_zeros(sum(trained), lay.PIECE.dtype)
        kept[:] = pieces[trained]
        return kept

    @property
    def penalised(self) -> bool:
        """Whether a layer's weights have a penalty."""
        return any(layer.l1 or layer.l2 for layer in self.parameters.layers)

    def refinement(self, *, training: bool, trained: bool = False) -> Refinement:
        """What a program does of it: all where it trains, penalties alone where it doesn't.

        Where it doesn't, it still forms no gradients but of what is `trained`, if it is to.
        """
        clipped = training and self.clip_norm < math.inf
        return Refinement(
            self.pieces if training or trained else self.parameters.pieces,
            self._settings(training),
            refined=clipped or self.penalised or (training and self.clip_value < math.inf),
            clipped=clipped,
            bounded=training and any(at.max_norm is not None for at in self.parameters.layers),
        )

    def _settings(self, training: bool) -> NDArray[np.float64]:
        """As the kernels read them (REFINE_CLIP_VALUE ... in kernels/layout.py)."""
        layers = self.parameters.layers
        held = aligned_zeros(lay.REFINE_LAYERS + len(layers) * lay.REFINE_LAYER, np.float64)
        held[lay.REFINE_CLIP_VALUE] = self.clip_value if training else math.inf
        held[lay.REFINE_CLIP_NORM] = self.clip_norm
        rows = held[lay.REFINE_LAYERS :].reshape(-1, lay.REFINE_LAYER)
        for layer, row in zip(layers, rows, strict=True):
            row[lay.REFINE_L1], row[lay.REFINE_L2] = layer.l1, layer.l2
            row[lay.REFINE_MAX_NORM] = math.inf if layer.max_norm is None else layer.max_norm
        return held

"""What a trace holds: the figures of one step, by layer and by weight."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.objectives.losses import Loss
from fastbp.optimizers import SGD, Optimizer
from fastbp.tracing.names import Names

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One layer in one step; arrays are read-only and of the network's dtype.

    Attributes
    ----------
    activation : str
        Its name.
    penalised : bool
        Whether l1 or l2 is part of its weights' gradients.
    net_inputs : ndarray
        z, (units,).
    outputs : ndarray
        a = f(z), (units,).
    output_slopes : ndarray or None
        ∂E/∂a, (units,); None in an output layer whose loss is fused with its activation
        (cross-entropy, KL divergence, Poisson): δ is formed at once there.
    slopes : ndarray or None
        ∂a/∂z, (units,); None for softmax, where it is a matrix.
    deltas : ndarray
        δ = ∂E/∂z, (units,).
    weights : ndarray
        W before the update, (n_in, units).
    weight_gradients : ndarray
        ∂E/∂W, (n_in, units).
    new_weights : ndarray
        W after the update, (n_in, units).
    biases : ndarray or None
        b before the update, (units,), or (1,) where shared; None for a layer without.
    bias_gradients : ndarray or None
        ∂E/∂b, of the same shape.
    new_biases : ndarray or None
        b after the update, of the same shape.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64")
    >>> net.set_weights([[[3.0]]])
    >>> step = fastbp.trace(net, [2.0], [5.0], optimizer=fastbp.SGD(0.25))
    >>> layer = step.layers[0]
    >>> layer.outputs.tolist(), layer.deltas.tolist(), layer.weight_gradients.tolist()
    ([6.0], [1.0], [[2.0]])
    """

    activation: str
    penalised: bool
    net_inputs: Array
    outputs: Array
    output_slopes: Array | None
    slopes: Array | None
    deltas: Array
    weights: Array
    weight_gradients: Array
    new_weights: Array
    biases: Array | None
    bias_gradients: Array | None
    new_biases: Array | None

    @property
    def shared(self) -> bool:
        """Whether all units share one bias."""
        return self.biases is not None and self.biases.shape != self.outputs.shape


@dataclass(frozen=True)
class WeightTrace:
    """One weight in one step.

    Attributes
    ----------
    name : str
        The weight's, such as "w5".
    source : str
        The unit that it leads from.
    unit : str
        The unit that it leads to.
    output_slope : float or None
        The chain rule's first factor, ∂E/∂a; None where `LayerTrace` has none.
    slope : float or None
        Its second factor, ∂a/∂z; None where `LayerTrace` has none.
    input : float
        Its third factor, ∂z/∂w.
    delta : float
        The product of the first two, δ.
    gradient : float
        ∂E/∂w.
    weight : float
        Before the update.
    new_weight : float
        After the update.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64")
    >>> net.set_weights([[[3.0]]])
    >>> step = fastbp.trace(net, [2.0], [5.0], optimizer=fastbp.SGD(0.25))
    >>> w1 = step.weight("w1")
    >>> w1.output_slope, w1.slope, w1.input, w1.gradient
    (1.0, 1.0, 2.0, 2.0)
    """

    name: str
    source: str
    unit: str
    output_slope: float | None
    slope: float | None
    input: float
    delta: float
    gradient: float
    weight: float
    new_weight: float


@dataclass(frozen=True, eq=False)
class Record:
    """Every quantity of one backpropagation step: the figures of a `Trace`, which describes them.

    How they are put into words and tables is said above, so that those who write tables know them.
    """

    inputs: Array
    targets: Array
    layers: tuple[LayerTrace, ...]
    errors: Array
    error: float
    error_after: float
    outputs_after: Array
    loss: Loss
    optimizer: Optimizer
    learning_rate: float
    update: int = 0

    @property
    def names(self) -> Names:
        """The names of units and parameters."""
        return Names((len(self.inputs), *(len(layer.outputs) for layer in self.layers)))

    @property
    def plain(self) -> bool:
        """Whether a trained weight becomes ``w - learning_rate * gradient``."""
        opt = self.optimizer
        return isinstance(opt, SGD) and not (opt.momentum or opt.weight_decay)

    def source(self, layer: int) -> Array:
        """What a layer reads: the inputs, or the outputs of the layer below.

        Parameters
        ----------
        layer : int
            From 0, the first hidden layer.

        Returns
        -------
        ndarray
            (n_in,)
        """
        return self.layers[layer - 1].outputs if layer else self.inputs

    def weight(self, name: str) -> WeightTrace:
        """One weight by its name, such as "w5".

        Parameters
        ----------
        name : str
            As `plot.network` and the tables have it.

        Returns
        -------
        WeightTrace
            Its figures.

        Raises
        ------
        ValueError
            There is no weight of that name.
        """
        return self.weight_at(*self.names.find_weight(name))

    def weight_at(self, layer: int, source: int, unit: int) -> WeightTrace:
        """The weight W[source, unit] of a layer.

        Parameters
        ----------
        layer : int
            From 0, the first hidden layer.
        source : int
            The row of W, from 0.
        unit : int
            The column of W, from 0.

        Returns
        -------
        WeightTrace
            Its figures.
        """
        names, here = self.names, self.layers[layer]
        return WeightTrace(
            names.weight(layer, source, unit),
            names.unit(layer, source),
            names.unit(layer + 1, unit),
            None if here.output_slopes is None else float(here.output_slopes[unit]),
            None if here.slopes is None else float(here.slopes[unit]),
            float(self.source(layer)[source]),
            float(here.deltas[unit]),
            float(here.weight_gradients[source, unit]),
            float(here.weights[source, unit]),
            float(here.new_weights[source, unit]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain numbers, strings, lists and dicts that JSON can hold.

        Returns
        -------
        dict
            With "update", "inputs", "targets", "loss", "optimizer", "learning_rate", "layers" (a
            list of dicts), "errors", "error", "error_after" and "outputs_after".
        """
        layers = [
            {field.name: _plain(getattr(layer, field.name)) for field in fields(layer)}
            for layer in self.layers
        ]
        return {
            "update": self.update,
            "inputs": self.inputs.tolist(),
            "targets": self.targets.tolist(),
            "loss": self.loss.name,
            "optimizer": repr(self.optimizer),
            "learning_rate": self.learning_rate,
            "layers": layers,
            "errors": self.errors.tolist(),
            "error": self.error,
            "error_after": self.error_after,
            "outputs_after": self.outputs_after.tolist(),
        }


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value

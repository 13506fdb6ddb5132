"""Taking a trace: the training kernels at work on a copy, and what they leave in the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import optimizers
from fastbp.checks import integer
from fastbp.data import inputs
from fastbp.kernels import layout as lay
from fastbp.kernels import predict as kernels
from fastbp.kernels.functions.losses import LOSSES
from fastbp.layers.activations import kernel_of, name_of
from fastbp.layers.custom import call_kernel
from fastbp.network import Network, copy_with, parameters_of
from fastbp.objectives import losses
from fastbp.objectives.losses import HalfSquaredError, LossLike
from fastbp.optimizers import SGD, OptimizerLike
from fastbp.runtime.memory import aligned_zeros
from fastbp.runtime.plan import Plan
from fastbp.tracing.display import Trace
from fastbp.tracing.record import LayerTrace
from fastbp.trainer import Trainer
from fastbp.training import arguments, status
from fastbp.training.engine import Engine
from fastbp.training.settings import Settings

Array = NDArray[Any]

_TEXTBOOK = SGD(0.5)


def trace(
    network: Network,
    x: ArrayLike,
    t: ArrayLike,
    loss: LossLike = "half_squared_error",
    optimizer: OptimizerLike = _TEXTBOOK,
    *,
    weights_only: bool = False,
    after: int = 0,
) -> Trace:
    """One backpropagation step on one sample, number by number, as the kernels work it out.

    A copy of the network is trained: the given one stays as it is. The gradients are bitwise those
    of `Trainer.gradients`, the new weights those of `Trainer.step`.

    Parameters
    ----------
    network : Network
        Of any size, without dropout, whose masks would be of one update only.
    x : array_like
        One sample: `n_inputs` numbers, of any shape.
    t : array_like
        Its target: a number an output, or a class id for "cross_entropy".
    loss : str or Loss
        As for `Trainer`.
    optimizer : str or Optimizer
        Any that works batch by batch; "lbfgs" and "levenberg_marquardt" search along lines or for
        a damping, and are refused.
    weights_only : bool
        Leave the biases as they are, as the textbook's example does.
    after : int
        Updates by this sample to make before the one that is traced.

    Returns
    -------
    Trace
        Tables when printed.

    Raises
    ------
    TypeError, ValueError
        An argument is of a wrong kind, shape or range, holds a NaN or an infinity, or doesn't go
        with the network.
    DivergenceError
        The loss is not finite.

    Notes
    -----
    Formulas: Rumelhart, Hinton and Williams, "Learning representations by back-propagating
    errors", Nature 323 (1986).

    Examples
    --------
    >>> import fastbp
    >>> layers = [fastbp.Dense(2, "sigmoid", bias="shared") for _ in range(2)]
    >>> net = fastbp.Network(2, layers, dtype="float64")
    >>> net.set_weights([[[0.15, 0.25], [0.2, 0.3]], [0.35], [[0.4, 0.5], [0.45, 0.55]], [0.6]])
    >>> step = fastbp.trace(net, [0.05, 0.10], [0.01, 0.99])
    >>> round(step.error, 9), round(step.weight("w5").gradient, 9)
    (0.298371109, 0.082167041)
    """
    after = integer("after", after, minimum=0)
    tracer = Tracer(network, x, t, loss, optimizer, weights_only=weights_only)
    tracer.advance(after)
    return tracer.take()


class Tracer:
    """A copy of a network, trained on one sample, whose every update can be looked at.

    The arguments are those of `trace`.
    """

    def __init__(
        self,
        network: Network,
        x: ArrayLike,
        t: ArrayLike,
        loss: LossLike = "half_squared_error",
        optimizer: OptimizerLike = _TEXTBOOK,
        *,
        weights_only: bool = False,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a fastbp.Network, got {type(network).__name__}")
        if not isinstance(weights_only, (bool, np.bool_)):
            raise TypeError(f"weights_only must be True or False, got {weights_only!r}")
        optimizer = optimizers.resolve(optimizer)
        if isinstance(optimizer, optimizers.Solver):
            raise ValueError(
                f"optimizer must be one that updates batch by batch, such as fastbp.SGD(0.5), "
                f"got {type(optimizer).__name__}, which tries several steps and keeps one"
            )
        loss = losses.resolve(loss, name_of(network.layers[-1].activation))
        for index, layer in enumerate(network.layers):
            if layer.dropout:
                raise ValueError(
                    f"network must be one without dropout, got {layer.dropout:g} in layers[{index}]"
                )
        layers = list(network.layers)
        if weights_only:
            kept = {True: "weights", "biases": False}
            layers = [replace(n, trainable=kept.get(n.trainable, n.trainable)) for n in layers]  # type: ignore[arg-type]
        self.network = copy_with(network, layers, network.dtype)
        self._x = _one(x, network.n_inputs, "x", "inputs")
        self._t = _target(t, network.n_outputs, classes=loss._kernel.classes)
        self.trainer = Trainer(
            self.network, loss, optimizer, batch_size=1, shuffle=False, seed=0, n_threads=1
        )
        # It makes no update: its program is looked at, on the parameters that the trainer updates.
        parameters = self._parameters = parameters_of(self.network)
        settings = Settings.of(layers[-1], loss, "sgd", (), seed=0, n_threads=1)
        self._samples = arguments.samples(parameters, settings, self._x, self._t, None)
        plan = Plan.in_slabs(parameters.layout, 1, 1, lay.TRAINING_SLABS)
        self._engine = Engine(parameters, settings)  # it holds what the program points at
        self._program = self._engine.separate(lay.MODE_GRADIENTS, plan, sums=True)
        self.updates = 0

    def advance(self, updates: int) -> None:
        """Make this many updates without tracing them."""
        for _ in range(updates):
            self.trainer.step(self._x, self._t)
        self.updates += updates

    def take(self) -> Trace:
        """Make the next update, and give the trace of it."""
        network, trainer, program = self.network, self.trainer, self._program
        program.set_samples(*self._samples)
        program.set_parameters(self._parameters.buffer)  # of a copy that nobody else has
        kernels.forward_rows.compiled(network.dtype)(0.0, program.address, 0, 1)
        left = program.workspace
        net_inputs = [left.sums(index, 1)[0].copy() for index in range(len(network.layers))]
        outputs = [left.outputs(index, 1)[0].copy() for index in range(len(network.layers))]
        targets, inputs = left.targets(1)[0].copy(), left.inputs(1)[0].copy()
        self._back()
        deltas = [left.deltas(index, 1)[0].copy() for index in range(len(network.layers))]
        output_slopes = [self._output_slopes(index) for index in range(len(network.layers))]
        slopes = [
            self._slopes(i, z, a) for i, (z, a) in enumerate(zip(net_inputs, outputs, strict=True))
        ]
        before = network.get_weights()
        error, gradients = trainer.gradients(self._x, self._t)
        self.advance(1)
        parts = zip(
            *(self._by_layer(arrays) for arrays in (before, gradients, network.get_weights())),
            strict=True,
        )
        layers = []
        for index, ((w, b), (dw, db), (new_w, new_b)) in enumerate(parts):
            dense = network.layers[index]
            arrays = (
                net_inputs[index], outputs[index], output_slopes[index], slopes[index],
                deltas[index], w, dw, new_w, b, db, new_b,
            )  # fmt: skip
            penalised = bool(dense.l1 or dense.l2)
            layers.append(LayerTrace(str(dense.activation), penalised, *map(_frozen, arrays)))
        return Trace(
            _frozen(inputs),
            _frozen(targets),
            tuple(layers),
            _frozen(self._errors(net_inputs[-1], outputs[-1], targets)),
            error,
            trainer.evaluate(self._x, self._t)["loss"],
            _frozen(network.predict(self._x)[0]),
            trainer.loss,
            trainer.optimizer,
            trainer.position.learning_rate,
            self.updates - 1,
        )

    # -- what stands in the workspace --------------------------------------------------------------

    def _back(self) -> None:
        program = self._program
        status.check(program.run(0, 1), program.results, self.network.dtype)

    def _output_slopes(self, index: int) -> Array | None:
        """∂E/∂a, which the kernels turn into δ in place: so they run without that, once a layer."""
        last = index == len(self.network.layers) - 1
        if last and self.trainer.loss._kernel.requires is not None:
            return None
        with self._program.workspace.without_slope(index):
            self._back()
        slopes: Array = self._program.workspace.deltas(index, 1)[0].copy()
        return slopes

    def _slopes(self, index: int, z: Array, a: Array) -> Array | None:
        """∂a/∂z: what the activation's kernel makes of ones."""
        dense = self.network.layers[index]
        if name_of(dense.activation) == "softmax":
            return None
        ld = self._parameters.layout.layers[index].ld_out
        slopes = aligned_zeros(ld, self.network.dtype)
        slopes[:] = 1.0
        backward = kernel_of(dense.activation).backward
        if backward is not None:
            # as they were: a loss may have used the workspace's for scratch
            rows = aligned_zeros(2 * ld, self.network.dtype).reshape(2, ld)
            rows[:, : dense.units] = a, z
            settings = self._program.workspace.activation_settings(index) or rows.ctypes.data
            call_kernel(backward, self.network.dtype, slopes, *rows, 1, dense.units, ld, settings)
        return slopes[: dense.units].copy()

    def _errors(self, z: Array, p: Array, t: Array) -> Array:
        """Each output's part of the error, by the loss's kernel, an output at a time."""
        loss, k, dtype = self.trainer.loss, len(p), self.network.dtype
        kernel, settings = loss._kernel.kernel, np.append(loss._record(dtype), np.zeros(1, dtype))
        together = loss._kernel.requires == "softmax"  # whose outputs depend on all net inputs
        n = k if together else 1
        ld = lay.row_stride(n, self._parameters.layout.itemsize)
        blocks = [aligned_zeros(k * ld, dtype).reshape(k, ld) for _ in range(4)]
        if together:
            if loss._kernel is LOSSES["cross_entropy_smoothed"]:
                kernel = LOSSES["cross_entropy"].kernel
                t = (1 - settings[0]) * t + settings[0] / k
            blocks[0][:, :k] = z
            np.fill_diagonal(blocks[2], t)
        else:
            for block, values in zip(blocks, (z, p, t), strict=False):
                block[:, 0] = values
        weights, errors = np.ones(k, dtype), np.zeros(k)
        if not together and not isinstance(loss, HalfSquaredError):
            weights /= k  # the others are means
        call_kernel(kernel, dtype, *blocks[:3], weights, blocks[3], errors, k, n, ld, 1.0, settings)
        return errors

    def _by_layer(self, arrays: list[Array]) -> Iterator[tuple[Array, Array | None]]:
        rest = iter(arrays)
        for layer in self.network.layers:
            yield next(rest), next(rest) if layer.bias else None


def _frozen(array: Array | None) -> Any:
    if array is not None:
        array.setflags(write=False)
    return array


def _array(values: ArrayLike, name: str, hint: str = "") -> Array:
    """A copy of whatever X may be, as an array; a number by itself has no axes."""
    if isinstance(values, Number) or getattr(values, "ndim", 1) == 0:
        return np.array(values)
    return np.array(inputs.numbers(values, name, hint))


def _one(values: ArrayLike, n: int, name: str, what: str) -> Array:
    """One sample as a row; a copy, so that it can't change between updates."""
    array = _array(values, name)
    if array.size != n:
        raise ValueError(f"{name} must be one sample of {n} {what}, got shape {array.shape}")
    return array.reshape(1, -1)


def _target(t: ArrayLike, k: int, *, classes: bool) -> Array:
    array = _array(t, "t", inputs.ENCODE if classes else "")
    if classes and array.size == 1 and (k > 1 or array.ndim == 0):
        return array.reshape(1)
    return _one(array, k, "t", "targets" + (", or a class id" if classes else ""))

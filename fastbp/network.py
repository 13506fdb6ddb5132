"""The network: architecture, parameters, weights in and out, prediction."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.checks import integer
from fastbp.ffi import states
from fastbp.ffi.c_function import CFunction
from fastbp.ffi.states import State
from fastbp.files import model_file
from fastbp.layers.activations import name_of
from fastbp.layers.custom import CustomActivation
from fastbp.layers.dense import MOST_UNITS, Dense
from fastbp.layers.initializers import draw
from fastbp.layers.names import DTypeLike, dtype_name
from fastbp.layers.thresholds import checked_threshold, thresholds_of
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.prediction import Predictor, classes_of
from fastbp.runtime.team import Threads

Array = NDArray[Any]


class Network:
    """A feed-forward network: its architecture and its parameters.

    Parameters
    ----------
    n_inputs : int
        Features of a sample.
    layers : sequence of Dense
        From the first hidden layer to the output layer; at least one.
    dtype : {"float32", "float64"} or dtype
        Of parameters and arithmetic: by name, or NumPy's object of that name.
    seed : int or None
        Of the initial weights, 0 ... 2⁶⁴ - 1. None draws one, kept in `seed`.

    Attributes
    ----------
    n_inputs : int
        As given.
    layers : tuple of Dense
        As given.
    dtype : str
        "float32" or "float64".
    seed : int
        As given or drawn.
    metadata : dict
        What the caller had stored with the model file that this network was loaded from.
    class_threshold : float or None
        Where one output is cut into two classes.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
    >>> net.n_parameters
    13
    """

    def __init__(
        self,
        n_inputs: int,
        layers: Sequence[Dense],
        *,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        self._build(n_inputs, layers, dtype, seed)
        self._parameters.pack(self._parameters.buffer, self._initial_weights())

    def _build(
        self, n_inputs: int, layers: Sequence[Dense], dtype: DTypeLike, seed: int | None
    ) -> None:
        """Check the arguments, and make a network whose parameters are all 0."""
        self.n_inputs = integer("n_inputs", n_inputs, minimum=1, maximum=MOST_UNITS)
        self.layers = tuple(_checked_layers(layers))
        self.dtype = dtype_name("dtype", dtype)
        if seed is None:
            seed = secrets.randbits(63)
        self.seed = integer("seed", seed, minimum=0, maximum=2**64 - 1)
        self.metadata: dict[str, Any] = {}
        self._parameters = Parameters(self.n_inputs, self.layers, self.dtype)
        self._predictor = Predictor(self._parameters)
        self._derivatives = states.Derivatives(self._parameters)

    @classmethod
    def _of(
        cls,
        n_inputs: int,
        layers: Sequence[Dense],
        weights: Sequence[ArrayLike],
        *,
        dtype: DTypeLike,
        seed: int,
        metadata: dict[str, Any],
    ) -> Network:
        """A network with these weights, checked as `set_weights` does; none are drawn."""
        network = cls.__new__(cls)
        network._build(n_inputs, layers, dtype, seed)
        network.set_weights(weights)
        network.metadata = metadata
        return network

    @property
    def n_outputs(self) -> int:
        """Units of the last layer."""
        return self.layers[-1].units

    @property
    def n_parameters(self) -> int:
        """Weights and biases in all; a shared bias counts once."""
        return self._parameters.n_parameters

    @property
    def class_threshold(self) -> float | None:
        """Above it a single output is class 1, for `predict_classes` and in metrics.

        A `Trainer.fit` whose targets for the one output have exactly two values, in rows of weight
        above 0, sets it to their middle, or as the loss has it: 0.5 for "binary_cross_entropy",
        whose targets are probabilities; 0 for "hinge", where 0 means -1. One whose targets have
        more values sets it to None; one of a single value leaves it. None is 0.5, or 0 where the
        activation is linear or tanh. It may be set to a finite number or to None, until the next
        such `fit`; metrics go on telling the targets' classes as that `fit` has found them. It is
        kept in files, checkpoints and copies.
        """
        return self._parameters.thresholds.outputs

    @class_threshold.setter
    def class_threshold(self, value: float | None) -> None:
        cut = checked_threshold("class_threshold", value, self.n_outputs)
        self._parameters.thresholds = self._parameters.thresholds._replace(outputs=cut)

    def _initial_weights(self) -> list[Array]:
        weights: list[Array] = []
        n_in = self.n_inputs
        for stream, layer in enumerate(self.layers):
            kind, name = layer.kernel_initializer, name_of(layer.activation)
            weights.append(draw(kind, name, self.seed, stream, n_in, layer.units))
            if layer.bias:
                weights.append(np.zeros(1 if layer.bias == "shared" else layer.units))
            n_in = layer.units
        return weights

    # -- weights -----------------------------------------------------------------------------------

    def get_weights(self) -> list[Array]:
        """Copies of all weights and biases.

        Returns
        -------
        list of ndarray
            ``[W0, b0, W1, b1, ...]`` in the network's dtype: W is (n_in, n_out), b is (n_out,),
            (1,) where shared, and left out for ``bias=False``. During a `fit` in another thread,
            those of a finished update.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1, bias=False)], seed=0)
        >>> [w.shape for w in net.get_weights()]
        [(2, 3), (3,), (3, 1)]
        """
        return self._parameters.read(self._parameters.unpack)

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all weights and biases.

        Parameters
        ----------
        weights : sequence of array_like
            As `get_weights` gives them, of any real floating dtype; finite.

        Raises
        ------
        TypeError, ValueError
            The number of arrays, a shape, a dtype or a value is wrong; nothing has changed.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
        >>> net.set_weights([[[3.0], [4.0]], [0.5]])
        >>> net.predict([[1.0, 2.0]]).tolist()
        [[11.5]]
        """
        self._parameters.set_weights(weights)

    def compiled(self) -> State:
        """A state for the functions of `fastbp.jit`, which compiled code calls.

        It shares the parameters with this network, which it keeps alive: changes are seen both
        ways. Nobody is locked out meanwhile: don't use it while another thread trains.

        Returns
        -------
        tuple of ndarray
            For one thread at a time; a copy of it is refused.

        Examples
        --------
        >>> import numba, numpy as np, fastbp, fastbp.jit
        >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
        >>> @numba.njit(nogil=True)
        ... def outputs(state, x, out):
        ...     return fastbp.jit.predict_one(state, x, out)
        >>> x, out = np.ones(2, np.float32), np.empty(1, np.float32)
        >>> outputs(net.compiled(), x, out) == fastbp.jit.OK
        True
        >>> bool(out[0] == net.predict(x[None])[0, 0])
        True
        """
        return states.of_network(self._parameters, self)

    def c_function(self) -> CFunction:
        """The network as a C function: n rows of inputs in, n rows of outputs out.

        It shares the parameters with this network, which it keeps alive; as for `compiled`, nobody
        is locked out.

        Returns
        -------
        CFunction
            Its pointers are good as long as it lives.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
        >>> f = net.c_function()
        >>> x, out = np.ones((3, 2), np.float32), np.empty((3, 1), np.float32)
        >>> f.ctypes(f.state_address, x.ctypes.data, out.ctypes.data, 3)
        0
        >>> bool((out == net.predict(x)).all())
        True
        """
        return CFunction(self.compiled(), training=False)

    def vjp(self, X: ArrayLike, cotangent: ArrayLike) -> tuple[list[Array], Array]:
        """Gradients of Σ cotangent · predict(X): by the parameters, and by X.

        With the gradient of any objective by the outputs as `cotangent`, those of the objective.
        Penalties (`Dense(l1=, l2=)`) are left out; nothing is dropped. Several threads may call it
        at once. Its workspace takes a block of rows at a time, however many X has, and is kept for
        the next call where it is of 64 MiB at most.

        Parameters
        ----------
        X : array_like
            (n, n_inputs), as for `predict`, n at least 1.
        cotangent : array_like
            (n, n_outputs), or (n,) for one output.

        Returns
        -------
        gradients : list of ndarray
            ``[dW0, db0, ...]``, shaped as `get_weights`.
        input_gradients : ndarray
            (n, n_inputs)

        Raises
        ------
        TypeError, ValueError
            An argument is of a wrong kind or shape, or holds a NaN or an infinity.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
        >>> net.set_weights([[[3.0], [4.0]], [0.0]])
        >>> (dW, db), dX = net.vjp([[1.0, 2.0]], [[10.0]])
        >>> dW.ravel().tolist(), db.tolist(), dX.tolist()
        ([10.0, 20.0], [10.0], [[30.0, 40.0]])
        """
        return self._derivatives.vjp(X, cotangent)

    # -- predictions -------------------------------------------------------------------------------

    def predict(
        self, X: ArrayLike, *, out: Array | None = None, n_threads: Threads = "auto"
    ) -> Array:
        """The network's outputs.

        Parameters
        ----------
        X : array_like
            Samples: (n,) for one feature, (n, n_inputs), or (n, d1, d2, ...) flattened per sample.
            Of a table of pandas, polars or pyarrow the columns go by their position.
        out : ndarray or None
            (n, n_outputs), C-contiguous, of the network's dtype: where to write. It may share
            memory with X, but two memory maps of one file aren't seen to.
        n_threads : int or "auto"
            The most threads to use; "auto" as for `Trainer`.

        Returns
        -------
        ndarray
            (n, n_outputs), `out` if given.

        Raises
        ------
        TypeError, ValueError
            X or `out` is of a wrong kind, shape or dtype, or holds a NaN or an infinity.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
        >>> net.predict(np.zeros((5, 2))).shape
        (5, 1)
        """
        return self._predictor.outputs(X, out, n_threads)

    def predict_classes(
        self, X: ArrayLike, threshold: float | None = None, *, n_threads: Threads = "auto"
    ) -> NDArray[np.int64]:
        """The class of each sample: the id of its largest output.

        A single output is of class 1 above the threshold, else of class 0: ids, whatever the values
        were that the targets of the two classes had.

        Parameters
        ----------
        X : array_like
            As for `predict`.
        threshold : float or None
            For one output only. None is `class_threshold`, the middle of the targets that it was
            trained on; where that is None too, 0.5, or 0 where the activation is linear or tanh.
        n_threads : int or "auto"
            The most threads to use.

        Returns
        -------
        ndarray of int64
            (n,): class ids, from 0.

        Raises
        ------
        TypeError, ValueError
            As `predict`; or `threshold` is no finite number, or there are several outputs.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
        >>> net.set_weights([[[1.0]], [0.0]])
        >>> net.predict_classes([-2.0, 1.0, 3.0]).tolist()
        [0, 1, 1]
        >>> net.predict_classes([-2.0, 1.0, 3.0], threshold=0.9).tolist()
        [0, 0, 1]
        """
        cut = checked_threshold("threshold", threshold, self.n_outputs)
        if cut is None:
            cut, _ = self._parameters.thresholds.found(self.layers[-1].activation)
        return classes_of(self.predict(X, n_threads=n_threads), cut)

    def activations(self, X: ArrayLike) -> list[Array]:
        """Every layer's outputs, and the logits of the last.

        Parameters
        ----------
        X : array_like
            As for `predict`.

        Returns
        -------
        list of ndarray
            One (n, units) a layer, then the output layer's weighted sums, (n, n_outputs).

        Raises
        ------
        TypeError, ValueError
            As `predict`.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1, "sigmoid")], seed=0)
        >>> hidden, outputs, logits = net.activations(np.zeros((5, 2)))
        >>> hidden.shape, outputs.shape, logits.shape
        ((5, 3), (5, 1), (5, 1))
        """
        return self._predictor.activations(X)

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        """Write architecture and parameters to a safetensors file, atomically.

        Parameters
        ----------
        path : path-like
            The file; one that exists is replaced, once the new one is whole.
        metadata : mapping or None
            Strings, finite numbers, booleans, None, lists and dicts to store along.

        Raises
        ------
        ModelFileError
            The metadata is not what JSON holds, a weight is not finite, an activation is a person's
            own, or `path` is a folder or a device.
        OSError
            The system can't write the file; what was there still is.

        Examples
        --------
        >>> import pathlib, tempfile, fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name, "net.safetensors")
        >>> net.save(path, {"about": "a first try"})
        >>> fastbp.Network.load(path).metadata
        {'about': 'a first try'}
        >>> folder.cleanup()
        """
        layers = [layer._stored() for layer in self.layers]
        for activation in (layer.activation for layer in self.layers):
            if isinstance(activation, CustomActivation):
                raise model_file.ModelFileError(
                    f"a model file can't hold the functions of activation {activation.name!r}"
                )
        extra = dict(self.metadata if metadata is None else metadata)
        weights = self.get_weights()
        model_file.write(
            path,
            model_file.Model(
                self.n_inputs, self.dtype, self.seed, layers, weights, extra,
                *self._parameters.thresholds,
            ),
        )  # fmt: skip

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Read a network that `save` has written.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        Network
            With the weights, dtype, seed and metadata of the one that was saved.

        Raises
        ------
        ModelFileError
            A `ValueError`: the file is damaged, is of a newer version, or is no fastbp model; the
            message says.
        OSError
            The file can't be read.

        Examples
        --------
        >>> import pathlib, tempfile, fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "net.safetensors")
        ...     net.save(path)
        ...     same = fastbp.Network.load(path)
        >>> bool((same.predict([[1.0, 2.0]]) == net.predict([[1.0, 2.0]])).all())
        True
        """
        model = model_file.read(path)
        try:
            layers = [Dense._from_stored(layer) for layer in model.layers]
            network = cls._of(
                model.n_inputs, layers, model.weights, dtype=model.dtype, seed=model.seed,
                metadata=model.extra,
            )  # fmt: skip
            network._parameters.thresholds = thresholds_of(vars(model), network.n_outputs)
            return network
        except (TypeError, ValueError) as error:
            raise model_file.ModelFileError(f"{os.fspath(path)}: {error}") from None

    def _rows(self) -> list[tuple[str, ...]]:
        """The layers as a table with a head, in text."""
        rows: list[tuple[str, ...]] = [("layer", "units", "activation", "bias", "parameters")]
        n_in = self.n_inputs
        for index, layer in enumerate(self.layers):
            biases = {True: layer.units, "shared": 1, False: 0}[layer.bias]
            count = n_in * layer.units + biases
            bias = layer.bias if layer.bias == "shared" else ("yes" if layer.bias else "no")
            rows.append((str(index), str(layer.units), str(layer.activation), bias, f"{count:,}"))
            n_in = layer.units
        return rows

    def _head(self) -> str:
        return (
            f"Network: {self.n_inputs} inputs, {self.n_parameters:,} parameters, {self.dtype}, "
            f"seed {self.seed}"
        )

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[c]) for row in rows) for c in range(5)]
        lines = ["  ".join(x.rjust(w) for x, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([self._head(), *lines])

    def _repr_html_(self) -> str:
        """For notebooks: the layers as a table."""
        from fastbp.display import table

        head, *rows = self._rows()
        return table(self._head(), head, rows, numbers=(0, 1, 4))

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: what makes the network, without locks and scratch."""
        return {
            "n_inputs": self.n_inputs,
            "layers": self.layers,
            "dtype": self.dtype,
            "seed": self.seed,
            "weights": self.get_weights(),
            "metadata": self.metadata,
            **self._parameters.thresholds.described(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._build(state["n_inputs"], state["layers"], state["dtype"], state["seed"])
        self.set_weights(state["weights"])
        self.metadata = state["metadata"]
        self._parameters.thresholds = thresholds_of(state, self.n_outputs)


def description(network: Network) -> dict[str, Any]:
    """Return architecture, dtype, seed and metadata as plain data, as a checkpoint holds them."""
    return {
        "n_inputs": network.n_inputs,
        "dtype": network.dtype,
        "seed": network.seed,
        "layers": [layer._stored() for layer in network.layers],
        "metadata": network.metadata,
        **parameters_of(network).thresholds.described(),
    }


def from_description(about: dict[str, Any]) -> Network:
    """Return a new network like the one that `description` is of, but that its weights are 0."""
    layers = [Dense._from_stored(layer) for layer in about["layers"]]
    network = Network.__new__(Network)
    network._build(about["n_inputs"], layers, about["dtype"], about["seed"])
    network.metadata = about["metadata"]
    parameters_of(network).thresholds = thresholds_of(about, network.n_outputs)
    return network


def copy_with(network: Network, layers: Sequence[Dense], dtype: DTypeLike) -> Network:
    """Return a network of these layers in that dtype, with the inputs, seed and weights of one."""
    weights, seed = network.get_weights(), network.seed
    copy = Network._of(network.n_inputs, layers, weights, dtype=dtype, seed=seed, metadata={})
    parameters_of(copy).thresholds = parameters_of(network).thresholds
    return copy


def parameters_of(network: Network) -> Parameters:
    """The parameters of a network, for those who train it."""
    return network._parameters


def _checked_layers(layers: Sequence[Dense]) -> list[Dense]:
    if isinstance(layers, Dense) or not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list of fastbp.Dense, got {type(layers).__name__}")
    if not layers:
        raise ValueError("layers must hold at least one fastbp.Dense, got an empty list")
    for index, layer in enumerate(layers):
        if not isinstance(layer, Dense):
            raise TypeError(f"layers[{index}] must be a fastbp.Dense, got {type(layer).__name__}")
    if layers[-1].dropout:
        raise ValueError(
            f"layers[{len(layers) - 1}] is the output layer, whose dropout must be 0, "
            f"got {layers[-1].dropout:g}"
        )
    return list(layers)

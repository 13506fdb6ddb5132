"""From and to the list of weights of a Keras model of Dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbp.interop.building import Array, network_of, refuse_shared_biases
from fastbp.layers.activations import Activation, ActivationLike, LeakyReLU
from fastbp.layers.dense import Dense
from fastbp.layers.names import ACTIVATION_NAMES, ActivationName, DTypeLike
from fastbp.network import Network

#: Keras 3's names, where fastbp's mean something else
_OTHERS: dict[str, Activation] = {"leaky_relu": LeakyReLU(0.2)}


def from_keras_weights(
    weights: Sequence[ArrayLike],
    activations: Sequence[ActivationLike | None],
    *,
    dtype: DTypeLike | None = None,
) -> Network:
    """The network of a Keras model of Dense layers, from ``model.get_weights()``.

    Parameters
    ----------
    weights : sequence of array_like
        Of each layer the kernel, (n_in, n_out), and its bias, (n_out,), if it has one.
    activations : sequence of str, Activation or None
        Of each layer, as weights don't tell: by Keras 3's name or fastbp's, or one of fastbp's
        objects; None is "linear". "leaky_relu" is Keras's, with a slope of 0.2, "hard_sigmoid" is
        Keras 3's, ``relu6(z + 3) / 6``, which Keras 2 had otherwise.
    dtype : {"float32", "float64"} or None
        None is float64 if any array has that, else float32.

    Returns
    -------
    Network
        With weights of its own.

    Raises
    ------
    TypeError, ValueError
        An array is of no Dense layer's shape (BatchNormalization and others can't be carried over),
        not of real numbers or not finite; layers don't follow on each other; an activation is
        missing or not known.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.interop import from_keras_weights
    >>> weights = [np.ones((2, 3)), np.zeros(3), np.ones((3, 1))]
    >>> net = from_keras_weights(weights, ["swish", None])
    >>> [(layer.activation, layer.bias) for layer in net.layers]
    [('silu', True), ('linear', False)]
    """
    try:
        arrays: list[Array] = [np.asarray(array) for array in weights]
    except (TypeError, ValueError) as error:
        raise TypeError(f"weights must be a list of arrays: {error}") from None
    kernels: list[Array] = []
    biases: list[bool] = []
    for i, array in enumerate(arrays):
        wrong = f"weights[{i}] has shape {array.shape}"
        if array.ndim == 2 and min(array.shape) > 0:
            kernels.append(array)
            biases.append(False)
        elif not kernels:
            raise ValueError(f"{wrong}; a Dense layer's kernel (n_in, n_out) comes first")
        elif biases[-1] or array.shape != (kernels[-1].shape[1],):
            raise ValueError(
                f"{wrong}; after a kernel {kernels[-1].shape} can come its bias "
                f"({kernels[-1].shape[1]},), once, or the next kernel: other layers' weights "
                "(BatchNormalization's, say) can't be carried over"
            )
        else:
            biases[-1] = True
    if not kernels:
        raise ValueError("weights must hold at least one kernel, got none")
    given = _activations(activations, len(kernels))
    layers = [
        Dense(kernel.shape[1], activation, bias=bias)
        for kernel, activation, bias in zip(kernels, given, biases, strict=True)
    ]
    return network_of(kernels, arrays, layers, dtype)


def _activations(given: Any, n: int) -> list[ActivationName | Activation]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise TypeError(f"activations must be a list with one a layer, got {given!r}")
    if len(given) != n:
        raise ValueError(f"activations must have one for each of {n} layers, got {len(given)}")
    found: list[ActivationName | Activation] = []
    for i, activation in enumerate(given):
        if activation is None:
            found.append("linear")
        elif isinstance(activation, Activation):
            found.append(activation)
        else:
            name = ACTIVATION_NAMES.find(f"activations[{i}]", activation)
            found.append(_OTHERS.get(name, name))
    return found


def to_keras_weights(network: Network) -> list[Array]:
    """What ``model.set_weights`` takes of a Keras model with the same Dense layers.

    Parameters
    ----------
    network : Network
        Its layers with ``bias=False`` are Dense layers with ``use_bias=False``. A list of weights
        holds neither activations nor dropout: the model has to have them.

    Returns
    -------
    list of ndarray
        Copies: of each layer the kernel, (n_in, n_out), and its bias, (n_out,), if it has one.

    Raises
    ------
    TypeError
        `network` is no `Network`.
    ValueError
        A layer shares one bias among its units, which Keras can't hold.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1, bias=False)], seed=0)
    >>> [w.shape for w in fastbp.interop.to_keras_weights(net)]
    [(2, 3), (3,), (3, 1)]
    """
    return refuse_shared_biases(network, "Keras").get_weights()

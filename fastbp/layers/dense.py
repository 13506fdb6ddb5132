"""A fully connected layer, and the names, shapes and checks of the weights that layers have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.checks import check_unmasked, integer, real
from fastbp.layers import activations, initializers
from fastbp.layers.activations import Activation, ActivationLike
from fastbp.layers.initializers import Initializer, InitializerLike
from fastbp.layers.names import ActivationName, InitializerName
from fastbp.values import dataclass

#: the most inputs or outputs of a layer
MOST_UNITS = 1 << 24
# settings that a model file leaves out where they are the default
OPTIONAL = {"dropout": 0.0, "l1": 0.0, "l2": 0.0, "max_norm": None, "trainable": True}


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``a = f(b + x W)``.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str or Activation
        f, by name: "linear", "sigmoid", "tanh", "relu", "softmax", "leaky_relu", "elu", "selu",
        "relu6", "hard_sigmoid", "hard_tanh", "gelu", "gelu_tanh", "silu", "mish", "softplus",
        "softsign", "exp" or "sine", or as other libraries call these, such as "swish"; or an object
        with settings, such as ``LeakyReLU(0.1)``.
    bias : True, "shared" or False
        One bias per unit, one for the whole layer (as in textbook diagrams), or none.
    kernel_initializer : str, Initializer, ndarray or callable
        How W starts: "auto" (He uniform for relu, leaky_relu and relu6,
        LeCun normal for selu, Glorot uniform otherwise), "glorot_uniform",
        "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
        "orthogonal", "truncated_normal" or "zeros"; an object such as ``Orthogonal(2.0)``; an array
        (n_in, n_out); or a function of ``(n_in, n_out)`` and a `numpy.random.Generator`, seeded
        with the network's seed and the layer's number, that returns one. Biases start at zero.
    dropout : float
        In [0, 1): the probability that training drops an output, those kept being divided by
        ``1 - dropout`` (Srivastava et al. 2014); not on the output layer. Masks depend on the
        trainer's seed, never on the number of threads.
    l1, l2 : float
        At least 0: training's gradients include those of ``l1 sum |W| + (l2/2) sum W²``; biases
        have no penalty, and reported losses don't include it.
    max_norm : float or None
        Above 0: each unit's incoming weights are scaled to at most this norm after every update
        (Srebro & Shraibman 2005).
    trainable : True, False, "weights" or "biases"
        What of the layer is trained.

    Raises
    ------
    TypeError, ValueError
        An argument is not of that kind; the message lists what is known.

    Notes
    -----
    Initial weights: Glorot & Bengio 2010, He et al. 2015, LeCun et al. 1998. "uniform" draws from
    [-r, r], r being sqrt(6 / (n_in + n_out)), sqrt(6 / n_in) and sqrt(3 / n_in); "normal" has the
    standard deviations sqrt(2 / (n_in + n_out)), sqrt(2 / n_in) and sqrt(1 / n_in).

    Examples
    --------
    >>> import fastbp
    >>> hidden = fastbp.Dense(16, "relu", l2=1e-4, dropout=0.2)
    >>> net = fastbp.Network(4, [hidden, fastbp.Dense(3, "softmax")], seed=0)
    >>> [w.shape for w in net.get_weights()]
    [(4, 16), (16,), (16, 3), (3,)]
    """

    units: int
    activation: ActivationName | Activation = "linear"
    bias: bool | Literal["shared"] = True
    kernel_initializer: InitializerName | Initializer = "auto"
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None
    trainable: bool | Literal["weights", "biases"] = True

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "linear",
        *,
        bias: bool | Literal["shared"] = True,
        kernel_initializer: InitializerLike = "auto",
        dropout: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        max_norm: float | None = None,
        trainable: bool | Literal["weights", "biases"] = True,
    ) -> None:
        if not (isinstance(bias, (bool, np.bool_)) or bias == "shared"):
            raise ValueError(f"bias must be True, 'shared' or False, got {bias!r}")
        if not (isinstance(trainable, (bool, np.bool_)) or trainable in ("weights", "biases")):
            raise ValueError(
                f"trainable must be True, False, 'weights' or 'biases', got {trainable!r}"
            )
        if max_norm is not None:
            max_norm = real("max_norm", max_norm, low=0.0, low_open=True)
        for name, value in (
            ("units", integer("units", units, minimum=1, maximum=MOST_UNITS)),
            ("activation", activations.checked(activation)),
            ("bias", bias if bias == "shared" else bool(bias)),
            (
                "kernel_initializer",
                initializers.checked(kernel_initializer),
            ),
            ("dropout", real("dropout", dropout, low=0.0, high=1.0, high_open=True)),
            ("l1", real("l1", l1, low=0.0)),
            ("l2", real("l2", l2, low=0.0)),
            ("max_norm", max_norm),
            ("trainable", trainable if isinstance(trainable, str) else bool(trainable)),
        ):
            object.__setattr__(self, name, value)

    def _stored(self) -> dict[str, Any]:
        """The layer as the JSON of a model file holds it."""
        stored: dict[str, Any] = {
            "units": self.units,
            "activation": activations.name_of(self.activation),
            "bias": self.bias,
            **initializers.stored(self.kernel_initializer),
        }
        if isinstance(self.activation, Activation):
            stored["activation_settings"] = self.activation._settings()
        for name, default in OPTIONAL.items():
            if getattr(self, name) != default:
                stored[name] = getattr(self, name)
        return stored

    @classmethod
    def _from_stored(cls, stored: Mapping[str, Any]) -> Dense:
        """The layer that `_stored` described; TypeError or ValueError for anything else."""
        rest = dict(stored)
        settings = rest.pop("activation_settings", None)
        if settings is not None:
            kind = activations.WITH_SETTINGS.get(rest["activation"])
            if kind is None or not isinstance(settings, dict):
                raise ValueError(f"activation {rest['activation']!r} takes no {settings!r}")
            rest["activation"] = kind(**settings)
        settings = rest.pop("kernel_initializer_settings", None)
        if settings is not None:
            name = rest.get("kernel_initializer")
            made = initializers.WITH_SETTINGS.get(name) if isinstance(name, str) else None
            if made is None or not isinstance(settings, dict):
                raise ValueError(f"kernel_initializer {name!r} takes no {settings!r}")
            rest["kernel_initializer"] = made(**settings)
        elif not isinstance(rest.get("kernel_initializer", ""), str):
            raise TypeError(
                f"kernel_initializer must be a name, got {rest['kernel_initializer']!r}"
            )
        layer = cls(**rest)
        for name, value in layer._stored().items():  # no file has an alias
            if name in ("activation", "kernel_initializer") and stored.get(name, value) != value:
                raise ValueError(f"{name} must be a name as files have it, got {stored[name]!r}")
        return layer


def shapes(n_inputs: int, layers: Sequence[Dense]) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of each array that `Network.get_weights` gives, in order."""
    found: list[tuple[str, tuple[int, ...]]] = []
    for index, layer in enumerate(layers):
        found.append((f"W{index}", (n_inputs, layer.units)))
        if layer.bias:
            found.append((f"b{index}", (1 if layer.bias == "shared" else layer.units,)))
        n_inputs = layer.units
    return found


def is_trained(name: str, layers: Sequence[Dense]) -> bool:
    """Whether the array that `shapes` calls by that name is trained."""
    what = "weights" if name.startswith("W") else "biases"
    return layers[int(name[1:])].trainable in (True, what)


def check_weights(
    weights: Sequence[ArrayLike], n_inputs: int, layers: Sequence[Dense], dtype: str
) -> list[NDArray[Any]]:
    """The weights of a network as arrays of its dtype.

    Raises
    ------
    TypeError, ValueError
        The number of arrays, a shape, a dtype or a value is wrong.
    """
    expected = shapes(n_inputs, layers)
    try:
        given = list(weights)
    except TypeError:
        raise TypeError(f"weights must be a list of arrays, got {type(weights).__name__}") from None
    if len(given) != len(expected):
        names = ", ".join(name for name, _ in expected)
        raise ValueError(f"weights must hold {len(expected)} arrays ({names}), got {len(given)}")
    result: list[NDArray[Any]] = []
    for position, ((name, shape), value) in enumerate(zip(expected, given, strict=True)):
        label = f"weights[{position}] ({name})"
        check_unmasked(label, value)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{label} must be an array of shape {shape}: {error}") from None
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{label} must hold real numbers, got dtype {array.dtype}")
        if array.shape != shape:
            raise ValueError(f"{label} must have shape {shape}, got {array.shape}")
        with np.errstate(over="ignore"):
            cast = array.astype(dtype)
        if not np.isfinite(cast).all():
            value = array.reshape(-1)[int((~np.isfinite(cast)).argmax())].item()
            raise ValueError(f"{label} must be finite in {dtype}, got {value}")
        result.append(cast)
    return result

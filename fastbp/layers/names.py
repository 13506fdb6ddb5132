"""The names of activations, initial weights and dtypes here, and what others call them."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from fastbp.checks import Names

#: an activation, as files and messages name it
ActivationName = Literal[
    "linear", "sigmoid", "tanh", "relu", "softmax", "leaky_relu", "elu", "selu", "relu6",
    "hard_sigmoid", "hard_tanh", "gelu", "gelu_tanh", "silu", "mish", "softplus", "softsign", "exp",
    "sine",
]  # fmt: skip
#: what others call the same function
ActivationAlias = Literal[
    "celu", "exponential", "gelu_new", "gelu_pytorch_tanh", "identity", "logistic", "sin", "swish"
]

_ACTIVATION_ALIASES: dict[ActivationName, tuple[ActivationAlias, ...]] = {
    "linear": ("identity",),
    "sigmoid": ("logistic",),
    "elu": ("celu",),  # with alpha = 1, where they are the same
    "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh"),
    "silu": ("swish",),
    "exp": ("exponential",),
    "sine": ("sin",),
}
_FROM_LOGITS = "take {!r} with the loss {!r}, which is computed from the logits"
_GATED = "a gated unit is no function of one number; 'silu' is the activation in SwiGLU"
_NEAR_SILU = "there is none; 'silu' is the smooth function near to it"
_OWN = "there is none; fastbp.CustomActivation takes any function of one number"
_SLOPE = "fastbp.LeakyReLU(negative_slope) has a slope that is set; 'leaky_relu' has 0.01"
_STEP = "its derivative is 0 everywhere; 'sigmoid' is a step made smooth"
ACTIVATION_NAMES: Names[ActivationName] = Names(
    get_args(ActivationName),
    _ACTIVATION_ALIASES,
    {
        "arctan": _OWN,
        "atan": _OWN,
        "binary_step": _STEP,
        "cos": _OWN,
        "gaussian": _OWN,
        "glu": _GATED,
        "hard_shrink": _OWN,
        "hard_silu": _NEAR_SILU,
        "hard_swish": _NEAR_SILU,
        "h_swish": _NEAR_SILU,
        "heaviside": _STEP,
        "log_sigmoid": _FROM_LOGITS.format("sigmoid", "binary_cross_entropy"),
        "log_softmax": _FROM_LOGITS.format("softmax", "cross_entropy"),
        "lrelu": _SLOPE,
        "none": "no activation is 'linear'",
        "prelu": _SLOPE,
        "quick_gelu": "it approximates 'gelu', as 'gelu_tanh' does more closely",
        "relu2": _OWN,
        "relu_squared": _OWN,
        "rrelu": _SLOPE,
        "soft_shrink": _OWN,
        "square": _OWN,
        "squared_relu": _OWN,
        "squareplus": "there is none; 'softplus' is the function near to it",
        "step": _STEP,
        "swiglu": _GATED,
        "tanh_shrink": _OWN,
        "threshold": _OWN,
    },
)

#: how weights start, as files and messages name it
InitializerName = Literal[
    "auto", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform",
    "lecun_normal", "zeros", "orthogonal", "truncated_normal",
]  # fmt: skip
#: what others call the same distribution
InitializerAlias = Literal[
    "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "zero"
]

_INITIALIZER_ALIASES: dict[InitializerName, tuple[InitializerAlias, ...]] = {
    "glorot_uniform": ("xavier_uniform",),
    "glorot_normal": ("xavier_normal",),
    "he_uniform": ("kaiming_uniform",),
    "he_normal": ("kaiming_normal",),
    "zeros": ("zero",),
}
_TWO = "there are '{0}_uniform' and '{0}_normal'"
_CONSTANT = "take fastbp.Constant(value), which makes all weights the same"
_DRAWN = "take a function, which can have any range: lambda shape, rng: rng.{}"
_UNIFORM = _DRAWN.format("uniform(-0.05, 0.05, shape)")
_NORMAL = _DRAWN.format("normal(0.0, 0.05, shape)")
_EYE = "take an array, numpy.eye(n_in, n_out)"
INITIALIZER_NAMES: Names[InitializerName] = Names(
    get_args(InitializerName),
    _INITIALIZER_ALIASES,
    {
        "constant": _CONSTANT,
        "eye": _EYE,
        "glorot": _TWO.format("glorot"),
        "he": _TWO.format("he"),
        "identity": _EYE,
        "kaiming": _TWO.format("he"),
        "lecun": _TWO.format("lecun"),
        "normal": _NORMAL,
        "one": _CONSTANT,
        "ones": _CONSTANT,
        "random_normal": _NORMAL,
        "random_uniform": _UNIFORM,
        "trunc_normal": (
            "PyTorch's is fastbp.TruncatedNormal(1.0); 'truncated_normal' has a standard deviation "
            "of 0.05, as Keras's"
        ),
        "uniform": _UNIFORM,
        "variance_scaling": "'lecun_normal' has the variance of its defaults, 1 / n_in",
        "xavier": _TWO.format("glorot"),
    },
)

#: of parameters and arithmetic
DTypeName = Literal["float32", "float64"]
#: what is taken for one
DTypeLike = (
    DTypeName
    | type[float]
    | type[np.float32]
    | type[np.float64]
    | np.dtype[np.float32]
    | np.dtype[np.float64]
)
_DTYPES: Names[DTypeName] = Names(
    get_args(DTypeName),
    {"float32": ("f32", "fp32"), "float64": ("f64", "fp64")},  # NumPy knows the rest
    dict.fromkeys(("bfloat16", "bf16", "float16", "fp16", "half"), "'float32' is the narrowest"),
)


def dtype_name(name: str, dtype: object) -> DTypeName:
    """The name of a dtype that is given by name, or as NumPy's, JAX's or PyTorch's object.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    dtype : object
        What was given for it. None is refused, which NumPy takes for float64.

    Raises
    ------
    TypeError, ValueError
        It is none that networks have.
    """
    known: Any = dtype
    if type(dtype).__module__ == "torch":
        known = str(dtype).removeprefix("torch.")
    elif dtype is not None:
        try:
            found = np.dtype(known)
        except TypeError:  # no dtype of NumPy's
            pass
        else:
            floating = found.kind == "f" and not isinstance(dtype, str)
            known = found.name if floating or found.name in _DTYPES.known else dtype
    return _DTYPES.find(name, known)

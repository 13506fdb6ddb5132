"""The names that optimizers go by here, and what others call them."""

from __future__ import annotations

from typing import Literal, get_args

from fastbp.checks import Names

#: an optimizer with its defaults, as `Trainer` takes it
OptimizerName = Literal[
    "sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "adamax", "nadam", "radam", "lion",
    "rprop", "lbfgs", "levenberg_marquardt",
]  # fmt: skip
#: what others call the same optimizer
OptimizerAlias = Literal["adam_w", "l-bfgs", "l_bfgs", "levmar", "lm", "rms_prop"]

_ALIASES: dict[OptimizerName, tuple[OptimizerAlias, ...]] = {
    "rmsprop": ("rms_prop",),
    "adamw": ("adam_w",),
    "lbfgs": ("l-bfgs", "l_bfgs"),
    "levenberg_marquardt": ("levmar", "lm"),
}
_ADAMS = "there is none; 'adam', 'adamw' and 'nadam' are near to it"
_WHOLE = "take 'sgd' with batch_size=None, for the gradient of the whole set"
_MOMENTUM = "take fastbp.SGD(learning_rate, momentum=0.9{})"
_NEWTON = "there is none; 'lbfgs' and 'levenberg_marquardt' take curvature into account"
OPTIMIZER_NAMES: Names[OptimizerName] = Names(
    get_args(OptimizerName),
    _ALIASES,
    {
        "adabelief": _ADAMS,
        "adafactor": _ADAMS,
        "amsgrad": "take fastbp.Adam(amsgrad=True)",
        "asgd": "there is none; 'sgd' doesn't average its weights",
        "bfgs": _NEWTON,
        "cg": _NEWTON,
        "conjugate_gradient": _NEWTON,
        "ftrl": "there is none; 'adagrad' and Dense(l1=) are near to it",
        "gd": _WHOLE,
        "gradient_descent": _WHOLE,
        "l_bfgs_b": "take 'lbfgs', which knows no bounds",
        "lamb": _ADAMS,
        "lars": _ADAMS,
        "momentum": _MOMENTUM.format(""),
        "muon": _ADAMS,
        "nag": _MOMENTUM.format(", nesterov=True"),
        "nesterov": _MOMENTUM.format(", nesterov=True"),
        "newton": _NEWTON,
        "newton_cg": _NEWTON,
        "sgdm": _MOMENTUM.format(""),
        "sophia": _ADAMS,
        "yogi": _ADAMS,
    },
)

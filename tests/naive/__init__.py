"""Backpropagation in plain NumPy, a formula a line: what the compiled kernels must match.

Parameters are lists ``[W0, b0, W1, b1, …]``, as ``Network.get_weights`` returns them: ``W`` is
(i, o), ``b`` is (o,), (1,) where a layer shares one bias, and absent where it has none. All
arithmetic is done in the dtype of the weights. Sizes: b samples of a batch, i inputs of a layer,
o its units, k outputs.
"""

from naive.activations import ACTIVATIONS
from naive.losses import CLASSES, LOSSES, signs
from naive.passes import (
    Layer,
    as_weights,
    central_differences,
    deltas,
    dropout,
    error,
    evaluate,
    forward,
    gradients,
    targets,
)
from naive.solvers import (
    flat,
    half_l2,
    jacobian,
    lbfgs_direction,
    levenberg_marquardt,
    normal_equations,
    objective,
    shaped,
    trained,
)
from naive.training import consecutive, order, relative_error, train
from naive.updates import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    bounded,
    clipped,
    penalised,
)

__all__ = [
    "ACTIVATIONS",
    "CLASSES",
    "LOSSES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Layer",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "as_weights",
    "bounded",
    "central_differences",
    "clipped",
    "consecutive",
    "deltas",
    "dropout",
    "error",
    "evaluate",
    "flat",
    "forward",
    "gradients",
    "half_l2",
    "jacobian",
    "lbfgs_direction",
    "levenberg_marquardt",
    "normal_equations",
    "objective",
    "order",
    "penalised",
    "relative_error",
    "shaped",
    "signs",
    "targets",
    "train",
    "trained",
]

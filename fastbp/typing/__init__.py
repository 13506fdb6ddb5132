"""Types of what fastbp takes by name, for annotations of your own.

A type checker refuses a name that is none of these, and an editor completes them. A name that comes
from elsewhere, a `str`, is checked when it is used.

>>> from fastbp import Dense, Network
>>> from fastbp.typing import ActivationLike
>>> def narrowing(activation: ActivationLike) -> Network:
...     return Network(8, [Dense(4, activation), Dense(2, activation), Dense(1)], seed=0)
>>> [layer.activation for layer in narrowing("swish").layers]
['silu', 'silu', 'linear']
"""

from fastbp.layers.activations import ActivationLike
from fastbp.layers.initializers import InitializerLike
from fastbp.layers.names import ActivationName, DTypeLike, DTypeName, InitializerName
from fastbp.objectives.losses import LossLike
from fastbp.objectives.metrics import MetricLike
from fastbp.objectives.names import LossName, MetricName
from fastbp.optimizers import OptimizerLike
from fastbp.optimizers.names import OptimizerName
from fastbp.training.settings import OnDivergence

__all__ = [
    "ActivationLike",
    "ActivationName",
    "DTypeLike",
    "DTypeName",
    "InitializerLike",
    "InitializerName",
    "LossLike",
    "LossName",
    "MetricLike",
    "MetricName",
    "OnDivergence",
    "OptimizerLike",
    "OptimizerName",
]

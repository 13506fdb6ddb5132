"""fastbp: train multi-layer perceptrons by backpropagation, fast, on CPUs.

>>> import fastbp
>>> net = fastbp.Network(4, [fastbp.Dense(8, "relu"), fastbp.Dense(3, "softmax")], seed=0)
>>> trainer = fastbp.Trainer(net, "cross_entropy", "adam")
"""

# ruff: noqa: E402
import gc
import importlib
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any


def _import_most() -> None:
    """Import most of what follows, and numba, without looking for garbage meanwhile.

    Collections would look through all that numba makes, in vain, which takes a tenth of the time.
    Nor is the first one afterwards to do so: what there is then is taken to be old.
    """
    collects = gc.isenabled()
    try:  # an interrupt may come after any call
        gc.disable()
        importlib.import_module("fastbp.trainer")
    finally:
        if collects:
            if not gc.get_freeze_count():  # else a program keeps its objects out of collections
                gc.freeze()
                gc.unfreeze()
            gc.enable()


_import_most()
del _import_most

from fastbp.callbacks.base import Callback
from fastbp.callbacks.checkpoint import Checkpoint
from fastbp.callbacks.logging import CSVLogger, LearningRateLogger
from fastbp.callbacks.stopping import EarlyStopping, TimeBudget
from fastbp.callbacks.tensorboard import TensorBoard
from fastbp.ffi.c_function import CFunction
from fastbp.files.model_file import ModelFileError
from fastbp.history import History, Progress
from fastbp.layers.activations import ELU, Activation, LeakyReLU
from fastbp.layers.custom import CustomActivation
from fastbp.layers.dense import Dense
from fastbp.layers.initializers import Constant, Initializer, Orthogonal, TruncatedNormal
from fastbp.network import Network
from fastbp.objectives.class_metrics import (
    AUC,
    F1,
    Accuracy,
    AveragePrecision,
    BalancedAccuracy,
    Precision,
    Recall,
    TopK,
)
from fastbp.objectives.custom import CustomLoss
from fastbp.objectives.custom_metric import CustomMetric
from fastbp.objectives.losses import (
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    HalfSquaredError,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    Poisson,
    Quantile,
)
from fastbp.objectives.metric import Metric
from fastbp.objectives.metrics import R2, MeanAbsoluteError, RootMeanSquaredError
from fastbp.optimizers import (
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    LevenbergMarquardt,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from fastbp.optimizers.schedules import (
    CosineDecay,
    ExponentialDecay,
    LinearWarmUp,
    MultiStepDecay,
    OneCycle,
    PolynomialDecay,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)
from fastbp.trainer import Trainer
from fastbp.training.background import BackgroundFit
from fastbp.training.status import DivergenceError
from fastbp.version import __version__, named_by
from fastbp.warm import warmup

if TYPE_CHECKING:
    from fastbp import bench as bench
    from fastbp import export as export
    from fastbp import interop as interop
    from fastbp import jit as jit
    from fastbp import plot as plot
    from fastbp import typing as typing
    from fastbp.gradient_check import GradientCheck, check_gradients
    from fastbp.tracing import LayerTrace, Trace, WeightTrace, trace

logging.getLogger("fastbp").addHandler(logging.NullHandler())  # a program asks for them, or not

__all__ = [
    "AUC",
    "ELU",
    "F1",
    "LBFGS",
    "MAE",
    "MSE",
    "R2",
    "SGD",
    "Accuracy",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "AveragePrecision",
    "BackgroundFit",
    "BalancedAccuracy",
    "BinaryCrossEntropy",
    "CFunction",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "Constant",
    "CosineDecay",
    "CrossEntropy",
    "CustomActivation",
    "CustomLoss",
    "CustomMetric",
    "Dense",
    "DivergenceError",
    "EarlyStopping",
    "ExponentialDecay",
    "GradientCheck",
    "HalfSquaredError",
    "Hinge",
    "History",
    "Huber",
    "Initializer",
    "KLDivergence",
    "LayerTrace",
    "LeakyReLU",
    "LearningRateLogger",
    "LevenbergMarquardt",
    "LinearWarmUp",
    "Lion",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "Metric",
    "ModelFileError",
    "MultiStepDecay",
    "NAdam",
    "Network",
    "OneCycle",
    "Optimizer",
    "Orthogonal",
    "Poisson",
    "PolynomialDecay",
    "Precision",
    "Progress",
    "Quantile",
    "RAdam",
    "RMSprop",
    "Recall",
    "ReduceOnPlateau",
    "RootMeanSquaredError",
    "Rprop",
    "Schedule",
    "StepDecay",
    "TensorBoard",
    "TimeBudget",
    "TopK",
    "Trace",
    "Trainer",
    "TruncatedNormal",
    "WeightTrace",
    "__version__",
    "check_gradients",
    "trace",
    "warmup",
]

# What training has no need of is imported when it is asked for: modules, and single names.
_MODULES = ("bench", "export", "interop", "jit", "plot", "typing")
_LATER = {
    "GradientCheck": "gradient_check", "check_gradients": "gradient_check",
    "LayerTrace": "tracing", "Trace": "tracing", "WeightTrace": "tracing", "trace": "tracing",
}  # fmt: skip


if not TYPE_CHECKING:  # where all names are known, and others are to be refused

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    # `help` and `inspect` ask for all that is listed, and fail where that can't be imported
    modules = {*_MODULES} - {"bench"} - (set() if find_spec("matplotlib") else {"plot"})
    return sorted({*__all__, *modules, *(n for n in globals() if n.startswith("__"))})


named_by(__name__, [globals()[name] for name in __all__ if name not in _LATER])
del named_by

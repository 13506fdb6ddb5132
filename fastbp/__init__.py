"""fastbp: train multi-layer perceptrons by backpropagation, fast, on CPUs.

>>> import fastbp
>>> net = fastbp.Network(4, [fastbp.Dense(8, "relu"), fastbp.Dense(3, "softmax")], seed=0)
>>> trainer = fastbp.Trainer(net, "cross_entropy", "adam")
"""

from fastbp.activations import ELU, Activation, LeakyReLU
from fastbp.dense import Dense
from fastbp.history import History, Progress
from fastbp.losses import (
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
from fastbp.model_file import ModelFileError
from fastbp.network import Network
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
from fastbp.trainer import DivergenceError, Trainer
from fastbp.warm import warmup

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "LBFGS",
    "MAE",
    "MSE",
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Dense",
    "DivergenceError",
    "HalfSquaredError",
    "Hinge",
    "History",
    "Huber",
    "KLDivergence",
    "LeakyReLU",
    "LevenbergMarquardt",
    "Lion",
    "LogCosh",
    "Loss",
    "ModelFileError",
    "NAdam",
    "Network",
    "Optimizer",
    "Poisson",
    "Progress",
    "Quantile",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Trainer",
    "__version__",
    "warmup",
]

"""fastbp: train multi-layer perceptrons by backpropagation, fast, on CPUs.

>>> import fastbp
>>> net = fastbp.Network(4, [fastbp.Dense(8, "relu"), fastbp.Dense(3, "softmax")], seed=0)
>>> trainer = fastbp.Trainer(net, "cross_entropy", "adam")
"""

from fastbp.activations import ELU, Activation, LeakyReLU
from fastbp.custom import CustomActivation, CustomLoss
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
from fastbp.metrics import (
    AUC,
    F1,
    R2,
    Accuracy,
    MeanAbsoluteError,
    Metric,
    RootMeanSquaredError,
    TopK,
)
from fastbp.model_file import ModelFileError
from fastbp.network import Network
from fastbp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
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
    "AUC",
    "ELU",
    "F1",
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
    "BinaryCrossEntropy",
    "CrossEntropy",
    "CustomActivation",
    "CustomLoss",
    "Dense",
    "DivergenceError",
    "HalfSquaredError",
    "Hinge",
    "History",
    "Huber",
    "KLDivergence",
    "LeakyReLU",
    "Lion",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "Metric",
    "ModelFileError",
    "NAdam",
    "Network",
    "Optimizer",
    "Poisson",
    "Progress",
    "Quantile",
    "RAdam",
    "RMSprop",
    "RootMeanSquaredError",
    "Rprop",
    "TopK",
    "Trainer",
    "__version__",
    "warmup",
]

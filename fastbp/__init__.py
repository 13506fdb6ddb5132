"""fastbp: train multi-layer perceptrons by backpropagation, fast, on CPUs.

>>> import fastbp
>>> net = fastbp.Network(4, [fastbp.Dense(8, "relu"), fastbp.Dense(3, "softmax")], seed=0)
>>> trainer = fastbp.Trainer(net, "cross_entropy", "adam")
"""

from fastbp.dense import Dense
from fastbp.history import History, Progress
from fastbp.losses import MSE, BinaryCrossEntropy, CrossEntropy, HalfSquaredError, Loss
from fastbp.model_file import ModelFileError
from fastbp.network import Network
from fastbp.optimizers import SGD, Adam, Optimizer
from fastbp.trainer import DivergenceError, Trainer
from fastbp.warm import warmup

__version__ = "0.1.0"

__all__ = [
    "MSE",
    "SGD",
    "Adam",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Dense",
    "DivergenceError",
    "HalfSquaredError",
    "History",
    "Loss",
    "ModelFileError",
    "Network",
    "Optimizer",
    "Progress",
    "Trainer",
    "__version__",
    "warmup",
]

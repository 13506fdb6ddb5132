"""Networks from and to scikit-learn, PyTorch and Keras; what can't be the same is refused.

>>> import fastbp
>>> from fastbp import interop
>>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
>>> same = interop.from_keras_weights(interop.to_keras_weights(net), ["tanh", "linear"])
>>> bool((same.predict([[1.0, 2.0]]) == net.predict([[1.0, 2.0]])).all())
True
"""

from fastbp.interop.keras import from_keras_weights, to_keras_weights
from fastbp.interop.sklearn import from_sklearn
from fastbp.interop.torch import from_torch, to_torch

__all__ = ["from_keras_weights", "from_sklearn", "from_torch", "to_keras_weights", "to_torch"]

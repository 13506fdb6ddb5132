"""From scikit-learn's multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

from fastbp.interop.building import imported, network_of
from fastbp.layers.dense import Dense
from fastbp.layers.names import ActivationName, DTypeLike
from fastbp.network import Network

_ACTIVATIONS: dict[str, ActivationName] = {
    "identity": "linear",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exp",
}


def from_sklearn(estimator: Any, *, dtype: DTypeLike | None = None) -> Network:
    """The network of a fitted `MLPClassifier` or `MLPRegressor`.

    Parameters
    ----------
    estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted; not changed, and no memory is shared with it.
    dtype : {"float32", "float64"} or None
        None is that of the estimator's weights.

    Returns
    -------
    Network
        `predict` gives what `predict_proba` gives, or a regressor's `predict` as (n, k). With two
        classes there is one sigmoid output, the probability of ``classes_[1]``; so
        ``estimator.classes_[network.predict_classes(X)]`` are the labels. Of several labels at once
        (multi-label), those with outputs above 0.5 apply. Penalty, optimizer and learning rate
        belong to training and don't come along.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    TypeError
        `estimator` is something else: of a pipeline, give the last step, before which samples have
        to go through the others.
    ValueError
        It is not fitted, or has an activation that fastbp has not.

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> from fastbp.interop import from_sklearn
    >>> fitted = MLPRegressor(random_state=0).partial_fit([[0.0], [1.0]], [1.0, 2.0])
    >>> from_sklearn(fitted).layers[0].activation
    'relu'
    """
    kinds = imported("sklearn.neural_network", "from_sklearn")
    if not isinstance(estimator, (kinds.MLPClassifier, kinds.MLPRegressor)):
        hint = ""
        if hasattr(estimator, "steps"):
            hint = ": give its last step, whose inputs are what the steps before it make of samples"
        raise TypeError(
            "estimator must be an MLPClassifier or MLPRegressor, "
            f"got {type(estimator).__name__}{hint}"
        )
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"estimator must be fitted, got {estimator!r} before any fit")
    names = [estimator.activation] * (len(estimator.coefs_) - 1) + [estimator.out_activation_]
    for i, name in enumerate(names):
        if name not in _ACTIVATIONS:
            raise ValueError(f"layer {i} has activation {name!r}, which fastbp has not")
    layers = [
        Dense(kernel.shape[1], _ACTIVATIONS[name])
        for kernel, name in zip(estimator.coefs_, names, strict=True)
    ]
    weights = [
        array
        for pair in zip(estimator.coefs_, estimator.intercepts_, strict=True)
        for array in pair
    ]
    return network_of(estimator.coefs_, weights, layers, dtype)

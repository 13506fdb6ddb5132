"""scikit-learn: `MLPClassifier` or `MLPRegressor`, warm started, for a given number of epochs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from compare.cases import Array, Case

ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "linear": "identity"}


def footnote(case: Case) -> str | None:
    """Where the work is not the case's."""
    if case.output not in ("linear", "softmax"):
        return f"scikit-learn's last layer is linear, not {case.output}"
    if case.loss == "ce" and case.widths[-1] == 2:
        return "scikit-learn trains one sigmoid for two classes, not a softmax"
    return None


class Peer:
    """A network in training."""

    def __init__(
        self, case: Case, threads: int, shuffle: bool, weights: list[Array], X: Array, y: Any
    ) -> None:
        self.case, self.X, self.y = case, X, y.ravel() if case.widths[-1] == 1 else y
        # its loss is half the sum over the outputs, of which k/2 mean squares make one: a step
        # of SGD is the same at 2/k of the rate, and Adam (but for epsilon) at any
        k = case.widths[-1]
        scale = 2 / k if case.loss == "mse" and case.optimizer == "sgd" else 1
        self.loss_scale = 2 if case.loss == "mse" else 1  # reported: half the mean
        self.model = (MLPClassifier if case.loss == "ce" else MLPRegressor)(
            hidden_layer_sizes=case.widths[1:-1],
            activation=ACTIVATIONS[case.hidden],
            solver=case.optimizer,
            alpha=0,
            batch_size=case.batch,
            learning_rate_init=case.learning_rate * scale,
            max_iter=1,
            shuffle=shuffle,
            random_state=0,
            tol=0,
            warm_start=True,
            momentum=0,
            nesterovs_momentum=False,
            n_iter_no_change=np.inf,
        )
        self.fit(1)  # makes the arrays that the weights go into
        if footnote(case) is None:
            self.model.coefs_ = [w.copy() for w in weights[::2]]
            self.model.intercepts_ = [b.copy() for b in weights[1::2]]

    def fit(self, epochs: int) -> float:
        """Train; the last epoch's mean loss. Adam's slots start anew at each call."""
        self.model.set_params(max_iter=epochs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(self.X, self.y)
        return self.model.loss_ * self.loss_scale

    def predict(self) -> Array:
        """The outputs of all samples."""
        predict = self.model.predict_proba if self.case.loss == "ce" else self.model.predict
        outputs: Array = predict(self.X)
        return outputs

    def weights(self) -> list[Array]:
        """``[W0, b0, W1, b1, …]``."""
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [array for pair in pairs for array in pair]

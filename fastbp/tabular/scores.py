"""The figures that tell how good predictions are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def classification(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int
) -> dict[str, float]:
    """Accuracy, and the mean of the classes' F1 = 2 TP / (2 TP + FP + FN), "macro F1".

    Parameters
    ----------
    truth, predicted : (n,) int64 arrays
        Class ids below `n_classes`.
    n_classes : int
        Classes that neither occur nor are predicted do not count in the mean.
    """
    hits = np.bincount(truth[truth == predicted], minlength=n_classes)
    either = np.bincount(truth, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    f1 = 2.0 * hits[either > 0] / either[either > 0]
    return {"accuracy": float(np.mean(truth == predicted)), "macro F1": float(f1.mean())}


def regression(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """RMSE and MAE in the target's units, and R2 = 1 - SS_residual / SS_total.

    Parameters
    ----------
    truth, predicted : (n,) float64 arrays
        In the target's units. R2 is NaN where all of `truth` is the same.
    """
    error = predicted - truth
    same = float(truth.min()) == float(truth.max())  # whose mean may be off by a rounding error
    total = 0.0 if same else float(np.sum((truth - truth.mean()) ** 2))
    return {
        "RMSE": float(np.sqrt(np.mean(error**2))),
        "MAE": float(np.mean(np.abs(error))),
        "R2": 1.0 - float(np.sum(error**2)) / total if total > 0.0 else float("nan"),
    }

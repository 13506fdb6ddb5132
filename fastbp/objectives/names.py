"""The names that losses and metrics go by here, and what others call them."""

from __future__ import annotations

from typing import Literal, get_args

from fastbp.checks import Names, fold

#: a loss, as `Loss.name` and checkpoints have it
LossName = Literal[
    "mse", "half_squared_error", "mae", "huber", "log_cosh", "quantile", "poisson",
    "binary_cross_entropy", "cross_entropy", "kl_divergence", "hinge",
]  # fmt: skip
#: what others call the same loss
LossAlias = Literal[
    "absolute_error", "bce", "bce_loss", "bce_with_logits", "bce_with_logits_loss",
    "binary_cross_entropy_with_logits", "binary_crossentropy", "categorical_cross_entropy",
    "categorical_crossentropy", "ce", "cross_entropy_loss", "crossentropy", "hinge_loss",
    "huber_loss", "kl", "kld", "kullback_leibler_divergence", "l1", "l1_loss", "log_loss",
    "mean_absolute_error", "mean_squared_error", "mse_loss", "nll", "nll_loss", "pinball",
    "pinball_loss", "poisson_loss", "poisson_nll", "poisson_nll_loss", "quantile_loss",
    "sigmoid_binary_cross_entropy", "sigmoid_cross_entropy", "smooth_l1", "smooth_l1_loss",
    "softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels",
    "softmax_cross_entropy_with_logits", "sparse_categorical_cross_entropy",
    "sparse_categorical_crossentropy", "sparse_softmax_cross_entropy",
]  # fmt: skip

_LOSS_ALIASES: dict[LossName, tuple[LossAlias, ...]] = {
    "mse": ("mean_squared_error", "mse_loss"),
    "mae": ("absolute_error", "l1", "l1_loss", "mean_absolute_error"),
    # "smooth_l1" with a beta of 1, where it is Huber's with a delta of 1
    "huber": ("huber_loss", "smooth_l1", "smooth_l1_loss"),
    "quantile": ("pinball", "pinball_loss", "quantile_loss"),
    "poisson": ("poisson_loss", "poisson_nll", "poisson_nll_loss"),
    "binary_cross_entropy": (
        "bce", "bce_loss", "bce_with_logits", "bce_with_logits_loss",
        "binary_cross_entropy_with_logits", "binary_crossentropy", "sigmoid_binary_cross_entropy",
        "sigmoid_cross_entropy",
    ),
    "cross_entropy": (
        "categorical_cross_entropy", "categorical_crossentropy", "ce", "cross_entropy_loss",
        "crossentropy", "nll", "nll_loss", "softmax_cross_entropy",
        "softmax_cross_entropy_with_integer_labels", "softmax_cross_entropy_with_logits",
        "sparse_categorical_cross_entropy", "sparse_categorical_crossentropy",
        "sparse_softmax_cross_entropy",
    ),
    "kl_divergence": ("kl", "kld", "kullback_leibler_divergence"),
    "hinge": ("hinge_loss",),
}  # fmt: skip
#: what scikit-learn calls "log_loss", by the activation of the output layer
_LOG_LOSS: dict[str, LossName] = {
    "softmax": "cross_entropy",
    "sigmoid": "binary_cross_entropy",
}
_HALF = (
    "'mse' is the mean of the squares, 'half_squared_error' half their sum over outputs; what of "
    "both is meant differs between libraries"
)
_OWN = "there is none; fastbp.CustomLoss takes any function of an output and a target"
_ELSEWHERE = "there is none; a gradient of one's own goes back by fastbp.Network.vjp"
_PENALTY = "a penalty on weights is a layer's: Dense(l1=, l2=)"
_LOGARITHMS = "take 'mse' with the logarithms of the targets"
_KL = (
    "'kl_divergence' is a sum over outputs, as PyTorch's with reduction='batchmean', where its "
    "default is a mean"
)
LOSS_NAMES: Names[LossName] = Names(
    get_args(LossName),
    _LOSS_ALIASES,
    {
        "categorical_hinge": _ELSEWHERE,
        "cosine_embedding_loss": _ELSEWHERE,
        "cosine_similarity": _ELSEWHERE,
        "ctc": _ELSEWHERE,
        "ctc_loss": _ELSEWHERE,
        "binary_log_loss": "take 'log_loss'",
        "deviance": "take 'log_loss'",
        "multi_log_loss": "take 'log_loss'",
        "elastic_net": _PENALTY,
        "epsilon_insensitive": _OWN,
        "focal": _OWN,
        "focal_loss": _OWN,
        "binary_focal_crossentropy": _OWN,
        "categorical_focal_crossentropy": _ELSEWHERE,
        "gamma": _OWN,
        "gaussian_nll": _ELSEWHERE,
        "gaussian_nll_loss": _ELSEWHERE,
        "kl_div": _KL,
        "kl_div_loss": _KL,
        "l1_l2": _PENALTY,
        "half_mean_squared_error": _HALF,
        "half_mse": _HALF,
        "l2": _HALF,
        "l2_loss": _HALF,
        # for who knows no output layer; others have `loss_name`
        "log_loss": "it is 'cross_entropy' of softmax, 'binary_cross_entropy' of sigmoid outputs",
        "logistic": "take 'log_loss'",
        "mape": _OWN,
        "margin_ranking_loss": _ELSEWHERE,
        "mean_absolute_percentage_error": _OWN,
        "mean_squared_log_error": _LOGARITHMS,
        "mean_squared_logarithmic_error": _LOGARITHMS,
        "msle": _LOGARITHMS,
        "multi_margin_loss": _ELSEWHERE,
        "r2": "least squares, 'mse', give the largest r2, which is a metric",
        "rmsle": _LOGARITHMS,
        "rmse": "'mse' is least at the same weights, and 'rmse' is a metric",
        "root_mean_squared_error": "'mse' is least at the same weights, and 'rmse' is a metric",
        "squared_epsilon_insensitive": _OWN,
        "squared_error": _HALF,
        "squared_hinge": _OWN,
        "squared_loss": _HALF,
        "sse": _HALF,
        "sum_squared_error": _HALF,
        "triplet": _ELSEWHERE,
        "triplet_margin_loss": _ELSEWHERE,
        "tweedie": _OWN,
    },
)


def loss_name(loss: str, activation: str) -> LossName:
    """The known name of a loss, for an output layer with that activation.

    Parameters
    ----------
    loss : str
        As a person gives it. "log_loss" is scikit-learn's name for two losses, of which the output
        layer takes one.
    activation : str
        The output layer's.

    Raises
    ------
    ValueError
        There is no such loss; the message says what there is.
    """
    if fold(loss) == fold("log_loss"):
        if activation not in _LOG_LOSS:
            raise ValueError(
                f"loss {loss!r} is 'cross_entropy', where the last layer has activation 'softmax', "
                f"or 'binary_cross_entropy', where it has 'sigmoid', got {activation!r}"
            )
        return _LOG_LOSS[activation]
    return LOSS_NAMES.find("loss", loss)


#: a metric, as `Trainer` takes it
MetricName = Literal[
    "accuracy", "top_k", "mae", "rmse", "r2", "f1", "precision", "recall", "balanced_accuracy",
    "auc", "average_precision",
]  # fmt: skip
#: what others call the same metric
MetricAlias = Literal[
    "acc", "accuracy_score", "auroc", "average_precision_score", "balanced_accuracy_score",
    "categorical_accuracy", "f1_score", "l1", "mean_absolute_error", "precision_score", "r2_score",
    "r_squared", "recall_score", "roc_auc", "roc_auc_ovr", "roc_auc_score",
    "root_mean_squared_error", "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy", "top_5", "top_5_accuracy", "top_k_categorical_accuracy",
]  # fmt: skip

_METRIC_ALIASES: dict[MetricName, tuple[MetricAlias, ...]] = {
    "accuracy": (
        "acc", "accuracy_score", "categorical_accuracy", "sparse_categorical_accuracy",
    ),
    "top_k": (  # of 5, as Keras's
        "sparse_top_k_categorical_accuracy", "top_5", "top_5_accuracy",
        "top_k_categorical_accuracy",
    ),
    "mae": ("l1", "mean_absolute_error"),
    "rmse": ("root_mean_squared_error",),
    "r2": ("r2_score", "r_squared"),
    "f1": ("f1_score",),
    "precision": ("precision_score",),
    "recall": ("recall_score",),
    "balanced_accuracy": ("balanced_accuracy_score",),
    "average_precision": ("average_precision_score",),
    "auc": ("auroc", "roc_auc", "roc_auc_ovr", "roc_auc_score"),
}  # fmt: skip
_MACRO = "{!r} is of class 1 for one output, else the mean over classes (macro)"
_FUNCTION = "there is none; fastbp.CustomMetric takes any function of targets and outputs"
_CURVE = "take 'average_precision', the area under precision over recall, as steps"
_POSITIVE = "figures aren't negated here, and callbacks know which are the better the larger: {!r}"
_SQUARES = "'rmse' is its root, and a trainer with the loss 'mse' reports it as its loss"
_ERROR = "it is reported for the loss of that name; 'auc' and 'accuracy' are metrics of classes"
METRIC_NAMES: Names[MetricName] = Names(
    get_args(MetricName),
    _METRIC_ALIASES,
    {
        "binary_accuracy": "'accuracy' cuts a sigmoid output at 0.5, as binary_accuracy does",
        "ap": "take 'average_precision'",
        "auc_pr": _CURVE,
        "auprc": _CURVE,
        "brier_score": _FUNCTION,
        "brier_score_loss": _FUNCTION,
        "binary_crossentropy": _ERROR,
        "categorical_crossentropy": _ERROR,
        "cohen_kappa": _FUNCTION,
        "cohen_kappa_score": _FUNCTION,
        "cross_entropy": _ERROR,
        "explained_variance": _FUNCTION,
        **{
            f"{name}_{average}": _MACRO.format(name)
            for name in ("f1", "precision", "recall")
            for average in ("macro", "micro", "weighted")
        },
        "hamming_loss": _FUNCTION,
        "iou": _FUNCTION,
        "jaccard": _FUNCTION,
        "jaccard_score": _FUNCTION,
        "kappa": _FUNCTION,
        "log_loss": _ERROR,
        "loss": "it is reported without being asked for",
        "map": "take 'average_precision'",
        "mape": _FUNCTION,
        "matthews_corrcoef": _FUNCTION,
        "max_error": _FUNCTION,
        "mcc": _FUNCTION,
        "mean_absolute_percentage_error": _FUNCTION,
        "mean_squared_error": _SQUARES,
        "mean_squared_log_error": _FUNCTION,
        "mean_squared_logarithmic_error": _FUNCTION,
        "median_absolute_error": _FUNCTION,
        "mse": _SQUARES,
        "msle": _FUNCTION,
        "neg_log_loss": _ERROR,
        "neg_mean_absolute_error": _POSITIVE.format("mae"),
        "neg_mean_squared_error": _POSITIVE.format("rmse"),
        "neg_root_mean_squared_error": _POSITIVE.format("rmse"),
        "pr_auc": _CURVE,
        "rmsle": _FUNCTION,
        "sensitivity": "take 'recall'",
        "sparse_categorical_crossentropy": _ERROR,
        "specificity": _FUNCTION,
        "top_k_accuracy": "'top_k' is of 5, scikit-learn's of 2: fastbp.TopK(2)",
        "top_k_accuracy_score": "'top_k' is of 5, scikit-learn's of 2: fastbp.TopK(2)",
        **{f"top_{k}": f"take fastbp.TopK({k})" for k in (1, 2, 3, 10)},
    },
)

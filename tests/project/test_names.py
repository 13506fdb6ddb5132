"""The names of other libraries: which are taken, and what is said of those that are not."""

from __future__ import annotations

import inspect
import re
import typing

import numpy as np
import pytest
from paths import ROOT

import fastbp
import fastbp.interop
import fastbp.plot
from fastbp.checks import Names, fold
from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.layers import names as layer_names
from fastbp.layers.initializers import INITIALIZERS
from fastbp.objectives import names as objective_names
from fastbp.objectives.losses import LOSSES
from fastbp.objectives.metrics import METRICS
from fastbp.optimizers import OPTIMIZERS
from fastbp.optimizers import names as optimizer_names

#: of each kind its names, what there is by them, and the two Literals
KINDS = {
    "activation": (
        layer_names.ACTIVATION_NAMES, ACTIVATIONS,
        layer_names.ActivationName, layer_names.ActivationAlias,
    ),
    "kernel_initializer": (
        layer_names.INITIALIZER_NAMES, ["auto", *INITIALIZERS],
        layer_names.InitializerName, layer_names.InitializerAlias,
    ),
    "loss": (
        objective_names.LOSS_NAMES, LOSSES, objective_names.LossName, objective_names.LossAlias,
    ),
    "metrics": (
        objective_names.METRIC_NAMES, METRICS,
        objective_names.MetricName, objective_names.MetricAlias,
    ),
    "optimizer": (
        optimizer_names.OPTIMIZER_NAMES, OPTIMIZERS,
        optimizer_names.OptimizerName, optimizer_names.OptimizerAlias,
    ),
}  # fmt: skip


def layer(activation):
    return fastbp.Dense(4, activation).activation


def initializer(name):
    return fastbp.Dense(4, kernel_initializer=name).kernel_initializer


def trainer(loss="mse", optimizer="sgd", metrics=(), output="linear", units=6):
    net = fastbp.Network(2, [fastbp.Dense(units, output)], seed=0)
    return fastbp.Trainer(net, loss, optimizer, metrics=metrics, batch_size=None)


def loss(name):
    known = objective_names.LOSS_NAMES.find("loss", name)
    required = LOSSES[known]()._kernel.requires
    return trainer(name, output=required or "linear").loss.name


def optimizer(name):
    return type(trainer(optimizer=name).optimizer).__name__


def metric(name):
    (found,) = trainer(metrics=[name]).metrics
    return found.name


@pytest.mark.parametrize("kind", KINDS)
def test_types_name_what_there_is(kind):
    names, table, known, alias = KINDS[kind]
    assert typing.get_args(known) == names.known == tuple(table)
    by_output = {"log_loss"} if kind == "loss" else set()
    assert set(typing.get_args(alias)) == {*names.aliases} | by_output
    assert len(typing.get_args(alias)) == len(set(typing.get_args(alias)))


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_has_two_meanings(kind):
    names = KINDS[kind][0]
    hints = {*names.hints}
    known, aliases = {fold(name) for name in names.known}, {fold(name) for name in names.aliases}
    assert len(known) == len(names.known)
    assert not (known | aliases) & hints
    for alias, name in names.aliases.items():
        assert fold(alias) == fold(name) or fold(alias) not in known


@pytest.mark.parametrize("kind", KINDS)
def test_hints_name_what_there_is(kind):
    """Each quoted word of a hint is a name of some kind, each dotted one stands in fastbp."""
    everything = {name for names, table, *_ in KINDS.values() for name in table}
    everything |= {"log_loss", "batchmean"}
    for hint in KINDS[kind][0].hints.values():
        assert set(re.findall(r"'([a-z_0-9]+)'", hint)) <= everything, hint
        for path in re.findall(r"fastbp((?:\.\w+)+)", hint):
            thing = fastbp
            for part in path[1:].split("."):
                thing = getattr(thing, part)


@pytest.mark.parametrize(
    ("make", "given", "found"),
    [
        (layer, "swish", "silu"), (layer, "Swish", "silu"), (layer, "SiLU", "silu"),
        (layer, "ReLU", "relu"), (layer, "RELU", "relu"), (layer, "LeakyReLU", "leaky_relu"),
        (layer, "leaky-relu", "leaky_relu"), (layer, "identity", "linear"),
        (layer, "logistic", "sigmoid"), (layer, "hardsigmoid", "hard_sigmoid"),
        (layer, "Hardtanh", "hard_tanh"), (layer, "soft_sign", "softsign"),
        (layer, "exponential", "exp"), (layer, "sin", "sine"), (layer, "CELU", "elu"),
        (layer, "gelu_new", "gelu_tanh"), (layer, "Soft Plus", "softplus"),
        (initializer, "xavier_uniform", "glorot_uniform"),
        (initializer, "xavier_normal_", "glorot_normal"),
        (initializer, "kaiming_uniform_", "he_uniform"),
        (initializer, "kaiming_normal", "he_normal"), (initializer, "GlorotUniform",
        "glorot_uniform"), (initializer, "Zeros", "zeros"), (initializer, "orthogonal_",
        "orthogonal"), (initializer, "TruncatedNormal", "truncated_normal"),
        (loss, "mean_squared_error", "mse"), (loss, "MSELoss", "mse"), (loss, "MSE", "mse"),
        (loss, "mean_absolute_error", "mae"), (loss, "L1Loss", "mae"), (loss, "l1", "mae"),
        (loss, "absolute_error", "mae"), (loss, "smooth_l1", "huber"),
        (loss, "SmoothL1Loss", "huber"), (loss, "logcosh", "log_cosh"),
        (loss, "pinball", "quantile"), (loss, "PoissonNLLLoss", "poisson"),
        (loss, "categorical_crossentropy", "cross_entropy"),
        (loss, "sparse_categorical_crossentropy", "cross_entropy"),
        (loss, "SparseCategoricalCrossentropy", "cross_entropy"),
        (loss, "CrossEntropyLoss", "cross_entropy"), (loss, "NLLLoss", "cross_entropy"),
        (loss, "softmax_cross_entropy", "cross_entropy"),
        (loss, "binary_crossentropy", "binary_cross_entropy"),
        (loss, "BCEWithLogitsLoss", "binary_cross_entropy"),
        (loss, "sigmoid_cross_entropy", "binary_cross_entropy"), (loss, "kld", "kl_divergence"),
        (loss, "KLDivergence", "kl_divergence"), (loss, "hinge_loss", "hinge"),
        (optimizer, "Adam", "Adam"), (optimizer, "RMSProp", "RMSprop"),
        (optimizer, "rms_prop", "RMSprop"), (optimizer, "adam_w", "AdamW"),
        (optimizer, "l-bfgs", "LBFGS"), (optimizer, "L_BFGS", "LBFGS"),
        (optimizer, "SGD", "SGD"),
        (metric, "acc", "accuracy"), (metric, "categorical_accuracy", "accuracy"),
        (metric, "accuracy_score", "accuracy"), (metric, "AUC", "auc"), (metric, "roc_auc", "auc"),
        (metric, "root_mean_squared_error", "rmse"), (metric, "r2_score", "r2"),
        (metric, "MeanAbsoluteError", "mae"), (metric, "f1_score", "f1"),
        (metric, "top_5", "top_5"), (metric, "sparse_top_k_categorical_accuracy", "top_5"),
    ],
)  # fmt: skip
def test_names_of_others(make, given, found):
    assert make(given) == found
    if make in (layer, initializer):
        assert type(make(np.str_(given))) is str


def test_levenberg_marquardt_is_lm():
    net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    made = fastbp.Trainer(net, "mse", "LM", batch_size=None)
    assert type(made.optimizer) is fastbp.LevenbergMarquardt


@pytest.mark.parametrize(
    ("make", "given", "told"),
    [
        (layer, "prelu", "'prelu': fastbp.LeakyReLU(negative_slope) has a slope"),
        (layer, "LogSoftmax", "take 'softmax' with the loss 'cross_entropy'"),
        (layer, "None", "no activation is 'linear'"),
        (layer, "hard_swish", "'silu' is the smooth function near to it"),
        (layer, "hswish", "'silu' is the smooth function near to it"),
        (layer, "relu2", "fastbp.CustomActivation"),
        (layer, "sigmod", "got 'sigmod' (did you mean 'sigmoid'?)"),
        (layer, "swich", "got 'swich' (did you mean 'silu'?)"),
        (initializer, "xavier", "'glorot_uniform' and 'glorot_normal'"),
        (initializer, "he", "'he_uniform' and 'he_normal'"),
        (initializer, "ones", "fastbp.Constant(value)"),
        (initializer, "trunc_normal", "fastbp.TruncatedNormal(1.0)"),
        (loss, "l2", "'mse' is the mean of the squares, 'half_squared_error' half their sum"),
        (loss, "squared_error", "'half_squared_error'"),
        (loss, "KLDivLoss", "reduction='batchmean'"),
        (loss, "focal", "fastbp.CustomLoss"),
        (loss, "mean_squared_log_error", "take 'mse' with the logarithms"),
        (loss, "multi_logloss", "take 'log_loss'"),
        (loss, "sse", "'half_squared_error'"),
        (loss, "mean_squred_error", "(did you mean 'mse'?)"),
        (metric, "mse", "'rmse' is its root"),
        (metric, "binary_accuracy", "'accuracy' cuts a sigmoid output at 0.5"),
        (metric, "top_k_accuracy", "fastbp.TopK(2)"),
        (metric, "pr_auc", "take 'average_precision'"),
        (metric, "mcc", "fastbp.CustomMetric"),
        (metric, "MeanAbsolutePercentageError", "fastbp.CustomMetric"),
        (metric, "precision_micro", "'precision' is of class 1 for one output"),
        (metric, "sensitivity", "take 'recall'"),
        (metric, "neg_mean_absolute_error", "the larger: 'mae'"),
        (optimizer, "momentum", "fastbp.SGD(learning_rate, momentum=0.9)"),
        (optimizer, "amsgrad", "fastbp.Adam(amsgrad=True)"),
        (optimizer, "L-BFGS-B", "take 'lbfgs'"),
        (optimizer, "xyz", "'levenberg_marquardt', got 'xyz'"),
    ],
)  # fmt: skip
def test_what_is_said_of_other_names(make, given, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        make(given)


@pytest.mark.parametrize(
    ("output", "units", "name"),
    [("softmax", 3, "cross_entropy"), ("sigmoid", 1, "binary_cross_entropy")],
)
@pytest.mark.parametrize("spelt", ["log_loss", "LogLoss", "log-loss"])
def test_log_loss_is_the_output_layers(output, units, name, spelt):
    assert trainer(spelt, output=output, units=units).loss.name == name


def test_log_loss_needs_probabilities():
    told = "loss 'log_loss' is 'cross_entropy', where the last layer has activation 'softmax', or "
    with pytest.raises(ValueError, match=f"{told}'binary_cross_entropy', where .* got 'linear'$"):
        trainer("log_loss", units=1)


def test_log_loss_where_no_output_layer_is_known():
    """`fastbp bench --loss log_loss` makes the layer by the loss."""
    told = "got 'logloss': it is 'cross_entropy' of softmax, 'binary_cross_entropy' of sigmoid"
    with pytest.raises(ValueError, match=told):
        objective_names.LOSS_NAMES.find("loss", "logloss")


def test_log_loss_is_scikit_learns():
    from sklearn.metrics import log_loss

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), rng.integers(0, 3, 40)
    net = fastbp.Network(2, [fastbp.Dense(3, "softmax")], dtype="float64", seed=0)
    value = fastbp.Trainer(net, "log_loss").evaluate(X, y)["loss"]
    assert value == pytest.approx(log_loss(y, net.predict(X), labels=[0, 1, 2]), rel=1e-12)
    net = fastbp.Network(2, [fastbp.Dense(1, "sigmoid")], dtype="float64", seed=0)
    value = fastbp.Trainer(net, "log_loss").evaluate(X, y > 1)["loss"]
    assert value == pytest.approx(log_loss(y > 1, net.predict(X)[:, 0]), rel=1e-12)


def test_things_keep_their_own_names(tmp_path):
    """An alias stands in no file, repr, history or comparison."""
    net = fastbp.Network(
        2,
        [fastbp.Dense(3, "Swish", kernel_initializer="xavier_normal"), fastbp.Dense(1, "logistic")],
        seed=0,
    )
    same = fastbp.Network(
        2,
        [fastbp.Dense(3, "silu", kernel_initializer="glorot_normal"), fastbp.Dense(1, "sigmoid")],
        seed=0,
    )
    assert repr(net) == repr(same)
    assert net.layers == same.layers
    assert [a.tolist() for a in net.get_weights()] == [a.tolist() for a in same.get_weights()]
    net.save(tmp_path / "net.safetensors")
    assert b"swish" not in (tmp_path / "net.safetensors").read_bytes().lower()
    made = fastbp.Trainer(net, "bce", "Adam", metrics=["acc"])
    history = made.fit(np.eye(2), [0, 1], epochs=1)
    assert len(history.accuracy) == 1
    assert not hasattr(history, "acc")
    with pytest.raises(ValueError, match=r"^metrics holds 'accuracy' twice$"):
        fastbp.Trainer(net, "bce", metrics=["acc", "accuracy"])


@pytest.mark.parametrize(
    "stored",
    [
        {"units": 3, "activation": "swish", "bias": True},
        {"units": 3, "activation": "SiLU", "bias": True},
        {"units": 3, "activation": "silu", "bias": True, "kernel_initializer": "xavier_normal"},
    ],
)
def test_files_have_no_aliases(stored):
    with pytest.raises(ValueError, match="must be a name as files have it, got '"):
        fastbp.Dense._from_stored(stored)


@pytest.mark.parametrize("given", [None, 3, True, b"relu", ["relu"]])
def test_names_are_strings(given):
    with pytest.raises(TypeError, match=r"^activation must be one of 'linear', .*, got "):
        layer(given)


@pytest.mark.parametrize(
    ("make", "own"),
    [(layer, "fastbp.CustomActivation(f, derivative)"), (trainer, "fastbp.CustomLoss(f, deriv")],
)
def test_functions_are_told_where_they_go(make, own):
    with pytest.raises(TypeError, match=re.escape(own)):
        make(lambda *numbers: 0.0)


def test_a_table_of_names():
    names = Names(["one_thing", "other"], {"one_thing": ["ein-ding"]}, {"third": "take 'other'"})
    assert [names.find("x", given) for given in ("one_thing", "ONE THING", "einding")] == (
        ["one_thing"] * 3
    )
    with pytest.raises(ValueError, match=r"^x must be one of 'one_thing', 'other', got 'Third': "):
        names.find("x", "Third")
    with pytest.raises(ValueError, match=r"got 'EinDin' \(did you mean 'one_thing'\?\)$"):
        names.find("x", "EinDin")


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_has_all_names(kind):
    page = (ROOT / "docs" / "api" / "names.md").read_text(encoding="utf-8")
    names = KINDS[kind][0]
    head = "metric" if kind == "metrics" else kind
    rows = page.partition(f"| {head} | also |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    for name, row in zip(names.known, rows, strict=True):
        also = [f"`{alias}`" for alias, of in names.aliases.items() if of == name]
        assert row == f"| `{name}` | {', '.join(also)} |"


DTYPES = {
    "float32": ["float32", "Float32", "single", "f4", "<f4", ">f4", "f32", "fp32", np.float32,
                np.dtype("float32"), np.dtype(">f4")],
    "float64": ["float64", "double", "float", "f8", "FP64", float, np.float64, np.double,
                np.dtype("float64")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given"), [(name, given) for name, all_ in DTYPES.items() for given in all_], ids=repr
)
def test_dtypes(name, given):
    assert fastbp.Network(1, [fastbp.Dense(1)], dtype=given, seed=0).dtype == name


@pytest.mark.parametrize(
    "given", ["float16", np.float16, np.dtype("f2"), "half", np.longdouble, "int32", int, "x"]
)
def test_other_dtypes(given):
    with pytest.raises(
        (TypeError, ValueError), match=r"^dtype must be one of 'float32', 'float64'"
    ):
        fastbp.Network(1, [fastbp.Dense(1)], dtype=given)


def test_no_dtype_is_none():
    """NumPy takes None for float64, of which nobody has spoken."""
    with pytest.raises(TypeError, match=r"^dtype must be one of .*, got None of type NoneType$"):
        fastbp.Network(1, [fastbp.Dense(1)], dtype=None)


def test_pytorchs_dtypes():
    class Foreign:
        def __repr__(self):
            return "torch.float64"

    Foreign.__module__ = "torch"  # as torch.dtype's
    assert fastbp.Network(1, [fastbp.Dense(1)], dtype=Foreign(), seed=0).dtype == "float64"


def test_warmups_dtypes(monkeypatch):
    monkeypatch.setattr("fastbp.warm._parts", lambda dtypes: [])
    assert fastbp.warmup(np.float32) >= 0
    assert fastbp.warmup(["single", np.float64]) >= 0
    with pytest.raises(ValueError, match=r"^dtypes must be .*, got 'half': 'float32' is the n"):
        fastbp.warmup("half")


@pytest.mark.parametrize("given", ["raise", "Stop", "reduce", "IGNORE"])
def test_on_divergence(given):
    net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    made = fastbp.Trainer(net, "mse", on_divergence=given)
    assert made.on_divergence == given.lower()
    made.on_divergence = "Raise"
    assert made.on_divergence == "raise"
    with pytest.raises(ValueError, match=r"^on_divergence must be .*, got 'error': take 'raise'$"):
        made.on_divergence = "error"
    assert made.on_divergence == "raise"


def test_keras_names_are_keras_own():
    weights = [np.ones((2, 3)), np.ones((3, 3)), np.ones((3, 1))]
    net = fastbp.interop.from_keras_weights(weights, ["LeakyReLU", "swish", "exponential"])
    assert [layer.activation for layer in net.layers] == [fastbp.LeakyReLU(0.2), "silu", "exp"]


def annotations(function):
    return {
        name: str(parameter.annotation)
        for name, parameter in inspect.signature(function).parameters.items()
    }


@pytest.mark.parametrize(
    "function",
    [fastbp.Dense, fastbp.Network, fastbp.Trainer, fastbp.trace, fastbp.check_gradients,
     fastbp.plot.loss_landscape, fastbp.plot.activation_functions, fastbp.interop.from_torch,
     fastbp.interop.from_keras_weights, fastbp.interop.from_sklearn, fastbp.warmup],
)  # fmt: skip
def test_no_name_is_a_mere_string(function):
    """An editor completes what is annotated; mypy reads tests/support/typed_names.py."""
    kinds = ("activation", "loss", "optimizer", "metrics", "dtype", "kernel_init", "on_diver")
    for name, annotation in annotations(function).items():
        if name.startswith(kinds):
            assert not re.search(r"\bstr\b", annotation), (name, annotation)

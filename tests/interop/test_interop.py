"""Networks from and to the neighbours.

What PyTorch and Keras give stands in golden/interop.npz (scripts/golden/interop.py); tests
with modules of PyTorch itself need it installed.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import paths
import pytest
from exports import HIDDEN, architecture
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import Dense, Network, interop
from fastbp.interop import torch as steps_of
from fastbp.interop.torch import Step
from fastbp.kernels.functions.activations import ACTIVATIONS

with np.load(paths.GOLDEN / "interop.npz") as archive:
    GOLDEN = dict(archive)
MODULES, MODELS = (json.loads(str(GOLDEN[name])) for name in ("modules", "keras"))
ABSENT = {"exp", "sine"}  # from torch.nn


def close(got: Any, expected: Any) -> None:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    tolerance = 2e-5 if expected.dtype == np.float32 else 1e-12
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


def golden_steps(i: int) -> list[Step]:
    found, j = [], 0
    for kind, settings in MODULES[i]:
        arrays: tuple[Any, ...] = ()
        if kind == "Linear":
            arrays = (GOLDEN[f"{i}/{j}"],)
            j += 1
            bias = GOLDEN.get(f"{i}/{j}")
            if bias is not None and bias.ndim == 1:
                arrays, j = (*arrays, bias), j + 1
        found.append(Step(kind, settings, arrays, place=f"module[{len(found)}] ({kind})"))
    assert f"{i}/{j}" not in GOLDEN
    return found


def plain(given: list[Step]) -> list[Any]:
    """Without what a network has no need to keep."""
    kept = [step for step in given if step.kind not in ("Flatten", "Identity")]
    return [
        (
            {"Hardtanh": "ReLU6"}.get(step.kind, step.kind)
            if step.settings == {"min_val": 0.0, "max_val": 6.0}
            else step.kind,
            [array.tobytes() for array in map(np.ascontiguousarray, step.arrays)],
        )
        for step in kept
    ]


@pytest.mark.parametrize("i", range(50))
def test_modules_of_pytorch(i: int) -> None:
    given = golden_steps(i)
    network = steps_of.network(given)
    close(network.predict(GOLDEN[f"{i}/X"]), GOLDEN[f"{i}/y"])
    assert plain(steps_of.steps(network)) == plain(given)


@pytest.mark.parametrize("i", range(50))
def test_models_of_keras(i: int) -> None:
    n = sum(name.startswith(f"k{i}/") for name in GOLDEN) - 2
    weights = [GOLDEN[f"k{i}/{j}"] for j in range(n)]
    network = interop.from_keras_weights(weights, MODELS[i])
    close(network.predict(GOLDEN[f"k{i}/X"]), GOLDEN[f"k{i}/y"])
    for got, expected in zip(interop.to_keras_weights(network), weights, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_golden_figures_are_of_every_kind() -> None:
    kinds = {kind for given in MODULES for kind, _ in given}
    assert kinds == set(steps_of.SETTINGS)
    assert {len(given) for given in MODELS} == {1, 2, 3}


def own(rng: np.random.Generator, i: int) -> Network:
    hidden = sorted(set(HIDDEN) - ABSENT)
    while True:
        network = architecture(rng, hidden[i % len(hidden)], ["float32", "float64"][i % 3 == 0])
        names = {layer.activation for layer in network.layers}
        if not names & ABSENT and all(layer.bias != "shared" for layer in network.layers):
            return network


def test_round_trips_of_random_networks() -> None:
    rng = np.random.default_rng(5)
    for i in range(50):
        network = own(rng, i)
        again = steps_of.network(steps_of.steps(network))
        X = rng.standard_normal((9, network.n_inputs)).astype(network.dtype)
        assert again.dtype == network.dtype
        assert again.predict(X).tobytes() == network.predict(X).tobytes()
        names = [layer.activation for layer in network.layers]
        slopes = [fastbp.LeakyReLU() if name == "leaky_relu" else name for name in names]
        again = interop.from_keras_weights(
            interop.to_keras_weights(network), slopes, dtype=network.dtype
        )
        assert again.predict(X).tobytes() == network.predict(X).tobytes()


def test_settings_go_both_ways() -> None:
    layers = [
        Dense(3, fastbp.LeakyReLU(0.3), dropout=0.5, trainable=False),
        Dense(4, fastbp.ELU(2.0), trainable="weights"),
        Dense(2, "softplus", trainable="biases"),
        Dense(2, bias=False),
    ]
    network = Network(3, layers, dtype="float64", seed=0)
    given = steps_of.steps(network)
    assert [step.kind for step in given] == [
        "Linear", "LeakyReLU", "Dropout", "Linear", "ELU", "Linear", "Softplus", "Linear",
    ]  # fmt: skip
    again = steps_of.network(given)
    assert again.layers == network.layers


@pytest.mark.parametrize("i", range(50))
def test_estimators_of_scikit_learn(i: int) -> None:
    rng = np.random.default_rng(i)
    dtype = [np.float64, np.float32][i % 3 == 0]
    n, n_in = 40, int(rng.integers(1, 12))
    X = rng.standard_normal((n, n_in)).astype(dtype)
    settings: dict[str, Any] = {
        "hidden_layer_sizes": rng.integers(1, 30, rng.integers(1, 4)).tolist(),
        "activation": ["identity", "logistic", "tanh", "relu"][i % 4],
        "random_state": i,
    }
    kind = i % 5
    if kind < 2:
        y: Any = rng.standard_normal((n, 3) if kind else n)
        fitted: Any = MLPRegressor(**settings).partial_fit(X, y)
        expected = fitted.predict(X).reshape(n, -1)
    else:
        classes = np.array([["no", "yes"], ["a", "b", "c"], [0, 1]][kind - 2])
        y = rng.integers(0, 2, (n, 4)) if kind == 4 else np.resize(classes, n)
        fitted = MLPClassifier(**settings)
        fitted.partial_fit(X, y, classes=np.arange(4) if kind == 4 else classes)
        expected = fitted.predict_proba(X)
        expected = expected[:, 1:] if kind == 2 else expected
    before = [w.copy() for w in fitted.coefs_]
    network = interop.from_sklearn(fitted)
    assert network.dtype == np.dtype(dtype).name
    close(network.predict(X), expected.astype(dtype))
    if kind in (2, 3):
        assert (fitted.classes_[network.predict_classes(X)] == fitted.predict(X)).all()
    network.set_weights([w + 1 for w in network.get_weights()])
    for w, kept in zip(fitted.coefs_, before, strict=True):
        np.testing.assert_array_equal(w, kept)
    assert interop.from_sklearn(fitted, dtype="float32").dtype == "float32"


def test_what_is_refused_of_scikit_learn() -> None:
    with pytest.raises(ValueError, match="estimator must be fitted, got MLPRegressor"):
        interop.from_sklearn(MLPRegressor())
    with pytest.raises(TypeError, match="got Pipeline: give its last step"):
        interop.from_sklearn(make_pipeline(StandardScaler(), MLPRegressor()))
    with pytest.raises(TypeError, match="MLPClassifier or MLPRegressor, got int"):
        interop.from_sklearn(3)
    fitted = MLPRegressor(hidden_layer_sizes=[3]).partial_fit([[0.0]], [1.0])
    fitted.activation = "swish"
    with pytest.raises(ValueError, match="layer 0 has activation 'swish', which fastbp has not"):
        interop.from_sklearn(fitted)
    fitted.activation = "relu"
    fitted.coefs_[0][0, 1] = np.nan
    with pytest.raises(ValueError, match=r"weights\[0\] \(W0\) must be finite"):
        interop.from_sklearn(fitted)


A, B = np.ones((2, 3)), np.ones(3)


@pytest.mark.parametrize(
    ("weights", "activations", "message"),
    [
        ([], [], "at least one kernel"),
        ([B], ["relu"], r"weights\[0\] has shape \(3,\); a Dense layer's kernel"),
        ([A, B, B, B, B], ["relu"], r"weights\[2\] has shape \(3,\); after a kernel \(2, 3\) can"),
        ([A, np.ones(2)], ["relu"], r"weights\[1\] has shape \(2,\)"),
        ([np.ones((3, 3, 1, 8))], ["relu"], r"weights\[0\] has shape \(3, 3, 1, 8\)"),
        ([np.ones((2, 0))], ["relu"], r"weights\[0\] has shape \(2, 0\)"),
        ([A, A], ["relu", "relu"], "layer 1 takes 2 values, layer 0 gives 3"),
        ([A, B], [], "activations must have one for each of 1 layers, got 0"),
        ([A, B], "relu", "activations must be a list"),
        ([A, B], ["log_softmax"], r"activations\[0\] must be one of"),
        ([A, B * np.inf], ["relu"], r"weights\[1\] \(b0\) must be finite"),
        ([A * 1j, B], ["relu"], "must hold real numbers"),
        (A[0, 0], ["relu"], "weights must be a list of arrays"),
    ],
)
def test_what_is_refused_of_keras(weights: Any, activations: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        interop.from_keras_weights(weights, activations)


def test_names_of_keras() -> None:
    given = ["leaky_relu", "swish", "exponential", None, fastbp.LeakyReLU(0.3), "sine"]
    layers = interop.from_keras_weights([np.ones((2, 2))] * 6, given).layers
    assert [layer.activation for layer in layers] == [
        fastbp.LeakyReLU(0.2), "silu", "exp", "linear", fastbp.LeakyReLU(0.3), "sine",
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [">f8", "<f4", "f2", "i4"])
def test_arrays_of_any_kind(dtype: str) -> None:
    kernel = np.arange(12, dtype=dtype).reshape(3, 4).T[::-1]
    kernel.flags.writeable = False
    network = interop.from_keras_weights([kernel], ["linear"])
    assert network.dtype == ("float64" if dtype == ">f8" else "float32")
    np.testing.assert_array_equal(network.get_weights()[0], kernel.astype(network.dtype))


def linear(n_in: int = 2, n_out: int = 2, dtype: Any = np.float32) -> Step:
    return Step("Linear", {}, (np.ones((n_out, n_in), dtype),), place="module[0] (Linear)")


def step(kind: str, **settings: Any) -> Step:
    return Step(kind, settings, place=f"module[1] ({kind})")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "at least one Linear"),
        ([step("Identity")], "at least one Linear"),
        ([step("ReLU"), linear()], r"module\[1\] \(ReLU\) stands before any Linear"),
        ([step("Dropout", p=0.1), linear()], "stands before any Linear"),
        ([linear(), step("ReLU"), step("Tanh")], "a second activation behind one Linear"),
        ([linear(), step("Dropout", p=0.1), step("ReLU")], "stands behind a Dropout"),
        ([linear(), step("Dropout", p=0.1), step("Dropout", p=0.1)], "stands behind a Dropout"),
        ([linear(), step("Dropout", p=1.0), linear()], "drops everything"),
        ([linear(), step("Dropout", p=0.5)], "last layer has a Dropout"),
        ([linear(), step("Flatten", start_dim=1, end_dim=-1)], "and the first"),
        ([step("Flatten", start_dim=0, end_dim=-1), linear()], "must be Flatten"),
        ([linear(), step("Softmax", dim=0)], "dim=0, which no activation"),
        ([linear(), step("Softmax", dim=None)], "dim=None, which no activation"),
        ([linear(), step("Hardtanh", min_val=-2.0, max_val=1.0)], "min_val=-2.0, max_val=1.0"),
        ([linear(), step("LeakyReLU", negative_slope=-0.1)], "negative_slope=-0.1"),
        ([linear(), step("LeakyReLU", negative_slope=float("nan"))], "negative_slope=nan"),
        ([linear(), step("ELU", alpha=0.0)], "alpha=0.0"),
        ([linear(), step("Softplus", beta=2.0, threshold=20.0)], "beta=1 and no threshold"),
        ([linear(), step("Softplus", beta=1.0, threshold=5.0)], "beta=1 and no threshold"),
        (
            [linear(2, 2, np.float64), step("Softplus", beta=1.0, threshold=20.0)],
            "from 40 on in float64",
        ),
        ([linear(2, 3), linear(2, 2)], "layer 1 takes 2 values, layer 0 gives 3"),
        ([linear(), linear(2, 2, np.float64)], "must have one dtype"),
        ([linear(0, 2)], "its weight is empty"),
    ],
)
def test_what_is_refused_of_modules(given: list[Step], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        steps_of.network(given)


def test_what_others_can_not_hold() -> None:
    shared = Network(2, [Dense(2), Dense(3, bias="shared")])
    with pytest.raises(ValueError, match=r"layer 1 shares one bias .* Keras can't hold"):
        interop.to_keras_weights(shared)
    with pytest.raises(ValueError, match=r"layer 1 shares one bias .* torch.nn.Linear can't hold"):
        steps_of.steps(shared)
    for name in ABSENT:
        with pytest.raises(ValueError, match=f"layer 0 has activation '{name}', which torch.nn"):
            steps_of.steps(Network(2, [Dense(2, name)]))
    square = fastbp.CustomActivation(lambda z: z * z, lambda z: 2 * z, "square")
    with pytest.raises(ValueError, match="layer 0 has activation 'square'"):
        steps_of.steps(Network(2, [Dense(2, square)]))
    with pytest.raises(TypeError, match=r"must be a fastbp\.Network, got list"):
        interop.to_keras_weights([])  # type: ignore[arg-type]


def test_a_neighbour_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    for call in (interop.from_torch, interop.to_torch):
        with pytest.raises(ImportError, match="torch needs torch, which is not installed"):
            call(Network(2, [Dense(1)]))


# -- with PyTorch itself -----------------------------------------------------------------------


@pytest.fixture
def nn() -> Any:
    return pytest.importorskip("torch", reason="PyTorch (extra peers) is not installed").nn


def test_50_networks_in_pytorch(nn: Any) -> None:
    import torch

    rng = np.random.default_rng(8)
    for i in range(50):
        network = own(rng, i)
        before = torch.get_rng_state()
        module = interop.to_torch(network)
        assert (torch.get_rng_state() == before).all()
        assert not module.training
        X = rng.standard_normal((9, network.n_inputs)).astype(network.dtype)
        close(network.predict(X), module(torch.from_numpy(X)).detach().numpy())
        again = interop.from_torch(module)
        assert again.predict(X).tobytes() == network.predict(X).tobytes()
        kept = [w.copy() for w in network.get_weights()]
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 1
        for a, b, c in zip(network.get_weights(), again.get_weights(), kept, strict=True):
            assert (a == c).all()
            assert (b == c).all()


def test_training_goes_on_in_pytorch(nn: Any) -> None:
    import torch

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((32, 4)), rng.standard_normal((32, 2))
    network = Network(4, [Dense(8, "tanh"), Dense(2)], dtype="float64", seed=1)
    module = interop.to_torch(network).train()
    trainer = fastbp.Trainer(network, "mse", fastbp.SGD(0.1))
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.mse_loss(module(torch.from_numpy(X)), torch.from_numpy(y)).backward()
        optimizer.step()
        trainer.step(X, y)
    for a, b in zip(interop.from_torch(module).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_modules_as_people_have_them(nn: Any) -> None:
    import torch

    class Classifier(nn.Sequential):
        def __init__(self) -> None:
            body = nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Dropout(0.2))
            super().__init__(nn.Flatten(), body, nn.Identity(), nn.Linear(5, 3), nn.Softmax(1))

    module = Classifier()
    module[1][0].requires_grad_(False)
    module[3].bias.requires_grad_(False)
    network = interop.from_torch(module)
    assert [layer.trainable for layer in network.layers] == [False, "weights"]
    assert [layer.dropout for layer in network.layers] == [0.2, 0.0]
    assert module.training
    X = torch.randn(4, 6)
    close(network.predict(X.numpy()), module.eval()(X).detach().numpy())
    again = interop.to_torch(network)
    assert [p.requires_grad for p in again.parameters()] == [False, False, True, False]


def test_what_is_refused_of_pytorch(nn: Any) -> None:
    import torch
    from torch.nn.utils import parametrizations

    def refused(module: Any, message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message):
            interop.from_torch(module)

    class Doubled(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

    class Own(nn.Linear):
        pass

    refused(nn.Linear(2, 2), "must be a torch.nn.Sequential, got Linear")
    refused(nn.Sequential(), "at least one Linear")
    refused(Doubled(nn.Linear(2, 2)), r"module \(Doubled\) has a forward of its own")
    refused(nn.Sequential(Own(2, 2)), r"module\[0\] is a .*Own; those of torch.nn")
    refused(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), r"module\[1\] is a .*BatchNorm1d")
    refused(nn.Sequential(nn.LazyLinear(2)), r"module\[0\].*LazyLinear")
    refused(nn.Sequential(nn.Linear(2, 2, dtype=torch.float16)), "torch.float16 on cpu")
    refused(nn.Sequential(nn.Linear(2, 2, device="meta")), "float32 on meta")
    refused(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()), "one dtype")
    twice = nn.Linear(2, 2)
    refused(nn.Sequential(twice, nn.ReLU(), twice), r"module\[2\] \(Linear\) shares parameters")
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    refused(tied, r"module\[1\] \(Linear\) shares parameters")
    refused(nn.Sequential(twice, nn.Sequential(twice)), "shares parameters")
    refused(nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2))), "ParametrizedLinear")
    hooked = nn.Sequential(nn.Linear(2, 2))
    hooked[0].register_forward_hook(lambda *arguments: None)
    refused(hooked, r"module\[0\] \(Linear\) has hooks")
    patched = nn.Sequential(nn.Linear(2, 2))
    patched.forward = lambda x: x
    refused(patched, r"module \(Sequential\) has hooks or a forward of its own")
    activation = nn.ReLU()
    same = nn.Sequential(nn.Linear(2, 2), activation, nn.Linear(2, 2), activation)
    assert [layer.activation for layer in interop.from_torch(same).layers] == ["relu", "relu"]


def test_every_activation_has_an_answer() -> None:
    for name in ACTIVATIONS:
        if name not in ABSENT:
            steps_of.network(steps_of.steps(Network(2, [Dense(3, name), Dense(2, name)])))


def test_tensors_as_samples(nn: Any) -> None:
    import torch

    network = Network(2, [Dense(1)], seed=0)
    values = [[0.5, 1.0], [-2.0, 3.0]]
    expected = network.predict(values)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e5m2):
        assert (network.predict(torch.tensor(values).to(dtype)) == expected).all()
    tensor = torch.tensor(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a layout isn't finished there
        rows = tensor.to_sparse_csr()
    for sparse in (tensor.to_sparse(), rows):
        with pytest.raises(
            TypeError, match=r"X is a torch\.sparse Tensor, .* its to_dense\(\) makes"
        ):
            network.predict(sparse)
    for other, way_out in (
        (torch.tensor(values, requires_grad=True), r"detach\(\)"),
        (torch.tensor(values, device="meta"), r"cpu\(\)"),
    ):
        with pytest.raises(ValueError, match=f"X must be one array of numbers .*{way_out}"):
            network.predict(other)
    with pytest.raises(ValueError, match="got nan at row 0, feature 1"):
        network.predict(torch.tensor([[1.0, float("nan")]]).to(torch.bfloat16))

"""A trace is what the training kernels do, number by number: the textbook's, and the oracle's."""

from __future__ import annotations

import builtins
import json
import re
from typing import Any

import naive
import numpy as np
import pytest
from problems import WEIGHTS, T, X, textbook

import fastbp


def made(
    widths: list[int],
    hidden: str,
    last: str,
    bias: Any = True,
    dtype: str = "float64",
    **options: Any,
) -> fastbp.Network:
    kinds = [hidden] * (len(widths) - 2) + [last]
    layers = [
        fastbp.Dense(n, kind, bias=bias, **options)
        for n, kind in zip(widths[1:], kinds, strict=True)
    ]
    net = fastbp.Network(widths[0], layers, dtype=dtype, seed=1)
    rng = np.random.default_rng(2)
    net.set_weights([w + rng.normal(0, 0.1, w.shape) for w in net.get_weights()])
    return net


def sample(net: fastbp.Network, loss: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x, k = rng.normal(size=net.n_inputs), net.n_outputs
    if loss in naive.CLASSES:
        return x, rng.dirichlet(np.ones(k)).astype(net.dtype)
    if loss == "hinge":
        return x, rng.choice([-1, 1], k)
    return x, rng.uniform(0.1, 0.9, k)


def check(net: fastbp.Network, loss: str, optimizer: Any, x: Any, t: Any, **options: Any) -> None:
    """Against `Trainer` bit for bit, and against the oracle."""
    before = net.get_weights()
    found = fastbp.trace(net, x, t, loss, optimizer, **options)
    for kept, was in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, was)
    trainer = fastbp.Trainer(net, loss, optimizer, seed=0)
    row, target = np.array(x)[None], np.array([t]) if np.ndim(t) == 0 else np.array(t)[None]
    error, gradients = trainer.gradients(row, target)
    assert trainer.step(row, target) == found.error == error
    assert found.error_after == trainer.evaluate(row, target)["loss"]
    np.testing.assert_array_equal(found.outputs_after, net.predict(row)[0])

    names = (
        ("weights", "weight_gradients", "new_weights"),
        ("biases", "bias_gradients", "new_biases"),
    )
    expected = [before, gradients, net.get_weights()]
    flat: list[list[Any]] = [[], [], []]
    for layer in found.layers:
        for group in names:
            for arrays, name in zip(flat, group, strict=True):
                if getattr(layer, name) is not None:
                    arrays.append(getattr(layer, name))
    for arrays, wanted in zip(flat, expected, strict=True):
        for got, array in zip(arrays, wanted, strict=True):
            assert got.dtype == net.dtype
            np.testing.assert_array_equal(got, array)

    tolerance = 1e-10 if net.dtype == "float64" else 1e-4
    zs, a = naive.forward(before, net.layers, row)
    deltas = naive.deltas(before, net.layers, loss, row, target)
    for index, layer in enumerate(found.layers):
        pairs = [(layer.net_inputs, zs), (layer.outputs, a[1:]), (layer.deltas, deltas)]
        for got, arrays in pairs:
            assert naive.relative_error(got, arrays[index][0]) <= tolerance
        if layer.slopes is not None:
            slopes = naive.ACTIVATIONS[layer.activation].delta(zs[index], np.ones_like(zs[index]))
            assert naive.relative_error(layer.slopes, slopes[0]) <= tolerance
            if layer.output_slopes is not None:
                product = layer.output_slopes * layer.slopes
                assert naive.relative_error(layer.deltas, product) <= tolerance
        if index < len(net.layers) - 1:
            above = found.layers[index + 1]
            assert layer.output_slopes is not None
            backward = above.weights @ above.deltas
            assert naive.relative_error(layer.output_slopes, backward) <= tolerance
    assert found.errors.sum() == pytest.approx(found.error, rel=tolerance)
    rebuilt = naive.evaluate(before, net.layers, loss, row, target)
    assert found.error == pytest.approx(rebuilt, rel=10 * tolerance)


def test_the_textbook() -> None:
    net = textbook()
    step = fastbp.trace(net, X, T)
    assert step.error == pytest.approx(0.298371108760003, rel=0, abs=1e-15)
    assert step.layers[-1].deltas[0] == pytest.approx(0.138498562, abs=5e-10)
    w5, w1 = step.weight("w5"), step.weight("w1")
    assert (w5.source, w5.unit, w5.weight) == ("h1", "o1", 0.4)
    assert w5.gradient == pytest.approx(0.082167041, abs=5e-10)
    assert w5.new_weight == pytest.approx(0.35891648, abs=5e-9)
    assert w5.output_slope == pytest.approx(0.74136507, abs=5e-9)
    assert w5.slope == pytest.approx(0.186815602, abs=5e-10)
    assert w5.input == pytest.approx(0.593269992, abs=5e-10)
    assert w1.gradient == pytest.approx(0.000438568, abs=5e-10)
    assert w1.new_weight == pytest.approx(0.149780716, abs=5e-10)
    for w, source, unit in ((2, "i2", "h1"), (3, "i1", "h2"), (6, "h2", "o1"), (8, "h2", "o2")):
        found = step.weight(f"w{w}")
        assert (found.source, found.unit) == (source, unit)
    np.testing.assert_array_equal(net.get_weights()[0], WEIGHTS[0])


def test_ten_thousand_updates_of_the_weights_alone() -> None:
    step = fastbp.trace(textbook(), X, T, weights_only=True, after=10_000)
    assert step.error == pytest.approx(3.510187782978859e-05, rel=1e-12)
    outputs = [0.01591362044355, 0.98406427351462]
    np.testing.assert_allclose(step.layers[-1].outputs, outputs, rtol=0, atol=1e-13)
    assert [layer.biases.tolist() for layer in step.layers if layer.biases is not None] == [
        [0.35],
        [0.6],
    ]
    first = fastbp.trace(textbook(), X, T, weights_only=True)
    assert first.layers[1].new_biases == 0.6
    assert first.layers[1].bias_gradients == pytest.approx(0.100400325, abs=5e-10)


@pytest.mark.parametrize("activation", sorted(naive.ACTIVATIONS))
def test_activations(activation: str) -> None:
    net = made([3, 4, 5, 2], activation, activation)
    check(net, "mse", fastbp.SGD(0.1), *sample(net, "mse"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", sorted(naive.LOSSES))
def test_losses(loss: str, dtype: str) -> None:
    net = made([3, 4, 3], "tanh", naive.LOSSES[loss].fused or "sigmoid", dtype=dtype)
    check(net, loss, fastbp.SGD(0.1), *sample(net, loss))


@pytest.mark.parametrize("bias", [True, "shared", False])
@pytest.mark.parametrize("widths", [[40, 4, 1], [5, 3, 3, 3, 3, 3, 2], [20, 130, 17], [2, 2]])
def test_shapes(widths: list[int], bias: Any) -> None:
    """Narrow layers, deep, wide, none hidden."""
    net = made(widths, "relu", "sigmoid", bias, "float32")
    check(net, "half_squared_error", fastbp.SGD(0.5), *sample(net, "mse"))


@pytest.mark.parametrize(
    "optimizer",
    ["adam", "rprop", "lion", fastbp.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01)],
    ids=str,
)
def test_optimizers(optimizer: Any) -> None:
    net = made([3, 8, 4], "gelu", "softmax", l2=0.01, l1=0.001, max_norm=0.9)
    before = fastbp.trace(net, [1, 2, 3], 2, "cross_entropy", optimizer)
    trainer = fastbp.Trainer(net, "cross_entropy", optimizer, seed=0)
    _, gradients = trainer.gradients([[1, 2, 3]], [2])
    trainer.step([[1, 2, 3]], [2])
    for index, layer in enumerate(before.layers):
        np.testing.assert_array_equal(layer.weight_gradients, gradients[2 * index])
        np.testing.assert_array_equal(layer.new_weights, net.get_weights()[2 * index])
        np.testing.assert_array_equal(layer.new_biases, net.get_weights()[2 * index + 1])
        assert layer.penalised


def test_class_ids_smoothing_and_functions_of_ones_own() -> None:
    net = made([3, 8, 4], "tanh", "softmax", dtype="float32")
    check(net, "cross_entropy", "adam", [1, 2, 3], 2)
    smooth = fastbp.trace(net, [1, 2, 3], 2, fastbp.CrossEntropy(0.1))
    assert smooth.errors.sum() == pytest.approx(smooth.error, rel=1e-5)
    assert (smooth.errors > 0).all()
    bent = fastbp.CustomActivation(lambda z: z * abs(z), lambda z: 2 * abs(z), "bent")
    fourth = fastbp.CustomLoss(lambda p, t: (p - t) ** 4, lambda p, t: 4 * (p - t) ** 3, "fourth")
    own = fastbp.Network(2, [fastbp.Dense(3, bent), fastbp.Dense(2)], dtype="float64", seed=0)
    step = fastbp.trace(own, [1.0, -2.0], [0.5, 0.0], fourth)
    layer = step.layers[0]
    np.testing.assert_allclose(layer.slopes, 2 * np.abs(layer.net_inputs), rtol=1e-12)
    assert step.errors.sum() == pytest.approx(step.error, rel=1e-12)
    assert "bent′(z_h1)" in str(step)


def test_after_goes_on_from_the_step_before() -> None:
    rate = fastbp.ExponentialDecay(0.1, gamma=0.5, per="step")
    net = made([3, 4, 2], "tanh", "linear")
    steps = [
        fastbp.trace(net, [1, 2, 3], [0, 1], "mse", fastbp.Adam(rate), after=n) for n in (0, 1)
    ]
    assert [step.update for step in steps] == [0, 1]
    np.testing.assert_array_equal(steps[0].layers[1].new_weights, steps[1].layers[1].weights)
    assert steps[1].error == steps[0].error_after
    assert steps[0].learning_rate == 0.1
    assert steps[1].learning_rate == 0.05


def test_samples_are_read_as_elsewhere() -> None:
    pa = pytest.importorskip("pyarrow")
    net = fastbp.Network(2, [fastbp.Dense(2)], seed=0)
    plain = fastbp.trace(net, [0.5, 1.0], [1.0, 0.0]).error
    for x in (pa.table({"a": [0.5], "b": [True]}), np.ma.masked_array([0.5, 1.0], False)):
        assert fastbp.trace(net, x, pa.table({"p": [1], "q": [0.0]})).error == plain
    for wrong, message in (
        (np.ma.masked_array([1.0, 2.0], [False, True]), "has a missing value (in row 1)"),
        ([1.0, None], "has a missing value (in row 1)"),
        (pa.table({"a": [0.5], "b": [None]}), "'s column 'b' has a missing value (in row 0)"),
        ([[1.0], [1.0, 2.0]], " must be one array of numbers with rows of equal length"),
    ):
        with pytest.raises(ValueError, match=f"^x ?{re.escape(message)}"):
            fastbp.trace(net, wrong, T)
        with pytest.raises(ValueError, match=f"^t ?{re.escape(message)}"):
            fastbp.trace(net, X, wrong)
    classes = fastbp.Network(2, [fastbp.Dense(2, "softmax")], seed=0)
    with pytest.raises(TypeError, match=r"^t must hold real numbers, .*: turn text labels"):
        fastbp.trace(classes, X, ["dark"], "cross_entropy")


def test_what_is_refused() -> None:
    net = textbook()
    for wrong in ("lbfgs", "levenberg_marquardt"):
        with pytest.raises(ValueError, match="optimizer must be one that updates batch by batch"):
            fastbp.trace(net, X, T, optimizer=wrong)
    with pytest.raises(ValueError, match=r"without dropout, got 0\.5 in layers\[0\]"):
        fastbp.trace(fastbp.Network(2, [fastbp.Dense(2, dropout=0.5), fastbp.Dense(2)]), X, T)
    with pytest.raises(ValueError, match=r"x must be one sample of 2 inputs, got shape \(3,\)"):
        fastbp.trace(net, [1, 2, 3], T)
    with pytest.raises(ValueError, match=r"t must be one sample of 2 targets, got shape \(\)"):
        fastbp.trace(net, X, 1)
    with pytest.raises(ValueError, match="X must hold finite numbers"):
        fastbp.trace(net, [np.nan, 1], T)
    with pytest.raises(ValueError, match="'cross_entropy' takes a network"):
        fastbp.trace(net, X, 1, "cross_entropy")
    with pytest.raises(TypeError, match=r"network must be a fastbp\.Network, got str"):
        fastbp.trace("net", X, T)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="weights_only must be True or False, got 1"):
        fastbp.trace(net, X, T, weights_only=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="after must be an int >= 0, got -1"):
        fastbp.trace(net, X, T, after=-1)
    for name in ("w0", "w9", "w05", "b1", ""):
        with pytest.raises(ValueError, match=r"name must be one of 'w1' \.\.\. 'w8'"):
            fastbp.trace(net, X, T).weight(name)


def test_a_trace_can_not_be_changed() -> None:
    step = fastbp.trace(textbook(), X, T)
    with pytest.raises(ValueError, match="read-only"):
        step.layers[0].weights[0, 0] = 1
    with pytest.raises(AttributeError):
        step.error = 0  # type: ignore[misc]


def test_every_weight_has_a_name_of_its_own() -> None:
    step = fastbp.trace(made([3, 4, 5, 2], "tanh", "linear"), [1, 2, 3], [0, 1])
    seen = set()
    for number in range(1, 3 * 4 + 4 * 5 + 5 * 2 + 1):
        at = step.names.find_weight(f"w{number}")
        assert step.names.weight(*at) == f"w{number}"
        seen.add(at)
    assert len(seen) == 42
    assert step.weight("w13").source == "h1.1"
    assert step.weight("w42").unit == "o2"


SHOWN = (
    "0.298371108760003", "0.138498562", "0.0821670406", "0.35891648", "0.000438567734",
    "0.149780716", "w1·i1 + w2·i2 + b1 = 0.15·0.05 + 0.2·0.1 + 0.35",
)  # fmt: skip


def test_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    step = fastbp.trace(textbook(), X, T)
    for words in SHOWN:
        assert words in str(step)
    order = [str(step).index(words) for words in ("Forward: h", "Forward: o", "Error",
             "Backward: o", "Weights: o", "Backward: h", "Weights: h", "After")]  # fmt: skip
    assert order == sorted(order)
    assert max(map(len, str(step).splitlines())) <= 120

    genuine = builtins.__import__

    def without_rich(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "rich":
            raise ModuleNotFoundError(name)
        return genuine(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    plain = str(step)
    assert "─" not in plain
    for words in (*SHOWN, "∂E/∂o1 · ∂o1/∂z_o1 · ∂z_o1/∂w5 = 0.741365 · 0.186816 · 0.59327"):
        assert words in plain
    assert repr(step) == "<Trace of 2-2-2: error 0.298371109, then 0.285750887>"


def test_large_networks_are_summarised() -> None:
    net = made([784, 300, 100, 10], "relu", "softmax", dtype="float32")
    x = np.random.default_rng(0).uniform(size=(28, 28))
    step = fastbp.trace(net, x, 3, "cross_entropy")
    text = str(step)
    assert len(text.splitlines()) < 100
    assert "266,610 parameters" in text
    assert "the largest |∂E/∂w| of 266,200" in text
    gradients = np.concatenate([np.abs(layer.weight_gradients).ravel() for layer in step.layers])
    assert f"{gradients.max():.9g}" in text.replace("-", "")
    deep = made([5, *[9] * 100, 2], "tanh", "linear")
    assert len(str(fastbp.trace(deep, np.ones(5), [0, 1])).splitlines()) < 100
    assert len(step.to_dict()["layers"][0]["weights"]) == 784


def test_markdown_dict_and_latex() -> None:
    step = fastbp.trace(textbook(), X, T)
    for words in SHOWN:
        assert words in step.to_markdown()
    assert "| w5 | ∂E/∂o1 · " in step._repr_markdown_()
    plain = json.loads(json.dumps(step.to_dict()))
    assert plain["error"] == step.error
    assert plain["layers"][1]["deltas"] == step.layers[1].deltas.tolist()
    assert r"$w_{1}\cdot i_{1} + w_{2}\cdot i_{2} + b_{1} = 0.15" in step.to_latex()
    assert r"$\delta _{o_{1}}$" in step.to_latex()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # matplotlib 3.8 with later pyparsing
def test_latex_can_be_set() -> None:
    """Every formula of every loss and activation."""
    from matplotlib.mathtext import MathTextParser

    nets = [(made([1, 1, 1], kind, kind), "mse") for kind in naive.ACTIVATIONS]
    nets += [
        (made([1, 1, 2], "tanh", kind.fused or "tanh"), loss) for loss, kind in naive.LOSSES.items()
    ]
    cells = set()
    for net, loss in nets:
        x, t = sample(net, loss)
        text = fastbp.trace(net, 1e-6 * x, t, loss).to_latex()
        assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 8
        rows = [line.removesuffix(r"\\") for line in text.splitlines() if line.endswith(r"\\")]
        cells |= {cell.strip() for row in rows for cell in row.split(" & ")}
    parser = MathTextParser("path")
    for cell in cells:
        parser.parse(cell)
        assert not any(sign in cell for sign in "∂δΣ·−½²⁺′")

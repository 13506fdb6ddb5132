"""ONNX graphs: run by ONNX Runtime, compared with predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from exports import HIDDEN, architecture, run_graph

import fastbp
from fastbp import export
from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.layers.activations import name_of
from fastbp.layers.names import ACTIVATION_NAMES


def compare(network: fastbp.Network, X: Any) -> None:
    found = run_graph(export.to_onnx(network), input=X)
    expected = network.predict(X).astype(np.float32)
    pair = name_of(network.layers[-1].activation) == "sigmoid" and network.n_outputs == 1
    if "label" in found:
        p = found["probabilities"]
        values = p[:, 1:] if pair else p
        clear = np.abs(expected[:, 0] - 0.5) > 1e-5 if pair else np.ptp(expected, axis=1) >= 0
        top = np.sort(expected, axis=1)
        if not pair and network.n_outputs > 1:
            clear = top[:, -1] - top[:, -2] > 1e-5
        assert (found["label"] == network.predict_classes(X))[clear].all()
        assert found["label"].dtype == np.int64
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    else:
        values = found["output"]
    fits = np.abs(expected) < 1e30
    off = np.abs(np.where(fits, values, 0) - np.where(fits, expected, 0)).max()
    assert off <= 1e-5 * max(1.0, float(np.abs(expected[fits]).max(initial=0))), repr(network)


def test_random_architectures() -> None:
    rng = np.random.default_rng(10)
    for i in range(54):
        network = architecture(rng, HIDDEN[i % len(HIDDEN)], ["float32", "float64"][i % 5 == 0])
        compare(network, rng.standard_normal((9, network.n_inputs)).astype(np.float32))


@pytest.mark.parametrize(
    "activation", [*sorted(ACTIVATIONS), fastbp.ELU(0.3), fastbp.LeakyReLU(0.2)]
)
def test_every_activation_as_the_last(activation: Any) -> None:
    X = np.linspace(-8, 8, 90).reshape(30, 3).astype(np.float32)
    for k in (1, 4):
        compare(fastbp.Network(3, [fastbp.Dense(k, activation)], seed=0), X)


def test_an_activation_without_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the kernels have and nobody has written a graph for is not taken for another."""
    monkeypatch.setitem(ACTIVATIONS, "novel", ACTIVATIONS["tanh"])
    monkeypatch.setitem(ACTIVATION_NAMES._spelt, "novel", "novel")
    network = fastbp.Network(2, [fastbp.Dense(3, "novel"), fastbp.Dense(1)], seed=0)
    with pytest.raises(ValueError, match="activation 'novel' has no ONNX graph"):
        export.to_onnx(network)


def test_sine_of_large_numbers() -> None:
    X = (np.sign(np.arange(80) - 39.5) * 3.0 ** np.arange(80)).astype(np.float32)
    network = fastbp.Network(1, [fastbp.Dense(1, "sine", bias=False)], seed=0)
    network.set_weights([[[1.0]]])
    compare(network, X[:, None])
    np.testing.assert_allclose(network.predict(X)[:, 0], np.sin(X.astype(np.float64)), atol=2e-7)


def test_versions_are_pinned() -> None:
    model = export.to_onnx(fastbp.Network(2, [fastbp.Dense(1)], seed=0))
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    onnx.checker.check_model(model, full_check=True)


def table(target: Any, missing: Any = "error", unseen: Any = "error") -> export.Table:
    columns = (
        export.Number("label", 1.6e9, 3.5e3),  # names that the graph wants for itself
        export.Category("W0", ("blue", "red"), "red"),
        export.Category("open", ("true",), "true", boolean=True),
    )
    return export.Table(columns, target, missing, unseen)


ROWS = {
    "label": np.array([[1.6e9 + 1750], [np.nan], [1.6e9], [1.6e9]]),
    "W0": np.array([["red"], ["blue"], ["green"], [""]], object),
    "open": np.array([[True], [False], [True], [True]]),
}
X = np.array([[0.5, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]], np.float32)


def test_columns_of_a_regression() -> None:
    network = fastbp.Network(4, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
    model = export.to_onnx(network, table=table(export.Number("y", -7.5, 1e6), "mean", "zero"))
    found = run_graph(model, **ROWS)["output"]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, network.predict(X).astype(float) * 1e6 - 7.5, rtol=1e-5)


@pytest.mark.parametrize("labels", [("no", "é", "yes"), (3, -1, 2**40), (False, True)])
def test_columns_of_a_classification(labels: Any) -> None:
    network = fastbp.Network(4, [fastbp.Dense(len(labels), "softmax")], seed=0)
    model = export.to_onnx(network, table=table(export.Labels(labels), "mean", "zero"))
    found = run_graph(model, **ROWS)
    np.testing.assert_allclose(found["probabilities"], network.predict(X), atol=1e-6)
    assert found["label_2"].tolist() == [labels[i] for i in network.predict_classes(X)]


def test_what_is_not_taken() -> None:
    network = fastbp.Network(4, [fastbp.Dense(2, "softmax")], seed=0)
    model = export.to_onnx(network, table=table(export.Labels((0, 1)), "error", "error"))
    good = {name: values[:1] for name, values in ROWS.items()}
    np.testing.assert_allclose(
        run_graph(model, **good)["probabilities"], network.predict(X[:1]), atol=1e-6
    )
    assert np.isnan(
        run_graph(model, **{**good, "label": np.array([[np.nan]])})["probabilities"]
    ).all()
    for name, value in (("W0", "green"), ("W0", ""), ("open", False)):
        kind = object if isinstance(value, str) else bool
        with pytest.raises(Exception, match="Unknown Category"):
            run_graph(model, **{**good, name: np.array([[value]], kind)})


def test_what_is_refused() -> None:
    own = fastbp.CustomActivation(lambda z: 2 * z, lambda z: 2.0, "double")
    with pytest.raises(ValueError, match="has no ONNX graph"):
        export.to_onnx(fastbp.Network(2, [fastbp.Dense(1, own)], seed=0))
    with pytest.raises(ValueError, match="table must make 2 inputs"):
        export.to_onnx(
            fastbp.Network(2, [fastbp.Dense(1)], seed=0), table=table(export.Number("y"))
        )

"""How weights start: orthogonal, truncated, constant, arrays and functions; model files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp


def first(initializer: Any, n_in: int = 60, n_out: int = 40, seed: int = 0) -> Any:
    layer = fastbp.Dense(n_out, "tanh", kernel_initializer=initializer)
    return fastbp.Network(n_in, [layer], dtype="float64", seed=seed).get_weights()[0]


@pytest.mark.parametrize(("n_in", "n_out"), [(60, 40), (40, 60), (7, 7), (1, 5), (5, 1)])
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_orthogonal(n_in: int, n_out: int, gain: float) -> None:
    W = first(fastbp.Orthogonal(gain), n_in, n_out)
    product = W @ W.T if n_in < n_out else W.T @ W
    np.testing.assert_allclose(product, gain**2 * np.eye(min(n_in, n_out)), atol=1e-13)
    assert not np.array_equal(W, first(fastbp.Orthogonal(gain), n_in, n_out, seed=1))


def test_orthogonal_has_no_preferred_sign() -> None:
    """Over many seeds each entry has mean 0: the Haar measure, which a bare QR has not."""
    corners = [first("orthogonal", 3, 3, seed)[0, 0] for seed in range(400)]
    assert abs(np.mean(corners)) < 5 / np.sqrt(3 * 400)


def test_truncated_normal() -> None:
    W = first(fastbp.TruncatedNormal(0.5), 300, 300) / 0.5
    assert np.abs(W).max() <= 2.0
    assert np.abs(W).max() > 1.999
    # variance 1 - 2 a phi(a) / (2 Phi(a) - 1) at a = 2
    assert W.std() == pytest.approx(0.8796, rel=0.01)
    assert abs(W.mean()) < 5 * 0.88 / 300


def test_constant_array_and_function() -> None:
    assert (first(fastbp.Constant(-0.25)) == -0.25).all()
    given = np.random.default_rng(0).normal(size=(60, 40))
    kept = given.copy()
    layer = fastbp.Dense(40, "tanh", kernel_initializer=given)
    given[:] = np.nan  # the layer has a copy
    W = fastbp.Network(60, [layer], dtype="float64").get_weights()[0]
    np.testing.assert_array_equal(W, kept)

    def drawn(shape: tuple[int, int], rng: np.random.Generator) -> Any:
        return rng.uniform(1, 2, shape)

    one, same, other = (first(drawn, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.min() >= 1


@pytest.mark.parametrize(
    "initializer",
    ["orthogonal", "truncated_normal", fastbp.Orthogonal(2.0), fastbp.Constant(1.5)],
)
def test_model_files(initializer: Any, tmp_path: Path) -> None:
    layers = [fastbp.Dense(4, kernel_initializer=initializer)]
    net = fastbp.Network(3, layers, seed=0)
    net.save(tmp_path / "a.safetensors")
    loaded = fastbp.Network.load(tmp_path / "a.safetensors")
    assert loaded.layers == net.layers
    np.testing.assert_array_equal(loaded.get_weights()[0], net.get_weights()[0])


def test_model_files_hold_no_arrays_of_initializers(tmp_path: Path) -> None:
    net = fastbp.Network(3, [fastbp.Dense(4, kernel_initializer=np.ones((3, 4)))], seed=0)
    net.save(tmp_path / "a.safetensors")
    loaded = fastbp.Network.load(tmp_path / "a.safetensors")
    assert loaded.layers[0].kernel_initializer == "zeros"
    np.testing.assert_array_equal(loaded.get_weights()[0], np.ones((3, 4)))


@pytest.mark.parametrize(
    ("initializer", "error", "message"),
    [
        ("orthogonl", ValueError, "did you mean 'orthogonal'"),
        (3, TypeError, "kernel_initializer must be one of 'auto', .* got 3 of type int"),
        (np.ones((2, 3)), ValueError, r"of shape \(60, 40\), got shape \(2, 3\)"),
        (np.full((60, 40), np.nan), ValueError, "must give finite numbers"),
        (np.full((60, 40), "a"), TypeError, "must give real numbers"),
        (lambda shape, rng: None, TypeError, "must give real numbers, got dtype object"),
    ],
)
def test_refused(initializer: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        first(initializer)
    with pytest.raises(ValueError, match="stddev must be"):
        fastbp.TruncatedNormal(0.0)
    with pytest.raises(ValueError, match="gain must be"):
        fastbp.Orthogonal(np.inf)

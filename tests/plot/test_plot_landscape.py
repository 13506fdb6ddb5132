"""Loss landscapes: losses are what `Trainer` says, paths are what its training does."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")

import matplotlib.pyplot as plt

import fastbp
from fastbp import plot

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 2))
y = (X[:, 0] > X[:, 1]).astype(float)
LOSS = "binary_cross_entropy"


@pytest.fixture(autouse=True)
def _pictures() -> Iterator[None]:
    yield
    plt.close("all")


def network(bias: Any = True, dtype: str = "float64") -> fastbp.Network:
    layers = [fastbp.Dense(3, "tanh", bias=bias), fastbp.Dense(1, "sigmoid", bias=bias)]
    return fastbp.Network(2, layers, dtype=dtype, seed=1)


def flat(weights: list[Any]) -> Any:
    return np.concatenate([np.ravel(w) for w in weights])


def trained(optimizer: Any, epochs: int, batch_size: int | None = None, seed: int = 0) -> Any:
    net = network()
    trainer = fastbp.Trainer(net, LOSS, optimizer, batch_size=batch_size, seed=seed)
    trainer.fit(X, y, epochs=epochs)
    return net


def evaluated(weights: Any, w: Any = None) -> float:
    net = network()
    net.set_weights(weights)
    return fastbp.Trainer(net, LOSS).evaluate(X, y, w)["loss"]


ALONG: dict[str, Any] = {
    "weights": ("w1", "w7"),
    "pca": "pca",
    "random": "random",
    "own": (network().get_weights(), trained("adam", 3).get_weights()),
}


@pytest.mark.parametrize("kind", ALONG)
def test_losses_are_those_of_evaluate(kind: str) -> None:
    weights = rng.uniform(0.1, 2, len(X))
    seen = plot.loss_landscape(
        network(), LOSS, X, y, ALONG[kind], ["sgd", "adam"], epochs=4, resolution=5,
        sample_weight=weights,
    )  # fmt: skip
    assert seen.loss.shape == (5, 5)
    for i, j in [(0, 0), (0, 4), (3, 1)]:
        there = seen.weights_at(seen.x[j], seen.y[i])
        assert seen.loss[i, j] == evaluated(there, weights)
    for path in seen.paths.values():
        assert len(path.loss) == len(path.points) == len(path.weights) == 5
        (x0, x1), (y0, y1) = seen.x[[0, -1]], seen.y[[0, -1]]
        assert (path.points > [x0, y0]).all()
        assert (path.points < [x1, y1]).all()


@pytest.mark.parametrize("optimizer", ["sgd", fastbp.Adam(0.1), "lbfgs"])
@pytest.mark.parametrize("along", [("w1", "w7"), "pca"])
def test_a_path_is_what_training_does(optimizer: Any, along: Any) -> None:
    seen = plot.loss_landscape(
        network(), LOSS, X, y, along, optimizer, train="all", epochs=6, resolution=2
    )
    (path,) = seen.paths.values()
    for epoch in (0, 1, 6):
        same = trained(optimizer, epoch)
        np.testing.assert_array_equal(path.weights[epoch], flat(same.get_weights()))
        assert path.loss[epoch] == evaluated(same.get_weights())
    if along == "pca":
        np.testing.assert_allclose(path.points[-1], 0, atol=1e-12)
    else:
        np.testing.assert_array_equal(path.points, path.weights[:, [0, 9]])


def test_mini_batches_are_those_of_the_seed() -> None:
    seen = plot.loss_landscape(
        network(), LOSS, X, y, "random", "adam", epochs=3, batch_size=7, seed=5, resolution=2
    )
    same = trained("adam", 3, batch_size=7, seed=5)
    np.testing.assert_array_equal(seen.paths["Adam"].weights[-1], flat(same.get_weights()))


@pytest.mark.parametrize("optimizer", [fastbp.SGD(0.5, momentum=0.9), fastbp.Adam(0.1)])
def test_chosen_weights_alone_are_trained_and_stay_on_the_surface(optimizer: Any) -> None:
    seen = plot.loss_landscape(
        network(), LOSS, X, y, ("w2", "b2.1"), optimizer, epochs=5, resolution=2
    )
    (path,) = seen.paths.values()
    chosen = [3, 12]  # W0[1, 0] and b1[0], of W0 (2, 3), b0 (3,), W1 (3, 1), b1 (1,)
    start = flat(network().get_weights())
    others = np.setdiff1d(np.arange(start.size), chosen)
    np.testing.assert_array_equal(path.weights[:, others], np.tile(start[others], (6, 1)))
    # the same by hand: the others are put back after each step of a trainer
    net = network()
    trainer = fastbp.Trainer(net, LOSS, optimizer, batch_size=None)
    for epoch in range(5):
        for (a, b), loss in zip(path.points[[epoch]], path.loss[[epoch]], strict=True):
            assert evaluated(seen.weights_at(a, b)) == loss
        assert trainer.step(X, y) == pytest.approx(path.loss[epoch], rel=1e-12)
        moved = net.get_weights()
        kept = network().get_weights()
        kept[0][1, 0], kept[3][0] = moved[0][1, 0], moved[3][0]
        net.set_weights(kept)
        # a fit adds up in shuffled order
        np.testing.assert_allclose(path.weights[epoch + 1], flat(kept), rtol=0, atol=1e-13)
    assert path.loss[-1] < path.loss[0]


def test_start_is_any_weights() -> None:
    def begin(start: Any) -> Any:
        seen = plot.loss_landscape(
            network(), LOSS, X, y, ("w1", (1, 2, 0)), "sgd", epochs=1, resolution=2, start=start
        )
        assert seen.labels == ("w1", "w9")
        return seen.paths["SGD"]

    some = begin({"w1": 4.0, "w9": -3.0, "b1.2": 0.5})
    assert some.points[0].tolist() == [4.0, -3.0]
    expected = network().get_weights()
    expected[0][0, 0], expected[2][2, 0], expected[1][1] = 4.0, -3.0, 0.5
    np.testing.assert_array_equal(some.weights[0], flat(expected))
    other = trained("adam", 7).get_weights()
    np.testing.assert_array_equal(begin(other).weights[0], flat(other))


def test_the_plane_of_weights_goes_through_start_or_end() -> None:
    common: dict[str, Any] = {"train": "all", "epochs": 4, "resolution": 2}
    ends = {
        "start": flat(network().get_weights()),
        "end": flat(trained("adam", 4).get_weights()),
    }
    for through, expected in ends.items():
        seen = plot.loss_landscape(
            network(), LOSS, X, y, ("w1", "w2"), "adam", through=through, **common
        )
        np.testing.assert_array_equal(flat(seen.weights_at(*expected[[0, 3]])), expected)


def test_pca_is_that_of_the_paths() -> None:
    seen = plot.loss_landscape(
        network(), LOSS, X, y, "pca", [fastbp.SGD(0.5), fastbp.Adam(0.05)], epochs=9, resolution=2
    )
    every = np.concatenate([path.weights for path in seen.paths.values()])
    variances, axes = np.linalg.eigh(np.cov(every.T))
    shares = variances[::-1] / variances.sum()
    assert seen.labels == tuple(
        f"principal component {i + 1} ({shares[i]:.1%} of variance)" for i in range(2)
    )
    origin = flat(seen.weights_at(0, 0))
    found = np.stack([flat(seen.weights_at(*unit)) - origin for unit in np.eye(2)])
    np.testing.assert_allclose(np.abs(np.sum(found * axes.T[[-1, -2]], axis=1)), 1, rtol=1e-9)
    for path in seen.paths.values():
        np.testing.assert_allclose(path.points, (path.weights - origin) @ found.T, atol=1e-12)


def test_random_directions_have_each_units_norm() -> None:
    net = trained("adam", 20)
    seen = plot.loss_landscape(net, LOSS, X, y, "random", resolution=2, seed=3)
    origin = seen.weights_at(0, 0)
    np.testing.assert_array_equal(flat(origin), flat(net.get_weights()))
    assert seen.x.tolist() == pytest.approx([-1.3, 1.3])
    for unit in np.eye(2):
        for w, there in zip(origin, seen.weights_at(*unit), strict=True):
            if w.ndim == 2:
                norms = np.linalg.norm(there - w, axis=0)
                np.testing.assert_allclose(norms, np.linalg.norm(w, axis=0), rtol=1e-12)
            else:
                np.testing.assert_array_equal(there, w)
    again = plot.loss_landscape(net, LOSS, X, y, "random", resolution=2, seed=3)
    other = plot.loss_landscape(net, LOSS, X, y, "random", resolution=2, seed=4)
    np.testing.assert_array_equal(again.loss, seen.loss)
    assert not np.array_equal(other.loss, seen.loss)


@pytest.mark.parametrize("along", ALONG.values())
def test_the_network_stays_as_it_is(along: Any) -> None:
    net = network(dtype="float32")
    before = pickle.dumps(net)
    plot.loss_landscape(net, LOSS, X, y, along, ["adam"], epochs=3, resolution=2)
    assert pickle.dumps(net) == before


def test_divergence_ends_a_path() -> None:
    net = fastbp.Network(2, [fastbp.Dense(1)], dtype="float32", seed=0)
    seen = plot.loss_landscape(
        net, "mse", X, y, ("w1", "w2"), fastbp.SGD(1e9), epochs=50, resolution=3
    )
    path = seen.paths["SGD"]
    assert path.stopped
    assert len(path.weights) < 51
    assert np.isfinite(path.weights).all()
    plot.loss_contours(seen).get_figure().canvas.draw()
    plot.loss_surface(seen).get_figure().canvas.draw()


def test_labels_of_optimizers() -> None:
    def labels(given: Any) -> list[str]:
        seen = plot.loss_landscape(
            network(), LOSS, X, y, ("w1", "w2"), given, epochs=1, resolution=2
        )
        return list(seen.paths)

    assert labels("adam") == ["Adam"]
    assert labels(["sgd", "adam"]) == ["SGD", "Adam"]
    twice = [fastbp.SGD(0.1), fastbp.SGD(0.5), fastbp.SGD(0.5, momentum=0.9)]
    assert labels(twice) == ["SGD(0.1)", "SGD(0.5)", "SGD(0.5), 2"]
    assert labels({"mine": "sgd"}) == ["mine"]


# -- the pictures --------------------------------------------------------------------------------


def seen_by_two() -> plot.LossLandscape:
    return plot.loss_landscape(
        network(), LOSS, X, y, ("w1", "w2"), ["sgd", fastbp.Adam(0.2)], epochs=8, resolution=9
    )


def test_contours_and_paths_are_drawn_where_they_are() -> None:
    seen = seen_by_two()
    ax = plot.loss_contours(seen, log=False, levels=5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("w1", "w2")
    assert ax.get_xlim() == (seen.x[0], seen.x[-1])
    assert ax.get_ylim() == (seen.y[0], seen.y[-1])
    levels = np.linspace(seen.loss.min(), seen.loss.max(), 5)
    np.testing.assert_allclose(ax.collections[0].levels, levels)
    lines = {line.get_label(): line for line in ax.lines if line.get_label()[0] != "_"}
    assert list(lines) == ["SGD", "Adam"]
    assert lines["SGD"].get_color() != lines["Adam"].get_color()
    assert lines["SGD"].get_linestyle() != lines["Adam"].get_linestyle()
    for label, line in lines.items():
        np.testing.assert_array_equal(line.get_xydata(), seen.paths[label].points)
    assert ax.get_figure().axes[1].get_ylabel() == "binary cross entropy"
    assert len(plot.loss_contours(seen, colorbar=False).get_figure().axes) == 1


def test_contour_lines_are_at_their_losses() -> None:
    seen = seen_by_two()
    fine = plot.loss_landscape(network(), LOSS, X, y, ("w1", "w2"), resolution=60)
    ax = plot.loss_contours(fine, log=False, levels=6)
    lines = ax.collections[1]
    for level, path in list(zip(lines.levels, lines.get_paths(), strict=True))[1:-1]:
        a, b = path.vertices[len(path.vertices) // 2]
        assert evaluated(fine.weights_at(a, b)) == pytest.approx(level, rel=0.01)
    assert seen.loss_name == LOSS


def test_optimizers_side_by_side_keep_their_colours() -> None:
    seen = seen_by_two()
    both = plot.loss_contours(seen)
    _, panels = plt.subplots(1, 2)
    for label, panel in zip(seen.paths, panels, strict=True):
        assert plot.loss_contours(seen, [label], ax=panel) is panel
        (alone,) = (line for line in panel.lines if line.get_label() == label)
        (together,) = (line for line in both.lines if line.get_label() == label)
        assert alone.get_color() == together.get_color()
        assert [text.get_text() for text in panel.get_legend().get_texts()] == [label]
    assert panels[0].collections[0].levels.tolist() == panels[1].collections[0].levels.tolist()


@pytest.mark.parametrize("log", [False, True])
def test_the_surface_and_its_paths(log: bool) -> None:
    seen = seen_by_two()
    figure = plt.figure()
    given = figure.add_subplot(projection="3d")
    ax = plot.loss_surface(seen, log=log, ax=given)
    assert ax is given
    assert plt.get_fignums() == [figure.number]
    assert (ax.get_xlabel(), ax.get_zlabel()) == ("w1", "binary cross entropy")
    scale = np.log10 if log else np.asarray
    shown = [line for line in ax.lines if line.get_label() in seen.paths]
    assert len({(line.get_color(), line.get_linestyle()) for line in shown}) == 2
    low, high = ax.get_zlim()
    assert low <= scale(seen.loss).min() < scale(seen.loss).max() <= high
    for line in shown:
        path = seen.paths[line.get_label()]
        a, b, z = line.get_data_3d()
        np.testing.assert_array_equal(np.stack([a, b], 1), path.points)
        np.testing.assert_array_equal(z, scale(path.loss))
    figure.canvas.draw()
    with pytest.raises(ValueError, match='ax must have the projection "3d", got "rectilinear"'):
        plot.loss_surface(seen, ax=plt.figure().add_subplot())


# -- mistakes ------------------------------------------------------------------------------------


def call(along: Any = ("w1", "w2"), optimizers: Any = "sgd", **options: Any) -> Any:
    net = options.pop("network", network())
    loss = options.pop("loss", LOSS)
    return plot.loss_landscape(
        net, loss, options.pop("X", X), y, along, optimizers, epochs=1, resolution=2, **options
    )


@pytest.mark.parametrize(
    ("error", "given", "words"),
    [
        (TypeError, {"network": 3}, "network must be a fastbp.Network, got int"),
        (ValueError, {"loss": "mes"}, "did you mean 'mse'"),
        (ValueError, {"X": X[:5]}, "y must have one row for each of the 5"),
        (ValueError, {"along": "pac"}, "along must be one of 'pca', 'random', got 'pac'"),
        (ValueError, {"along": ("w1",)}, "along must be two weights or directions"),
        (ValueError, {"along": ("w1", "w1")}, "along must be two different weights, got w1"),
        (ValueError, {"along": ("w1", "w10")}, "along: name must be one of 'w1' ... 'w9'"),
        (ValueError, {"along": ("w1", "b1")}, "along must name biases as 'b1.2'"),
        (ValueError, {"along": ("w1", "b1.4")}, "along must name biases.*got 'b1.4'"),
        (ValueError, {"along": ("w1", (0, 2, 0))}, r"W0 whose shape is \(2, 3\)"),
        (ValueError, {"along": ("w1", (2, 0, 0))}, "along has layer 2, of layers 0 to 1"),
        (TypeError, {"along": ("w1", (0, 0))}, "along must name weights as"),
        (TypeError, {"along": ("w1", 5)}, "along must name weights such as 'w1', got int"),
        (ValueError, {"along": ([1], [2])}, "weights must hold 4 arrays"),
        (ValueError, {"along": (network().get_weights(),) * 2}, "two directions that span"),
        (
            ValueError,
            {"along": "pca", "optimizers": ()},
            'optimizers must be given for along="pca"',
        ),
        (TypeError, {"optimizers": 3}, "optimizers must be names or optimizers"),
        (ValueError, {"optimizers": "sdg"}, "did you mean 'sgd'"),
        (ValueError, {"optimizers": "lbfgs"}, 'train must be "all" with solvers'),
        (ValueError, {"batch_size": 4}, 'batch_size must be None with train="chosen", got 4'),
        (ValueError, {"along": "random", "train": "chosen"}, "train must be one of 'all'"),
        (ValueError, {"through": "middle"}, "through must be one of 'start', 'end'"),
        (TypeError, {"extent": 3}, "extent must be"),
        (ValueError, {"extent": ((0, 1), (1, 1))}, "extent's y_high must be in"),
        (TypeError, {"start": "zero"}, "start must be weights or a dict"),
        (ValueError, {"start": {"w0": 1.0}}, "start: name must be one of"),
        (TypeError, {"start": {"w1": "1"}}, r"start\['w1'\] must be a number"),
        (ValueError, {"start": {"w1": np.inf}}, "must be finite"),
        (ValueError, {"seed": -1}, "seed must be an int >= 0"),
    ],
)
def test_mistakes_are_told(error: type[Exception], given: dict[str, Any], words: str) -> None:
    with pytest.raises(error, match=words):
        call(**given)


def test_mistakes_of_pictures_are_told_before_anything_is_drawn() -> None:
    seen = call()
    for draw in (plot.loss_contours, plot.loss_surface):
        with pytest.raises(TypeError, match="landscape must be what loss_landscape returns"):
            draw(3)
        with pytest.raises(ValueError, match=r"paths must be of \['SGD'\], got 'Adam'"):
            draw(seen, ["Adam"])
        with pytest.raises(TypeError, match="paths must be a list"):
            draw(seen, "SGD")
        with pytest.raises(TypeError, match="log must be"):
            draw(seen, log="yes")
    assert plt.get_fignums() == []


def test_a_surface_ends_paths_at_its_border() -> None:
    """Nothing clips lines in three dimensions: what is outside the grid is not drawn."""
    net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    X = np.linspace(-1, 1, 9)
    seen = plot.loss_landscape(
        net, "mse", X, 2 * X + 1, ("w1", "b1.1"), fastbp.SGD(0.3),
        start={"w1": 0.0, "b1.1": 0.0}, extent=((-0.5, 1.0), (-0.5, 2.0)), resolution=5,
    )  # fmt: skip
    inside = seen.paths["SGD"].points[:, 0] <= 1.0
    assert inside[0]
    assert not inside.all()
    drawn = plot.loss_surface(seen).lines[0].get_data_3d()[2]
    np.testing.assert_array_equal(np.isfinite(drawn), inside)

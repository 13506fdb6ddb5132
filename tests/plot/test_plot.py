"""fastbp.plot: what stands in the pictures is what the library has worked out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest
from examples import gallery

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.patches import StepPatch

import fastbp
from fastbp import plot
from fastbp.plot import canvas

PICTURES = gallery.ROOT / "docs" / "pictures"
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2))
y = (X[:, 0] > X[:, 1]).astype(int)


@pytest.fixture(autouse=True)
def _pictures() -> Iterator[None]:
    """No picture is left behind, none is shown, and matplotlib's settings stay."""
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


def binary() -> fastbp.Network:
    layers = [fastbp.Dense(5, "tanh"), fastbp.Dense(1, "sigmoid")]
    return fastbp.Network(2, layers, dtype="float64", seed=1)


def textbook() -> fastbp.Network:
    layers = [fastbp.Dense(2, "sigmoid", bias="shared") for _ in range(2)]
    net = fastbp.Network(2, layers, dtype="float64")
    net.set_weights([[[0.15, 0.25], [0.2, 0.3]], [0.35], [[0.4, -0.5], [0.45, 0.55]], [0.6]])
    return net


def history(epochs: int = 4) -> fastbp.History:
    trainer = fastbp.Trainer(
        binary(), "binary_cross_entropy", fastbp.SGD(0.5), seed=0, metrics=["accuracy"]
    )
    return trainer.fit(X, y, epochs=epochs, validation_split=0.25)


def landscape() -> plot.LossLandscape:
    return plot.loss_landscape(
        binary(), "binary_cross_entropy", X, y, ("w1", "w2"), "sgd", epochs=3, resolution=4
    )


DRAWN: dict[str, Any] = {
    "learning_curves": lambda ax: plot.learning_curves(history(), ax=ax),
    "network": lambda ax: plot.network(textbook(), ax=ax),
    "loss_contours": lambda ax: plot.loss_contours(landscape(), ax=ax),
    "decision_boundary": lambda ax: plot.decision_boundary(binary(), X, y, ax=ax),
    "activation_functions": lambda ax: plot.activation_functions(ax=ax),
    "weight_histograms": lambda ax: plot.weight_histograms(binary(), ax=ax),
    "activation_histograms": lambda ax: plot.activation_histograms(binary(), X, ax=ax),
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_on_the_axes_given_or_on_new_ones(name: str) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    assert DRAWN[name](left) is left
    assert plt.get_fignums() == [figure.number]
    assert left.has_data()
    assert not right.has_data()
    made = DRAWN[name](None)
    assert made.get_figure() is not figure
    assert made.has_data()
    if name != "network":
        assert made.get_xlabel()
    with pytest.raises(TypeError, match="ax must be matplotlib axes or None, got int"):
        DRAWN[name](3)
    with pytest.raises(ValueError, match='ax must have the projection "rectilinear", got "polar"'):
        DRAWN[name](plt.figure().add_subplot(projection="polar"))


def test_without_matplotlib_the_extra_is_named() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; import fastbp.plot"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: fastbp.plot needs matplotlib, which the extra fastbp[plot]" in done.stderr


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_colours_stand_out(style: str) -> None:
    """3:1 at least, for lines and points (WCAG 2.2, 1.4.11), and 4.5:1 for text."""
    with plt.style.context(style):
        ax = plot.learning_curves(history())
        behind = canvas.luminance(canvas.background(ax))
        shades = [*canvas.palette(ax), canvas.foreground(ax)]
        assert {line.get_color() for line in ax.lines} <= set(shades)
    assert canvas.is_dark(ax) == (style == "dark_background")
    for colour in shades:
        light, dark = sorted([canvas.luminance(colour), behind], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= (4.5 if colour == shades[-1] else 3.0), colour


def test_the_pictures_are_those_of_the_pages() -> None:
    steps = [step for page in gallery.pages() for step in gallery.steps(page)]
    pictures = [picture for picture, _ in steps]
    assert len(pictures) == len(set(pictures))
    # those of measurements, made by scripts, are in a folder of their own
    made = {path for path in PICTURES.iterdir() if path.suffix == ".png"}
    assert set(pictures) == made
    for page in gallery.pages():
        above = ""  # a function that draws may stand above an earlier picture
        for picture, code in gallery.steps(page):
            above += code
            assert code, picture
            assert "plot." in above or "plt." in above, picture
    for picture in pictures:
        data = picture.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 120_000


def test_the_guide_shows_every_function_of_plot() -> None:
    steps = gallery.steps(PICTURES.parent / "guide" / "pictures.md")
    functions = {name for name in plot.__all__ if name[0].islower()}
    assert functions <= {name for _, code in steps for name in re.findall(r"plot\.(\w+)", code)}


# Linear RGB as it is seen by those who lack one kind of cone (Machado et al. 2009, severity 1)
VISION = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colour: str, vision: Any) -> Any:
    """CIELAB, under daylight."""
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(vision) @ linear, 0, 1)
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]] @ seen
    t = xyz / [0.9505, 1, 1.089]
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_everybody_can_tell_the_colours_apart(style: str, vision: str) -> None:
    with plt.style.context(style):
        seen = [
            lab(colour, VISION[vision]) for colour in canvas.palette(plt.figure().add_subplot())
        ]
    for i, here in enumerate(seen):
        for there in seen[:i]:
            assert np.linalg.norm(here - there) > 18


# -- learning curves -----------------------------------------------------------------------------


def test_learning_curves_are_the_history() -> None:
    h = history()
    for quantity in ("loss", "accuracy"):
        training, validation = plot.learning_curves(h, quantity).lines
        assert training.get_xdata().tolist() == [1, 2, 3, 4]
        assert training.get_ydata().tolist() == getattr(h, quantity)
        assert validation.get_ydata().tolist() == getattr(h, f"val_{quantity}")
        assert training.get_linestyle() != validation.get_linestyle()
    (alone,) = plot.learning_curves(h, "samples_per_second").lines
    assert alone.get_ydata().tolist() == h.samples_per_second


def test_learning_curves_leave_out_epochs_without_the_figure() -> None:
    h = fastbp.History(epoch=[0, 1, 2, 3], loss=[4.0, 3.0, 2.0, 1.0])
    h.score, h.val_score, h.never = [np.nan, 5.0, np.nan, 6.0], [7.0] * 4, [np.nan] * 4
    training, validation = plot.learning_curves(h, "score").lines
    assert training.get_xdata().tolist() == [2, 4]
    assert training.get_ydata().tolist() == [5.0, 6.0]
    assert validation.get_xdata().tolist() == [1, 2, 3, 4]
    assert len(plot.learning_curves({"a": h}, "never").lines) == 1


def test_learning_curves_of_several() -> None:
    several = {"a": history(2), "b": history(3)}
    ax = plot.learning_curves(several, log=True)
    assert ax.get_yscale() == "log"
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.lines}
    assert drawn["a, training"] == several["a"].loss
    assert drawn["b, validation"] == several["b"].val_loss
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "validation"]


def test_learning_curves_of_several_sets() -> None:
    """Each set's line; a metric whose name ends in another's is none of them."""
    X, y = np.eye(4), np.array([0.0, 1.0, 0.0, 1.0])
    net = fastbp.Network(4, [fastbp.Dense(1, "sigmoid")], seed=0)
    names = ["accuracy", "balanced_accuracy", "auc"]
    trainer = fastbp.Trainer(net, "mse", metrics=names, seed=0)
    sets = {"val": (X, y), "test": (X, 1 - y)}
    h = trainer.fit(X, y, 3, validation_data=sets)
    lines = {line.get_label(): line for line in plot.learning_curves(h, "accuracy").lines}
    assert list(lines) == ["training", "val", "test"]
    assert lines["test"].get_ydata().tolist() == h.test_accuracy
    assert len({line.get_linestyle() for line in lines.values()}) == 3
    lines = {line.get_label(): line for line in plot.learning_curves(h, "auc").lines}
    assert list(lines) == ["val", "test"]
    ax = plot.learning_curves({"a": h, "b": h}, "auc")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "val", "test"]
    with pytest.raises(ValueError, match="quantity must be one that history has"):
        plot.learning_curves(h, "f1")
    for name, label in (("test_auc", "test"), ("val_loss", "val"), ("accuracy", "training")):
        line = plot.learning_curves(h, name).lines[0]
        assert (line.get_label(), list(line.get_ydata())) == (label, h[name])
    (line,) = plot.learning_curves(history(), "val_loss").lines
    assert line.get_label() == "validation"


def test_learning_curves_choose_the_scale() -> None:
    steep = fastbp.History(epoch=[0, 1], loss=[1.0, 1e-3])
    assert plot.learning_curves(steep).get_yscale() == "log"
    assert plot.learning_curves(steep, log=False).get_yscale() == "linear"
    zero = fastbp.History(epoch=[0, 1], loss=[1.0, 0.0])
    assert plot.learning_curves(zero).get_yscale() == "linear"


# -- activations ---------------------------------------------------------------------------------


def test_activation_functions_are_the_kernels() -> None:
    ax = plot.activation_functions(["sigmoid", fastbp.LeakyReLU(0.2)], z_range=(-2, 4))
    lines = {line.get_label(): line for line in ax.lines}
    z = lines["sigmoid"].get_xdata()
    s = 1 / (1 + np.exp(-z))
    assert (z[0], z[-1]) == (-2, 4)
    for label, expected in {
        "sigmoid": s,
        "sigmoid, derivative": s * (1 - s),
        "LeakyReLU(negative_slope=0.2)": np.where(z > 0, z, 0.2 * z),
        "LeakyReLU(negative_slope=0.2), derivative": np.where(z > 0, 1, 0.2),
    }.items():
        np.testing.assert_allclose(lines[label].get_ydata(), expected, rtol=0, atol=1e-14)
    assert len(plot.activation_functions("mish", derivatives=False).lines) == 3  # and the axes


# -- histograms ----------------------------------------------------------------------------------


def test_histograms_count_every_value() -> None:
    net = fastbp.Network(2, [fastbp.Dense(30, "relu"), fastbp.Dense(3, "softmax")], seed=0)
    weights = [w.ravel() for w in net.get_weights() if w.ndim == 2]
    outputs = [a.ravel() for a in net.activations(X)[:-1]]
    for values, ax in [
        (weights, plot.weight_histograms(net, bins=17)),
        (outputs, plot.activation_histograms(net, X, bins=17)),
    ]:
        steps = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
        assert len(steps) == 2
        for row, patch in zip(values, steps, strict=True):
            heights, edges, base = patch.get_data()
            assert len(heights) == 17
            counts = np.histogram(row, edges)[0]
            assert counts.sum() == row.size
            np.testing.assert_allclose(
                (heights - base) / (heights - base).max() * counts.max(), counts
            )
        assert [tick.get_text() for tick in ax.get_yticklabels()] == [
            "hidden 1\nrelu",
            "output\nsoftmax",
        ]
    assert f"{np.mean(outputs[0] == 0):.0%} are 0" in ax.texts[0].get_text()


# -- decision boundary ---------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["sigmoid", "tanh", "softmax"])
def test_decision_regions_are_the_classes(last: str) -> None:
    units = 3 if last == "softmax" else 1
    net = fastbp.Network(2, [fastbp.Dense(6, "tanh"), fastbp.Dense(units, last)], seed=4)
    ids = rng.integers(0, max(2, units), len(X))
    ax = plot.decision_boundary(net, X, ids, resolution=30)
    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    told = mesh.get_array().reshape(30, 30)
    corners = mesh.get_coordinates()
    centres = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    same = net.predict_classes(centres.reshape(-1, 2)).reshape(30, 30)
    assert len(np.unique(told)) > 1
    assert np.mean(told == same) > 0.999  # a cell's middle is known up to rounding
    low, high = ax.get_xlim()
    assert low < X[:, 0].min() < X[:, 0].max() < high
    points = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert len({str(c.get_paths()) for c in points}) == len(points)  # a marker each
    for k, scatter in enumerate(points):
        np.testing.assert_array_equal(scatter.get_offsets(), X[ids == k])


def test_decision_boundary_takes_what_predict_takes() -> None:
    pa = pytest.importorskip("pyarrow")
    net = fastbp.Network(2, [fastbp.Dense(2, "softmax")], seed=0)
    columns = {"a": X[:, 0], "b": X[:, 1] > 0}
    ids = pa.chunked_array([pa.array(y[:10]), pa.array(y[10:])])
    ax = plot.decision_boundary(net, pa.table(columns), ids, resolution=30)
    points = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections[-2:]])
    expected = np.column_stack([*columns.values()])
    order = np.argsort(y, kind="stable")
    np.testing.assert_array_equal(points, expected[order])
    with pytest.raises(ValueError, match=r"^y has a missing value \(in row 1\)"):
        plot.decision_boundary(net, X[:2], [0, None])
    with pytest.raises(
        TypeError, match=r"^y must hold real numbers, .*: turn text labels into ids"
    ):
        plot.decision_boundary(net, X[:2], ["a", "b"])


def test_decision_boundary_is_where_the_probability_is_a_half() -> None:
    net = binary()
    ax = plot.decision_boundary(net, X, resolution=150)
    lines = [
        path.vertices
        for c in ax.collections
        for path in c.get_paths()
        if not isinstance(c, QuadMesh)
    ]
    vertices = np.concatenate([v for v in lines if len(v)])
    assert len(vertices) > 50
    assert np.abs(net.predict(vertices) - 0.5).max() < 1e-3


# -- the diagram ---------------------------------------------------------------------------------


def segments(ax: Any) -> list[LineCollection]:
    return [c for c in ax.collections if isinstance(c, LineCollection)]


def test_diagram_has_every_unit_weight_and_bias_by_its_name() -> None:
    ax = plot.network(textbook(), values=True)
    texts = [text.get_text() for text in ax.texts]
    assert {"i1", "i2", "h1", "h2", "o1", "o2", "b1", "b2", "0.35", "0.60"} <= set(texts)
    assert {"w1 = 0.15", "w2 = 0.20", "w3 = 0.25", "w7 = −0.50", "w8 = 0.55"} <= set(texts)
    # the lines of w5 … w8, then of b2 to both outputs
    _, lines = segments(ax)
    widths, styles = lines.get_linewidths(), lines.get_linestyles()
    assert len(lines.get_segments()) == 6
    assert widths[3] > widths[2] > widths[1] > widths[0]
    assert [style[1] is not None for style in styles] == [False, False, True, False, False, False]
    colours = lines.get_colors()
    assert not np.array_equal(colours[2], colours[0])
    np.testing.assert_array_equal(colours[3], colours[0])


def test_diagram_of_wide_and_deep_networks_is_small() -> None:
    layers = [fastbp.Dense(128, "relu"), fastbp.Dense(10, "softmax")]
    ax = plot.network(fastbp.Network(784, layers, seed=0))
    texts = [text.get_text() for text in ax.texts]
    assert len(ax.get_children()) < 50
    assert {"i1", "i784", "h128", "o10", "⋮\n777 more", "⋮\n121 more"} <= set(texts)
    assert "inputs\n784" in texts
    deep = fastbp.Network(3, [fastbp.Dense(3, "tanh") for _ in range(40)], seed=0)
    ax = plot.network(deep)
    assert "…\n35 more\nlayers" in [text.get_text() for text in ax.texts]
    assert len(segments(ax)) == 4


@pytest.mark.parametrize("size", [(3.2, 2.4), (4.8, 3.6), (12.0, 8.0)])
@pytest.mark.parametrize("kind", ["textbook", "biases", "wide", "deep"])
def test_diagram_overlaps_nowhere(size: tuple[float, float], kind: str) -> None:
    nets = {
        "textbook": textbook(),
        "biases": fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(2)], seed=0),
        "wide": fastbp.Network(784, [fastbp.Dense(128, "relu"), fastbp.Dense(10)], seed=0),
        "deep": fastbp.Network(3, [fastbp.Dense(12, "tanh") for _ in range(9)], seed=0),
    }
    figure = plt.figure(figsize=size)
    ax = plot.network(nets[kind], values=True, ax=figure.add_axes((0.0, 0.0, 1.0, 1.0)))
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts]
    assert len(boxes) > 5
    for i, (name, box) in enumerate(boxes):
        assert figure.bbox.contains(box.x0, box.y0), name
        assert figure.bbox.contains(box.x1, box.y1), name
        for other, there in boxes[:i]:
            assert not box.overlaps(there), (name, other)
    (units, *_) = (c for c in ax.collections if isinstance(c, PathCollection))
    diameter = np.sqrt(units.get_sizes()[0]) * figure.dpi / 72
    for name, box in boxes:
        if name[0] in "ioh" and "\n" not in name:
            assert box.width < diameter, name


# -- mistakes ------------------------------------------------------------------------------------

NET3 = fastbp.Network(3, [fastbp.Dense(1)], seed=0)


@pytest.mark.parametrize(
    ("error", "call", "words"),
    [
        (TypeError, lambda: plot.learning_curves([1.0]), "history must be a fastbp.History"),
        (ValueError, lambda: plot.learning_curves({}), "history must hold at least one"),
        (ValueError, lambda: plot.learning_curves(fastbp.History()), "quantity must be one that"),
        (ValueError, lambda: plot.learning_curves(history(), "f1"), "'accuracy'.*, got 'f1'"),
        (TypeError, lambda: plot.learning_curves(history(), log=1), "log must be True"),
        (TypeError, lambda: plot.network("net"), "network must be a fastbp.Network, got str"),
        (TypeError, lambda: plot.network(NET3, values=1), "values must be True or False, got 1"),
        (ValueError, lambda: plot.network(NET3, most_units=2), "most_units must be an int in"),
        (ValueError, lambda: plot.decision_boundary(NET3, X), "network must have 2 inputs.* got 3"),
        (ValueError, lambda: plot.decision_boundary(binary(), X[:, :1]), "X must have as many"),
        (ValueError, lambda: plot.decision_boundary(binary(), X, y[:3]), "y must have shape"),
        (ValueError, lambda: plot.decision_boundary(binary(), X, y + 1), "y must hold class ids"),
        (TypeError, lambda: plot.decision_boundary(binary(), X, ["a"] * 60), "y must hold real"),
        (ValueError, lambda: plot.decision_boundary(binary(), X, y, classes=["a"]), "2 names"),
        (ValueError, lambda: plot.activation_functions("softmax"), "'softmax'"),
        (ValueError, lambda: plot.activation_functions("relo"), "did you mean 'relu'"),
        (ValueError, lambda: plot.activation_functions([]), "activations must name at least"),
        (ValueError, lambda: plot.activation_functions(z_range=(1, 1)), r"z_range\[1\] must be"),
        (TypeError, lambda: plot.activation_functions(z_range=5), "z_range must be a pair"),
        (ValueError, lambda: plot.weight_histograms(NET3, bins=0), "bins must be an int"),
        (ValueError, lambda: plot.activation_histograms(NET3, X), "X must have as many features"),
    ],
)
def test_mistakes_are_told_before_anything_is_drawn(
    error: type[Exception], call: Any, words: str
) -> None:
    with pytest.raises(error, match=words):
        call()
    assert plt.get_fignums() == []

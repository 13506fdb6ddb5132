"""Bad input: one clear error each, before any state changes.

Every message names the argument, what it takes and what it got. After each case, the weights are
bit for bit what they were, and so is everything that later training depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp

rng = np.random.default_rng(0)
N = 6
X = rng.standard_normal((N, 3))
IDS = np.array([0, 1, 2, 2, 1, 0])
ONE_HOT = np.eye(3)[IDS]
NUMBERS = rng.standard_normal((N, 2))
CHANCES = rng.random((N, 2))


def build(kind: str) -> fastbp.Trainer:
    """A trainer in the middle of its work: weights, slots and epoch are not the initial ones."""
    units, activation = {"classes": (3, "softmax"), "chances": (2, "sigmoid")}.get(
        kind, (2, "linear")
    )
    loss = {"classes": "cross_entropy", "chances": "binary_cross_entropy"}.get(kind, "mse")
    layers = [fastbp.Dense(4, "tanh"), fastbp.Dense(units, activation)]
    net = fastbp.Network(3, layers, seed=1)
    trainer = fastbp.Trainer(net, loss, fastbp.Adam(0.01), batch_size=4, seed=2)
    trainer.fit(X, GOOD[kind])
    return trainer


GOOD = {"classes": IDS, "chances": CHANCES, "numbers": NUMBERS}


@pytest.fixture(scope="module")
def trainers() -> dict[str, fastbp.Trainer]:
    """Shared by all cases, which is part of the test: none of them may leave a trace."""
    return {kind: build(kind) for kind in GOOD}


def refused(
    trainer: fastbp.Trainer, call: Callable[[], object], error: type[Exception], message: str
) -> None:
    before = [w.tobytes() for w in trainer.network.get_weights()]
    rate = trainer.learning_rate
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error
    assert [w.tobytes() for w in trainer.network.get_weights()] == before
    assert trainer.learning_rate == rate


def put(a: np.ndarray, place: Any, value: Any) -> np.ndarray:
    """A copy of `a` with one value exchanged."""
    a = np.array(a)
    a[place] = value
    return a


# ---------------------------------------------------------------- samples, targets, weights

# what is wrong: (kind of trainer, arguments that replace the good ones, error, message)
DATA: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "too few features": ("classes", {"X": X[:, :2]}, ValueError, "X must .* inputs, 3, got 2"),
    "too many features": ("classes", {"X": np.ones((N, 4))}, ValueError, "X must .*, 3, got 4"),
    "scalars": ("classes", {"X": X[:, 0]}, ValueError, r"X must .*, 3, got 1: shape \(6,\)"),
    "y shorter": ("classes", {"y": IDS[:-1]}, ValueError, "y must .* 6 samples, got 5 rows"),
    "y longer": ("numbers", {"y": np.ones((7, 2))}, ValueError, "y must .* 6 samples, got 7 rows"),
    "empty": ("classes", {"X": X[:0], "y": IDS[:0]}, ValueError, "X must have at least one sample"),
    "empty lists": ("classes", {"X": [], "y": []}, ValueError, "X must have at least one sample"),
    "a single number": ("numbers", {"X": 1.0}, ValueError, "X must .*, got the single number 1"),
    "NaN in X": ("classes", {"X": put(X, (4, 1), np.nan)}, ValueError,
                 "X must hold finite .*, got nan at row 4, feature 1"),
    "Inf in X": ("numbers", {"X": put(X, (5, 0), -np.inf)}, ValueError,
                 "X must hold finite .*, got -inf at row 5, feature 0"),
    "beyond float32": ("classes", {"X": put(X, (2, 2), 1e39)}, ValueError,
                       r"X must .* fit float32, got 1e\+39 at row 2, feature 2"),
    "target beyond float32": ("numbers", {"y": put(NUMBERS, (3, 1), -1e39)}, ValueError,
                              r"y must .* fit float32, got -1e\+39 at row 3, output 1"),
    "NaN in y": ("numbers", {"y": put(NUMBERS, (3, 1), np.nan)}, ValueError,
                 "y must hold finite .*, got nan at row 3, output 1"),
    "Inf in y": ("chances", {"y": put(CHANCES, (3, 1), np.inf)}, ValueError,
                 "y must hold finite .*, got inf at row 3, output 1"),
    "chance above 1": ("chances", {"y": put(CHANCES, (1, 0), 1.5)}, ValueError,
                       "y must .* from 0 to 1, got 1.5 at row 1, output 0"),
    "chance below 0": ("chances", {"y": put(CHANCES, (1, 0), -0.5)}, ValueError,
                       "y must .* from 0 to 1, got -0.5 at row 1, output 0"),
    "label negative": ("classes", {"y": put(IDS, 2, -1)}, ValueError,
                       "y must hold class ids from 0 to 2, got -1 at row 2"),
    "label too great": ("classes", {"y": put(IDS, 2, 3)}, ValueError,
                        "y must hold class ids from 0 to 2, got 3 at row 2"),
    "label fractional": ("classes", {"y": put(IDS * 1.0, 2, 0.5)}, ValueError,
                         "y must hold class ids from 0 to 2, got 0.5 at row 2"),
    "label NaN": ("classes", {"y": put(IDS * 1.0, 2, np.nan)}, ValueError,
                  "y must hold class ids from 0 to 2, got nan at row 2"),
    "label of text": ("classes", {"y": ["cat", "dog", "eel"] * 2}, TypeError,
                      "y must hold real numbers, got dtype <U3: turn text labels into ids"),
    "one-hot too narrow": ("classes", {"y": np.eye(2)[IDS % 2]}, ValueError,
                           r"y must .* shape \(6, 3\), got shape \(6, 2\)"),
    "one-hot too wide": ("classes", {"y": np.eye(4)[IDS]}, ValueError,
                         r"y must .* shape \(6, 3\), got shape \(6, 4\)"),
    "targets too narrow": ("numbers", {"y": NUMBERS[:, :1]}, ValueError,
                           r"y must have shape \(6, 2\), got shape \(6, 1\)"),
    "targets flat": ("numbers", {"y": NUMBERS[:, 0]}, ValueError,
                     r"y must have shape \(6, 2\), got shape \(6,\)"),
    "sum above 1": ("classes", {"y": put(ONE_HOT, (3, 0), 0.5)}, ValueError,
                    "y must .* sum to 1 within 0.001, got a sum of 1.5 at row 3"),
    "sum below 1": ("classes", {"y": put(ONE_HOT, 5, 0.33)}, ValueError,
                    "y must .* sum to 1 within 0.001, got a sum of 0.99 at row 5"),
    "probability negative": ("classes", {"y": put(ONE_HOT, 4, [-0.5, 1.5, 0])}, ValueError,
                             "y must hold class probabilities >= 0, got -0.5 at row 4, class 0"),
    "weight negative": ("classes", {"sample_weight": put(np.ones(N), 3, -1)}, ValueError,
                        "sample_weight must hold .* >= 0 .*, got -1.0 at row 3"),
    "weight NaN": ("classes", {"sample_weight": put(np.ones(N), 3, np.nan)}, ValueError,
                   "sample_weight must hold finite .*, got nan at row 3"),
    "weight Inf": ("numbers", {"sample_weight": put(np.ones(N), 0, np.inf)}, ValueError,
                   "sample_weight must hold finite .*, got inf at row 0"),
    "weights all zero": ("classes", {"sample_weight": np.zeros(N)}, ValueError,
                         "sample_weight must hold a weight above 0"),
    "weights too few": ("classes", {"sample_weight": np.ones(N - 1)}, ValueError,
                        "sample_weight must .* 6 samples, got 5 rows"),
    "weights in a column": ("classes", {"sample_weight": np.ones((N, 1))}, ValueError,
                            r"sample_weight must have shape \(6,\), got shape \(6, 1\)"),
    "ragged X": ("classes", {"X": [[1, 2, 3], [4, 5]]}, ValueError, "X must .* equal length"),
    "ragged y": ("numbers", {"y": [[1, 2]] * 5 + [[1]]}, ValueError, "y must .* equal length"),
    "masked X": ("classes", {"X": np.ma.masked_less(X, 0)}, ValueError, "X has .* missing values"),
}  # fmt: skip
for dtype in ("complex128", "<U8", "|S8", "datetime64[s]", "timedelta64[s]"):
    # through int64, which every one of them can be made from
    for name, good in (("X", np.ones((N, 3), int)), ("y", IDS), ("sample_weight", np.ones(N, int))):
        message = rf"^{name} must hold real numbers, got dtype {dtype}".replace("|", r"\|")
        DATA[f"{name} of {dtype}"] = (
            "classes", {name: good.astype(dtype)}, TypeError, message.replace("[s]", r"\[s\]")
        )  # fmt: skip

METHODS = ("fit", "step", "gradients", "evaluate", "validation")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", DATA)
def test_bad_data(trainers, case, method):
    kind, changed, error, message = DATA[case]
    trainer = trainers[kind]
    args = {"X": X, "y": GOOD[kind], **changed}
    if method == "validation":
        data, message = tuple(args.values()), message.replace("^", "^validation_data's ")
        refused(trainer, lambda: trainer.fit(X, GOOD[kind], validation_data=data), error, message)
    else:
        refused(trainer, lambda: getattr(trainer, method)(**args), error, message)


@pytest.mark.parametrize("method", ["predict", "predict_classes", "activations"])
@pytest.mark.parametrize("case", [case for case in DATA if list(DATA[case][1]) == ["X"]])
def test_bad_data_for_the_network_alone(trainers, case, method):
    kind, changed, error, message = DATA[case]
    net = trainers[kind].network
    refused(trainers[kind], lambda: getattr(net, method)(changed["X"]), error, message)


# ---------------------------------------------------------------- settings


def network(*layers: fastbp.Dense, **options: Any) -> fastbp.Network:
    return fastbp.Network(3, list(layers) or [fastbp.Dense(3, "softmax")], seed=0, **options)


def trainer_of(**options: Any) -> fastbp.Trainer:
    return fastbp.Trainer(**{"network": network(), "loss": "cross_entropy", **options})


def weights(index: int, value: Any) -> list[Any]:
    """Good weights for the trainers' networks but for one array."""
    good: list[Any] = [np.zeros((3, 4)), np.zeros(4), np.zeros((4, 3)), np.zeros(3)]
    good[index] = value
    return good


ACTIVATIONS = "one of .*'linear'.*'sigmoid'.*'tanh'.*'relu'.*'softmax'.*"
Call = Callable[[fastbp.Trainer], object]
# what is wrong: (a call with a trainer on class ids, error, message)
MASKED: Any = np.ma.array(np.ones((3, 2)), mask=[[0, 1], [1, 0], [1, 0]])
SETTINGS: dict[str, tuple[Call, type[Exception], str]] = {
    "batch_size 0": (lambda t: trainer_of(batch_size=0), ValueError,
                     "batch_size must be an int >= 1, None or 'auto', got 0"),
    "batch_size negative": (lambda t: trainer_of(batch_size=-8), ValueError,
                            "batch_size must be an int >= 1, None or 'auto', got -8"),
    "batch_size float": (lambda t: trainer_of(batch_size=8.0), TypeError,
                         "batch_size must be an int >= 1, None or 'auto', got 8.0 of type float"),
    "batch_size bool": (lambda t: trainer_of(batch_size=True), TypeError, "got True of type bool"),
    "epochs negative": (lambda t: t.fit(X, IDS, epochs=-1), ValueError,
                        "epochs must be an int >= 0, got -1"),
    "epochs float": (lambda t: t.fit(X, IDS, epochs=1.5), TypeError,
                     "epochs must be an int >= 0, got 1.5 of type float"),
    "activation unknown": (lambda t: fastbp.Dense(3, "sigmod"), ValueError,
                           f"activation must be {ACTIVATIONS}, got 'sigmod' .*'sigmoid'"),
    "activation no name": (lambda t: fastbp.Dense(3, 7), TypeError, "activation .* got 7 of type"),
    "loss unknown": (lambda t: trainer_of(loss="crosentropy"), ValueError,
                     "loss must be one of .*'mse'.*, got 'crosentropy' .*'cross_entropy'"),
    "loss no loss": (lambda t: trainer_of(loss=7), TypeError, "loss must be .*, got int"),
    "optimizer unknown": (lambda t: trainer_of(optimizer="adan"), ValueError,
                          "optimizer must be one of .*'sgd'.*'adam'.*, got 'adan' .*'adam'"),
    "optimizer a class": (lambda t: trainer_of(optimizer=fastbp.Adam), TypeError,
                          "optimizer must be"),
    "cross-entropy without softmax": (
        lambda t: fastbp.Trainer(network(fastbp.Dense(3, "sigmoid")), "cross_entropy"),
        ValueError, "'cross_entropy' takes .* 'softmax', got 'sigmoid'"),
    "binary cross-entropy without sigmoid": (
        lambda t: fastbp.Trainer(network(fastbp.Dense(1)), fastbp.BinaryCrossEntropy()),
        ValueError, "'binary_cross_entropy' takes .* 'sigmoid', got 'linear'"),
    "network no network": (lambda t: trainer_of(network=3), TypeError, "network must .*, got int"),
    "units 0": (lambda t: fastbp.Dense(0), ValueError, r"units must be an int .*1.*, got 0"),
    "units float": (lambda t: fastbp.Dense(3.0), TypeError, "units must be an int .*, got 3.0"),
    "bias unknown": (lambda t: fastbp.Dense(3, bias="layer"), ValueError,
                     "bias must be True, 'shared' or False, got 'layer'"),
    "initializer unknown": (lambda t: fastbp.Dense(3, kernel_initializer="he"), ValueError,
                            "kernel_initializer must be one of .*'he_uniform'.*, got 'he'"),
    "n_inputs 0": (lambda t: fastbp.Network(0, [fastbp.Dense(1)]), ValueError,
                   r"n_inputs must be an int .*1.*, got 0"),
    "no layers": (lambda t: fastbp.Network(3, []), ValueError, "layers must .*, got an empty list"),
    "layers no list": (lambda t: fastbp.Network(3, fastbp.Dense(1)), TypeError,
                       "layers must be a list of fastbp.Dense, got Dense"),
    "layers of numbers": (lambda t: fastbp.Network(3, [4, 3]), TypeError,
                          r"layers\[0\] must be a fastbp.Dense, got int"),
    "dtype unknown": (lambda t: network(dtype="float16"), ValueError,
                      "dtype must be one of 'float32', 'float64', got 'float16'"),
    "dtype integer": (lambda t: network(dtype=np.int32), TypeError,
                      "dtype must be one of 'float32', 'float64', got"),
    "seed negative": (lambda t: trainer_of(seed=-1), ValueError, r"seed must be .*, got -1"),
    "seed float": (lambda t: trainer_of(seed=0.5), TypeError, "seed must be an int .*, got 0.5"),
    "n_threads 0": (lambda t: trainer_of(n_threads=0), ValueError, "n_threads must be .*, got 0"),
    "n_threads unknown": (lambda t: trainer_of(n_threads="all"), TypeError,
                          "n_threads must be .*, got 'all'"),
    "shuffle text": (lambda t: trainer_of(shuffle="yes"), TypeError,
                     "shuffle must be True or False, got 'yes'"),
    "on_divergence unknown": (lambda t: trainer_of(on_divergence="go on"), ValueError,
                              "on_divergence must be one of 'raise', 'stop', 'reduce', 'ignore'"),
    "SGD rate NaN": (lambda t: fastbp.SGD(np.nan), ValueError,
                     r"learning_rate must be in \[0, inf\), got nan"),
    "SGD rate negative": (lambda t: fastbp.SGD(-0.1), ValueError,
                          r"learning_rate must be in \[0, inf\), got -0.1"),
    "Adam rate NaN": (lambda t: fastbp.Adam(float("nan")), ValueError, "learning_rate .* got nan"),
    "Adam rate negative": (lambda t: fastbp.Adam(-1), ValueError, "learning_rate .* got -1"),
    "Adam rate infinite": (lambda t: fastbp.Adam(np.inf), ValueError, "learning_rate .* got inf"),
    "Adam rate text": (lambda t: fastbp.Adam("0.1"), TypeError, "learning_rate .* got '0.1'"),
    "rate set NaN": (lambda t: setattr(t, "learning_rate", np.nan), ValueError,
                     "learning_rate must .*, got nan"),
    "rate set negative": (lambda t: setattr(t, "learning_rate", -1.0), ValueError,
                          "learning_rate must .*, got -1.0"),
    "momentum 1": (lambda t: fastbp.SGD(momentum=1.0), ValueError,
                   r"momentum must be in \[0, 1\), got 1.0"),
    "Nesterov alone": (lambda t: fastbp.SGD(nesterov=True), ValueError, "momentum > 0, got 0"),
    "weight_decay negative": (lambda t: fastbp.Adam(weight_decay=-1.0), ValueError,
                              r"weight_decay must be in \[0, inf\), got -1.0"),
    "beta 1": (lambda t: fastbp.Adam(beta_2=1.0), ValueError, r"beta_2 must be in \[0, 1\), got 1"),
    "epsilon 0": (lambda t: fastbp.Adam(epsilon=0.0), ValueError,
                  r"epsilon must be in \(0, inf\), got 0.0"),
    "validation of other width": (
        lambda t: t.fit(X, IDS, validation_data=(X[:, :2], IDS)), ValueError,
        "validation_data's X must .* 3, got 2"),
    "validation no pair": (lambda t: t.fit(X, IDS, validation_data=X), TypeError,
                           r"validation_data must be \(X, y\).*, got ndarray"),
    "validation of one": (lambda t: t.fit(X, IDS, validation_data=(X,)), TypeError,
                          r"validation_data must be \(X, y\).*, got .*1"),
    "split 1": (lambda t: t.fit(X, IDS, validation_split=1.0), ValueError,
                r"validation_split must be in \[0, 1\), got 1.0"),
    "split negative": (lambda t: t.fit(X, IDS, validation_split=-0.1), ValueError,
                       r"validation_split must be in \[0, 1\), got -0.1"),
    "split of nothing": (lambda t: t.fit(X, IDS, validation_split=0.01), ValueError,
                         "validation_split=0.01 of 6 samples leaves none"),
    "split twice": (lambda t: t.fit(X, IDS, validation_split=0.5, validation_data=(X, IDS)),
                    ValueError, "validation_data or validation_split, not both"),
    "split of ragged X": (lambda t: t.fit([[1, 2, 3], [4]], IDS[:2], validation_split=0.5),
                          ValueError, "X must .* equal length"),
    "split of a number": (lambda t: t.fit(X, 1.0, validation_split=0.5), ValueError,
                          "y must .*, got the single number 1.0"),
    "split of a weight": (lambda t: t.fit(X, IDS, sample_weight=1.0, validation_split=0.5),
                          ValueError, "sample_weight must .*, got the single number 1.0"),
    "split of a shorter y": (lambda t: t.fit(X, IDS[:-1], validation_split=0.5), ValueError,
                             "y must .* 6 samples, got 5 rows"),
    "split of a longer y": (lambda t: t.fit(X[:-1], IDS, validation_split=0.4), ValueError,
                            "y must .* 5 samples, got 6 rows"),
    "progress no function": (lambda t: t.fit(X, IDS, progress=7), TypeError,
                             "progress must be .*, got 7"),
    "weights too few": (lambda t: t.network.set_weights([np.zeros((3, 4))]), ValueError,
                        "weights must .* 4 arrays.*, got 1"),
    "weights no list": (lambda t: t.network.set_weights(3.0), TypeError,
                        "weights must be a list of arrays, got float"),
    "weight shape": (lambda t: t.network.set_weights(weights(0, np.zeros((4, 3)))), ValueError,
                     r"\(3, 4\), got .*\(4, 3\)"),
    "bias shape": (lambda t: t.network.set_weights(weights(3, np.zeros((1, 3)))), ValueError,
                   r"\(3,\), got .*\(1, 3\)"),
    "weights complex": (lambda t: t.network.set_weights(weights(2, np.zeros((4, 3), complex))),
                        TypeError, r"weights\[2\] .*must .*, got dtype complex128"),
    "weights of text": (lambda t: t.network.set_weights(weights(1, ["a"] * 4)), TypeError,
                        r"weights\[1\] .*must .*, got dtype <U1"),
    "weights ragged": (lambda t: t.network.set_weights(weights(0, [[1, 2], [3]])), ValueError,
                       r"weights\[0\] .*must .*shape \(3, 4\)"),
    "weights masked": (lambda t: t.network.set_weights(weights(3, MASKED[:, 0])), ValueError,
                       r"weights\[3\] .*must have all of its values, got 2 that are masked"),
    "initial weights masked": (lambda t: fastbp.Dense(2, kernel_initializer=MASKED), ValueError,
                               "kernel_initializer must have all .*, got 3 that are masked"),
    "weights NaN": (lambda t: t.network.set_weights(weights(3, [0, np.nan, 0])), ValueError,
                    r"weights\[3\] .*must .*finite.*, got nan"),
    "weights Inf": (lambda t: t.network.set_weights(weights(3, [0, np.inf, 0])), ValueError,
                    r"weights\[3\] .*must .*finite.*, got inf"),
    "weights beyond float32": (lambda t: t.network.set_weights(weights(3, [0, 1e39, 0])),
                               ValueError, r"weights\[3\] .*must .*float32, got 1e\+39"),
    "out of another shape": (lambda t: t.network.predict(X, out=np.empty((N, 2), np.float32)),
                             ValueError, r"out must .*\(6, 3\), got .*\(6, 2\)"),
    "out of another dtype": (lambda t: t.network.predict(X, out=np.empty((N, 3))), ValueError,
                             "out must .* float32 .*, got float64"),
    "out no array": (lambda t: t.network.predict(X, out=[]), TypeError, "out must .*, got list"),
    "predict n_threads 0": (lambda t: t.network.predict(X, n_threads=0), ValueError,
                            "n_threads must be .*, got 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_bad_settings(trainers, case):
    call, error, message = SETTINGS[case]
    trainer = trainers["classes"]
    refused(trainer, lambda: call(trainer), error, message)


# ---------------------------------------------------------------- no trace


@pytest.mark.parametrize("kind", GOOD)
def test_training_goes_on_as_if_nothing_had_happened(kind):
    """Weights, slots, epoch and shuffling are those of a trainer that saw no bad input."""
    tried, control = build(kind), build(kind)
    for case_kind, changed, error, _ in DATA.values():
        if case_kind == kind:
            with pytest.raises(error):
                tried.fit(**{"X": X, "y": GOOD[kind], **changed})
            with pytest.raises(error):
                tried.step(**{"X": X, "y": GOOD[kind], **changed})
    if kind == "classes":
        for call, error, _ in SETTINGS.values():
            with pytest.raises(error):
                call(tried)
    histories = [trainer.fit(X, GOOD[kind], epochs=3) for trainer in (tried, control)]
    assert histories[0].loss == histories[1].loss
    assert histories[0].epoch == histories[1].epoch
    for got, expected in zip(
        tried.network.get_weights(), control.network.get_weights(), strict=True
    ):
        assert got.tobytes() == expected.tobytes()


# ---------------------------------------------------------------- memory maps


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("which", ["X", "y"])
def test_bad_values_in_a_memory_map_stop_training_at_the_last_finished_update(
    tmp_path: Path, which, bad
):
    def start() -> fastbp.Trainer:
        net = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(2)], seed=1)
        return fastbp.Trainer(net, "mse", batch_size=2, shuffle=False)

    data = {"X": X, "y": NUMBERS}
    mapped = np.memmap(tmp_path / which, np.float64, "w+", shape=data[which].shape)
    mapped[:] = data[which]
    mapped[5, 1] = bad  # in the third batch of two
    trainer, control = start(), start()
    for method in (trainer.step, trainer.gradients, trainer.evaluate):
        call = lambda method=method: method(**{**data, which: mapped})  # noqa: E731
        refused(trainer, call, ValueError, f"{which} holds a value that is not finite in float32")
    with pytest.raises(ValueError, match=f"{which} holds a value that is not finite"):
        trainer.fit(**{**data, which: mapped})
    control.fit(X[:4], NUMBERS[:4])
    for got, expected in zip(
        trainer.network.get_weights(), control.network.get_weights(), strict=True
    ):
        assert got.tobytes() == expected.tobytes()

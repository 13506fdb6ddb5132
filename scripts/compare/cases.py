"""What is trained: the cases, their data and weights, and the NumPy forward pass that judges."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

HIDDEN = ("relu", "tanh", "sigmoid", "linear")
OUTPUT = {"mse": ("linear", "sigmoid", "tanh", "relu"), "ce": ("softmax",)}
OPTIMIZERS = ("sgd", "adam")
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    """One network, loss and optimizer on `n` samples; `batch` is at most `n`."""

    name: str
    widths: tuple[int, ...]
    hidden: str
    output: str
    loss: str
    batch: int
    optimizer: str
    n: int
    dtype: str = "float32"
    learning_rate: float = 1e-3

    @property
    def flops(self) -> int:
        """Floating point operations a sample: forward, dW, and dX of all but the first layer."""
        products = [i * o for i, o in pairwise(self.widths)]
        return 2 * (3 * sum(products) - products[0])

    @property
    def forward_flops(self) -> int:
        """Floating point operations of predicting a sample."""
        return 2 * sum(i * o for i, o in pairwise(self.widths))

    def __str__(self) -> str:
        widths = "-".join(map(str, self.widths))
        return (
            f"{widths} {self.hidden}/{self.output} {self.loss}, batch {self.batch}, "
            f"{self.optimizer}, {self.dtype}, {self.n:,} samples"
        )


def parse(spec: str, name: str) -> Case:
    """A `Case` from ``widths:hidden[/output]:loss:batch:optimizer[:n=…][:dtype=…][:lr=…]``.

    The output is linear for mse and softmax for ce unless it is named; a batch of ``full`` is the
    whole set.

    Raises
    ------
    ValueError
        If a part is missing or not one of the names above.
    """
    try:
        widths_text, activations, loss, batch_text, optimizer, *rest = spec.split(":")
        widths = tuple(map(int, widths_text.split("-")))
        options = dict(part.split("=") for part in rest)
        n = int(options.pop("n", 32768))
        dtype = options.pop("dtype", "float32")
        learning_rate = float(options.pop("lr", 1e-3))
        batch = n if batch_text == "full" else min(n, int(batch_text))
    except ValueError as error:
        raise ValueError(f"case {spec!r}: {error}") from None
    hidden, _, output = activations.partition("/")
    output = output or OUTPUT.get(loss, ("",))[0]
    for what, got, allowed in (
        ("hidden activation", hidden, HIDDEN),
        ("loss", loss, tuple(OUTPUT)),
        ("output activation", output, OUTPUT.get(loss, ())),
        ("optimizer", optimizer, OPTIMIZERS),
        ("dtype", dtype, DTYPES),
        ("option", next(iter(options), "n"), ("n", "dtype", "lr")),
    ):
        if got not in allowed:
            raise ValueError(f"case {spec!r}: {what} {got!r} is none of {', '.join(allowed)}")
    if len(widths) < 2 or min(*widths, n, batch) < 1 or (loss == "ce" and widths[-1] < 2):
        raise ValueError(f"case {spec!r}: widths, batch or n are too few or too small")
    return Case(name, widths, hidden, output, loss, batch, optimizer, n, dtype, learning_rate)


STANDARD = {
    "A": "2-2-2:sigmoid/sigmoid:mse:1:sgd:n=20000",
    "B": "4-16-3:tanh:ce:16:sgd:n=40960",
    "C": "16-64-64-1:relu:mse:64:adam:n=32768",
    "D": "4-32-16-4:tanh:mse:512:adam:n=65536",
    "E": "784-128-10:relu:ce:128:sgd:n=16384",
    "F": "784-512-512-10:relu:ce:128:adam:n=8192",
    "G": "64-64-64-64-64-64:relu:mse:16384:adam:n=65536",
    "H": "1024-1024-1024-1024:relu:mse:1024:sgd:n=4096",
}


def data(case: Case) -> tuple[Array, npt.NDArray[np.generic]]:
    """Inputs `(n, d)` and a learnable target: classes `(n,)` for ce, `(n, k)` otherwise."""
    rng = np.random.default_rng(1)
    d, k = case.widths[0], case.widths[-1]
    X = rng.standard_normal((case.n, d), dtype=np.float32).astype(case.dtype, copy=False)
    z = X @ (rng.standard_normal((d, k)) / np.sqrt(d)).astype(case.dtype)
    if case.loss == "ce":
        return X, z.argmax(axis=1)
    return X, (1 + np.tanh(z)) / 2  # within the range of every output activation


def glorot(case: Case) -> list[Array]:
    """``[W0, b0, W1, b1, …]``: Glorot uniform weights `(n_in, n_out)`, zero biases."""
    rng = np.random.default_rng(2)
    arrays: list[Array] = []
    for i, o in pairwise(case.widths):
        limit = np.sqrt(6 / (i + o))
        arrays += [rng.uniform(-limit, limit, (i, o)).astype(case.dtype), np.zeros(o, case.dtype)]
    return arrays


def outputs_of(case: Case, weights: list[Array], X: Array) -> npt.NDArray[np.float64]:
    """The outputs in float64, by none of the peers; of a softmax the logits."""
    f = {
        "linear": lambda z: z,
        "softmax": lambda z: z,
        "relu": lambda z: np.maximum(z, 0),
        "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    }
    a = X.astype(np.float64)
    for layer in range(len(case.widths) - 1):
        z = a @ weights[2 * layer].astype(np.float64) + weights[2 * layer + 1]
        a = f[case.hidden if layer < len(case.widths) - 2 else case.output](z)
    return a


def log_softmax(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log p of a row of logits."""
    z = z - z.max(axis=1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))


def loss_of(case: Case, weights: list[Array], X: Array, y: npt.NDArray[np.generic]) -> float:
    """The mean loss of the whole set, in float64 and by none of the peers."""
    total = 0.0
    for start in range(0, case.n, 8192):
        a = outputs_of(case, weights, X[start : start + 8192])
        t = y[start : start + 8192]
        if case.loss == "ce":
            total -= log_softmax(a)[np.arange(len(t)), t].sum()
        else:
            total += ((a - t) ** 2).mean(axis=1).sum()
    return float(total / case.n)


def distance(case: Case, outputs: Array) -> float:
    """The largest difference of outputs, of the first samples by the first weights, to NumPy's."""
    X, weights = data(case)[0][: len(outputs)], glorot(case)
    expected = outputs_of(case, weights, X)
    if case.output == "softmax":
        expected = np.exp(log_softmax(expected))
    return float(np.max(np.abs(outputs.reshape(expected.shape) - expected)))

"""Backpropagation in plain NumPy, a formula a line: what the compiled kernels must match.

Parameters are lists ``[W0, b0, W1, b1, …]``, as ``Network.get_weights`` returns them: ``W`` is
(i, o), ``b`` is (o,), (1,) where a layer shares one bias, and absent where it has none. All
arithmetic is done in the dtype of the weights. Sizes: b samples of a batch, i inputs of a layer,
o its units, k outputs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


class Layer(NamedTuple):
    """What this file reads of a layer; a ``fastbp.Dense`` will do as well."""

    units: int
    activation: str = "linear"
    bias: bool | str = True


# ------------------------------------------------------------------------------ activations


def softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    e[np.arange(len(e)), z.argmax(axis=1)] = 0  # in place of 1, in whose sum the others would drown
    return z - np.log1p(e.sum(axis=1, keepdims=True))


def softmax(z: Array) -> Array:
    return np.exp(log_softmax(z))


def softmax_delta(z: Array, slope: Array) -> Array:
    p = softmax(z)
    jacobian = p[:, :, None] * (np.eye(p.shape[1], dtype=p.dtype) - p[:, None, :])  # ∂p_j/∂z_k
    return np.einsum("bj,bjk->bk", slope, jacobian)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def below(z: Array) -> Array:
    """The normal distribution's Phi."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return ((1 + erf(z.astype(np.float64) / np.sqrt(2))) / 2).astype(z.dtype)


def gelu_inner(z: Array) -> Array:
    scale, cube = z.dtype.type(np.sqrt(2 / np.pi)), z.dtype.type(0.044715)
    return scale * (z + cube * z * z * z)


class Activation(NamedTuple):
    value: Callable[[Array], Array]  # a = f(z)
    delta: Callable[[Array, Array], Array]  # ∂E/∂z from z and ∂E/∂a


def unitwise(f: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> Activation:
    return Activation(f, lambda z, slope: slope * derivative(z))


ACTIVATIONS = {
    "linear": unitwise(lambda z: z, np.ones_like),
    "sigmoid": unitwise(sigmoid, lambda z: sigmoid(z) * sigmoid(-z)),
    "tanh": unitwise(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": unitwise(lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "softmax": Activation(softmax, softmax_delta),
    "leaky_relu": unitwise(
        lambda z: np.where(z > 0, z, z.dtype.type(0.01) * z),
        lambda z: np.where(z > 0, 1, z.dtype.type(0.01)).astype(z.dtype),
    ),
    "elu": unitwise(
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
    ),
    "selu": unitwise(
        lambda z: z.dtype.type(SELU_SCALE)
        * np.where(z > 0, z, z.dtype.type(SELU_ALPHA) * np.expm1(np.minimum(z, 0))),
        lambda z: z.dtype.type(SELU_SCALE)
        * np.where(z > 0, 1, z.dtype.type(SELU_ALPHA) * np.exp(np.minimum(z, 0))),
    ),
    "relu6": unitwise(
        lambda z: np.clip(z, 0, 6), lambda z: ((z > 0) & (z < 6)).astype(z.dtype)
    ),
    "hard_sigmoid": unitwise(
        lambda z: np.clip(z / 6 + z.dtype.type(0.5), 0, 1),
        lambda z: (np.abs(z) < 3).astype(z.dtype) / 6,
    ),
    "hard_tanh": unitwise(
        lambda z: np.clip(z, -1, 1), lambda z: (np.abs(z) < 1).astype(z.dtype)
    ),
    "gelu": unitwise(
        lambda z: z * below(z),
        lambda z: below(z) + z * (np.exp(-z * z / 2) / z.dtype.type(np.sqrt(2 * np.pi))),
    ),
    "gelu_tanh": unitwise(
        lambda z: z / 2 * (1 + np.tanh(gelu_inner(z))),
        lambda z: (1 + np.tanh(gelu_inner(z))) / 2
        + z / 2 * np.cosh(np.clip(gelu_inner(z), -40, 40)) ** -2
        * z.dtype.type(np.sqrt(2 / np.pi)) * (1 + z.dtype.type(3 * 0.044715) * z * z),
    ),
    "silu": unitwise(
        lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))
    ),
    "mish": unitwise(
        lambda z: z * np.tanh(softplus(z)),
        lambda z: np.tanh(softplus(z)) + z * (1 - np.tanh(softplus(z)) ** 2) * sigmoid(z),
    ),
    "softplus": unitwise(softplus, sigmoid),
    "softsign": unitwise(lambda z: z / (1 + np.abs(z)), lambda z: (1 + np.abs(z)) ** -2),
    "exp": unitwise(np.exp, np.exp),
    "sine": unitwise(np.sin, np.cos),
}  # fmt: skip

# ----------------------------------------------------------------------------------- losses


def signs(t: Array) -> Array:
    return np.where(t > 0, 1, -1).astype(t.dtype)


class Loss(NamedTuple):
    value: Callable[[Array, Array, Array], Array]  # eᵢ from p (b, k), logits z and targets t
    slope: Callable[[Array, Array, Array], Array]  # ∂eᵢ/∂p, or ∂eᵢ/∂z where an activation is fused
    fused: str | None = None  # the one output activation that goes with it; None is any


LOSSES = {
    "mse": Loss(
        lambda p, z, t: ((p - t) ** 2).mean(axis=1),
        lambda p, z, t: 2 * (p - t) / t.shape[1],
    ),
    "half_squared_error": Loss(
        lambda p, z, t: ((p - t) ** 2).sum(axis=1) / 2,
        lambda p, z, t: p - t,
    ),
    "binary_cross_entropy": Loss(
        lambda p, z, t: (t * softplus(-z) + (1 - t) * softplus(z)).mean(axis=1),
        lambda p, z, t: (p - t) / t.shape[1],
        fused="sigmoid",
    ),
    "cross_entropy": Loss(
        lambda p, z, t: -(t * log_softmax(z)).sum(axis=1),
        lambda p, z, t: p * t.sum(axis=1, keepdims=True) - t,
        fused="softmax",
    ),
    "kl_divergence": Loss(
        lambda p, z, t: (t * (np.log(np.where(t > 0, t, 1)) - log_softmax(z))).sum(axis=1),
        lambda p, z, t: p * t.sum(axis=1, keepdims=True) - t,
        fused="softmax",
    ),
    "mae": Loss(
        lambda p, z, t: np.abs(p - t).mean(axis=1),
        lambda p, z, t: np.sign(p - t) / t.shape[1],
    ),
    "huber": Loss(
        lambda p, z, t: np.where(
            np.abs(p - t) <= 1, (p - t) ** 2 / 2, np.abs(p - t) - t.dtype.type(0.5)
        ).mean(axis=1),
        lambda p, z, t: np.clip(p - t, -1, 1) / t.shape[1],
    ),
    "log_cosh": Loss(
        lambda p, z, t: (
            np.abs(p - t) + np.log1p(np.exp(-2 * np.abs(p - t))) - t.dtype.type(np.log(2))
        ).mean(axis=1),
        lambda p, z, t: np.tanh(p - t) / t.shape[1],
    ),
    "quantile": Loss(
        lambda p, z, t: (np.abs(t - p) / 2).mean(axis=1),
        lambda p, z, t: -np.sign(t - p) / 2 / t.shape[1],
    ),
    "hinge": Loss(
        lambda p, z, t: np.maximum(0, 1 - signs(t) * p).mean(axis=1),
        lambda p, z, t: np.where(signs(t) * p < 1, -signs(t), 0) / t.shape[1],
    ),
    "poisson": Loss(
        lambda p, z, t: (p - t * z).mean(axis=1),
        lambda p, z, t: (p - t) / t.shape[1],
        fused="exp",
    ),
}

CLASSES = ("cross_entropy", "kl_divergence")  # whose targets may be ids

# ---------------------------------------------------------------------- forward and backward


Masks = Sequence[Array] | None


def mixed(x: int) -> int:
    """splitmix64's output function."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def order(n: int, seed: int, epoch: int) -> list[int]:
    """An epoch's order of n <= 10,000 samples: Fisher and Yates, by draws as Lemire's of 2019."""
    key, found = mixed(seed ^ mixed(epoch)), []
    for i in range(n):
        x = mixed((key + i * 0x9E3779B97F4A7C15) % 2**64)
        while (x >> 32) * (i + 1) % 2**32 < 2**32 % (i + 1):
            x = mixed(x)
        place = (x >> 32) * (i + 1) >> 32
        found.append(i)
        found[i], found[place] = found[place], i
    return found


def dropout(rate: float, seed: int, update: int, layer: int, rows: int, n: int) -> Array:
    """(rows, n) of 0 and 1/(1 - rate): what an update's outputs of a layer are multiplied by."""
    key = mixed(mixed(mixed(seed ^ mixed(update))) + layer)
    j, found = np.arange(n, dtype=np.uint64), []
    for row in range(rows):
        k = mixed((key + row) % 2**64)
        x = (np.uint64(k % 2**32) + j * np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)
        x = (x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D) & np.uint64(0xFFFFFFFF)
        x = x ^ np.uint64(k >> 32)
        x = (x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B) & np.uint64(0xFFFFFFFF)
        found.append(x ^ (x >> np.uint64(16)))
    return np.where(np.array(found) >= round(rate * 2**32), 1 / (1 - rate), 0)


def by_layer(arrays: Sequence[Array], layers: Sequence[Any]) -> list[tuple[Array, Array | None]]:
    rest = iter(arrays)
    return [(next(rest), next(rest) if layer.bias else None) for layer in layers]


def forward(
    weights: Sequence[Array], layers: Sequence[Any], X: ArrayLike, keep: Masks = None
) -> tuple[list[Array], list[Array]]:
    """Every layer's z, and every layer's a with X in front: ``a[l]`` is what layer l reads.

    `keep` holds what dropout multiplies each hidden layer's outputs by.
    """
    x = np.asarray(X, weights[0].dtype)
    zs, a = [], [x.reshape(len(x), -1)]
    for (W, b), layer in zip(by_layer(weights, layers), layers, strict=True):
        zs.append(a[-1] @ W if b is None else a[-1] @ W + b)
        a.append(ACTIVATIONS[layer.activation].value(zs[-1]))
        if keep is not None and len(zs) < len(layers):
            a[-1] = a[-1] * keep[len(zs) - 1].astype(x.dtype)
    return zs, a


def targets(y: ArrayLike, like: Array, loss: str) -> Array:
    """(b, k) targets in the dtype of the predictions `like`; class ids become one-hot rows."""
    t = np.asarray(y)
    if loss in CLASSES and t.ndim == 1:
        t = np.eye(like.shape[1])[t.astype(int)]
    return t.reshape(like.shape).astype(like.dtype)


def sample_losses(
    weights: Sequence[Array], layers: Sequence[Any], loss: str, X: ArrayLike, y: ArrayLike
) -> Array:
    """eᵢ of every sample."""
    zs, a = forward(weights, layers, X)
    return LOSSES[loss].value(a[-1], zs[-1], targets(y, a[-1], loss))


def as_weights(sample_weight: ArrayLike | None, n: int) -> Array:
    """(b,) sample weights in float64, 1 where none are given."""
    return np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)


def evaluate(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Σ wᵢ eᵢ / Σ wᵢ, which is reported of rows that no update is made by."""
    e = sample_losses(weights, layers, loss, X, y)
    return float(np.average(e, weights=as_weights(sample_weight, len(e))))


def error(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    mean: float = 1.0,
) -> float:
    """E = Σ wᵢ eᵢ / (B w̄) of an update by B rows, w̄ being the mean weight of the whole set."""
    e = sample_losses(weights, layers, loss, X, y)
    return float(as_weights(sample_weight, len(e)) @ e / (len(e) * mean))


def deltas(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    keep: Masks = None,
    mean: float = 1.0,
) -> list[Array]:
    """δ = ∂E/∂z (b, o) of every layer, first layer first."""
    zs, a = forward(weights, layers, X, keep)
    kind = LOSSES[loss]
    w = as_weights(sample_weight, len(a[0]))
    scale = (w / (len(w) * mean)).astype(a[-1].dtype)[:, None]
    delta = scale * kind.slope(a[-1], zs[-1], targets(y, a[-1], loss))
    if kind.fused is None:
        delta = ACTIVATIONS[layers[-1].activation].delta(zs[-1], delta)
    found = [delta]
    pairs = by_layer(weights, layers)
    for below in reversed(range(len(layers) - 1)):
        slope = found[0] @ pairs[below + 1][0].T
        if keep is not None:
            slope = slope * keep[below].astype(slope.dtype)
        found.insert(0, ACTIVATIONS[layers[below].activation].delta(zs[below], slope))
    return found


def gradients(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    keep: Masks = None,
    mean: float = 1.0,
) -> list[Array]:
    """[dW0, db0, …] of E, in the shapes of the weights."""
    _, a = forward(weights, layers, X, keep)
    found = []
    for layer, below, delta in zip(
        layers, a, deltas(weights, layers, loss, X, y, sample_weight, keep, mean), strict=False
    ):
        found.append(below.T @ delta)
        if layer.bias == "shared":
            found.append(delta.sum(keepdims=True)[0])
        elif layer.bias:
            found.append(delta.sum(axis=0))
    return found


def penalised(
    gradients: Sequence[Array], weights: Sequence[Array], layers: Sequence[Any]
) -> list[Array]:
    """Gradients with those of ``l1 Σ|W| + (l2/2) ΣW²``."""
    found, rest = [], iter(zip(gradients, weights, strict=True))
    for layer in layers:
        g, p = next(rest)
        found.append(g + p.dtype.type(layer.l1) * np.sign(p) + p.dtype.type(layer.l2) * p)
        if layer.bias:
            found.append(next(rest)[0])
    return found


def clipped(gradients: Sequence[Array], value: float = np.inf, norm: float = np.inf) -> list[Array]:
    """By value, then by the norm of all: torch.nn.utils.clip_grad_value_, clip_grad_norm_."""
    found = [np.clip(g, -value, value) for g in gradients]
    total = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in found))
    return [(g * min(1.0, norm / (total + 1e-6))).astype(g.dtype) for g in found]


def bounded(weights: Sequence[Array], layers: Sequence[Any]) -> list[Array]:
    """Each unit's incoming weights with a norm of at most its layer's max_norm."""
    found, rest = [], iter(weights)
    for layer in layers:
        W = next(rest)
        norms = np.sqrt((W.astype(np.float64) ** 2).sum(axis=0))
        most = np.inf if layer.max_norm is None else layer.max_norm
        found.append((W * np.minimum(1, most / np.maximum(norms, 1e-300))).astype(W.dtype))
        if layer.bias:
            found.append(next(rest))
    return found


def central_differences(
    loss_of: Callable[[list[Array]], float], weights: Sequence[Array], h: float = 1e-5
) -> list[Array]:
    """(E(w + h) − E(w − h)) / 2h for every parameter, one at a time."""
    moved = [p.copy() for p in weights]
    found = [np.zeros_like(p) for p in weights]
    for p, g in zip(moved, found, strict=True):
        for at in np.ndindex(p.shape):
            kept = p[at]
            p[at] = kept + h
            above = loss_of(moved)
            p[at] = kept - h
            g[at] = (above - loss_of(moved)) / (2 * h)
            p[at] = kept
    return found


# ------------------------------------------------------------------------------- optimizers


class SGD:
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html, dampening 0."""

    def __init__(
        self,
        learning_rate: float = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.learning_rate, self.momentum = learning_rate, momentum
        self.nesterov, self.weight_decay = nesterov, weight_decay
        self.velocities: list[Array] = []

    def update(self, weights: Sequence[Array], gradients: Sequence[Array]) -> None:
        if not self.velocities:  # so that the first velocity is the first gradient
            self.velocities = [np.zeros_like(p) for p in weights]
        for p, g, v in zip(weights, gradients, self.velocities, strict=True):
            g = g + self.weight_decay * p
            v[...] = self.momentum * v + g
            p -= self.learning_rate * (g + self.momentum * v if self.nesterov else v)


class Slots:
    """An optimizer in plain NumPy: `step` moves one parameter array, whose slots start as zeros."""

    def __init__(self, learning_rate: float, **settings: Any) -> None:
        self.learning_rate = learning_rate
        self.settings = {"weight_decay": 0.0} | settings
        self.slots: list[dict[str, Array]] = []
        self.t = 0

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["settings"][name]
        except KeyError:
            raise AttributeError(name) from None

    def update(self, weights: Sequence[Array], gradients: Sequence[Array]) -> None:
        if not self.slots:
            self.slots = [defaultdict(lambda p=p: np.zeros_like(p)) for p in weights]
        self.t += 1
        for p, g, s in zip(weights, gradients, self.slots, strict=True):
            p -= self.step(p, g, s)

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        raise NotImplementedError


class RMSprop(Slots):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html"""

    def __init__(self, learning_rate: float = 0.01, **settings: Any) -> None:
        defaults = {"rho": 0.99, "epsilon": 1e-8, "centered": False, "momentum": 0.0}
        super().__init__(learning_rate, **defaults | settings)

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        g = g + self.weight_decay * p
        s["v"] = v = self.rho * s["v"] + (1 - self.rho) * g**2
        if self.centered:
            s["m"] = m = self.rho * s["m"] + (1 - self.rho) * g
            v = np.maximum(v - m**2, 0)
        s["b"] = self.momentum * s["b"] + g / (np.sqrt(v) + self.epsilon)
        return self.learning_rate * s["b"]


class Adagrad(Slots):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html"""

    def __init__(self, learning_rate: float = 0.01, **settings: Any) -> None:
        super().__init__(learning_rate, **{"epsilon": 1e-10} | settings)

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        g = g + self.weight_decay * p
        s["v"] = s["v"] + g**2
        return self.learning_rate * g / (np.sqrt(s["v"]) + self.epsilon)


class Adadelta(Slots):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html"""

    def __init__(self, learning_rate: float = 1.0, **settings: Any) -> None:
        super().__init__(learning_rate, **{"rho": 0.9, "epsilon": 1e-6} | settings)

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        g = g + self.weight_decay * p
        s["v"] = self.rho * s["v"] + (1 - self.rho) * g**2
        x = np.sqrt(s["u"] + self.epsilon) / np.sqrt(s["v"] + self.epsilon) * g
        s["u"] = self.rho * s["u"] + (1 - self.rho) * x**2
        return self.learning_rate * x


class Rprop(Slots):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html"""

    def __init__(self, learning_rate: float = 0.01, **settings: Any) -> None:
        defaults = {"etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)}
        super().__init__(learning_rate, **defaults | settings)

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        step = s["step"] if self.t > 1 else np.full_like(p, self.learning_rate)
        turn = np.sign(g * s["g"])
        factor = np.where(turn > 0, self.etas[1], np.where(turn < 0, self.etas[0], 1))
        s["step"] = np.clip(step * factor, *self.step_sizes).astype(p.dtype)
        s["g"] = np.where(turn < 0, 0, g).astype(p.dtype)
        return np.sign(s["g"]) * s["step"]


class Lion(Slots):
    """Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, algorithm 2."""

    def __init__(self, learning_rate: float = 1e-4, **settings: Any) -> None:
        super().__init__(learning_rate, **{"beta_1": 0.9, "beta_2": 0.99} | settings)

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        c = self.beta_1 * s["m"] + (1 - self.beta_1) * g
        s["m"] = self.beta_2 * s["m"] + (1 - self.beta_2) * g
        return self.learning_rate * (np.sign(c) + self.weight_decay * p)


class Adam(Slots):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html"""

    defaults: ClassVar[dict[str, Any]] = {}
    rate = 1e-3

    def __init__(self, learning_rate: float | None = None, **settings: Any) -> None:
        common = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "amsgrad": False}
        rate = self.rate if learning_rate is None else learning_rate
        super().__init__(rate, **common | self.defaults | settings)

    def means(self, p: Array, g: Array, s: dict[str, Array]) -> tuple[Array, Array]:
        """m / (1 - beta_1^t) and v."""
        s["m"] = self.beta_1 * s["m"] + (1 - self.beta_1) * g
        s["v"] = self.beta_2 * s["v"] + (1 - self.beta_2) * g**2
        return s["m"] / (1 - self.beta_1**self.t), s["v"]

    def root(self, v: Array) -> Array:
        return np.sqrt(v / (1 - self.beta_2**self.t)) + self.epsilon

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        m, v = self.means(p, g + self.weight_decay * p, s)
        if self.amsgrad:
            s["most"] = v = np.maximum(s["most"], v)
        return self.learning_rate * m / self.root(v)


class AdamW(Adam):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html"""

    defaults: ClassVar[dict[str, Any]] = {"weight_decay": 0.01}

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        m, v = self.means(p, g, s)
        if self.amsgrad:
            s["most"] = v = np.maximum(s["most"], v)
        return self.learning_rate * (self.weight_decay * p + m / self.root(v))


class Adamax(Adam):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html"""

    rate = 2e-3

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        g = g + self.weight_decay * p
        m, _ = self.means(p, g, s)
        s["u"] = np.maximum(self.beta_2 * s["u"], np.abs(g) + self.epsilon)
        return self.learning_rate * m / s["u"]


class NAdam(Adam):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html"""

    rate = 2e-3
    defaults: ClassVar[dict[str, Any]] = {"momentum_decay": 4e-3}

    def mu(self, t: int) -> float:
        return float(self.beta_1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay)))

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        g = g + self.weight_decay * p
        _, v = self.means(p, g, s)
        product = math.prod(self.mu(t) for t in range(1, self.t + 1))
        mu, following = self.mu(self.t), self.mu(self.t + 1)
        direction = (1 - mu) / (1 - product) * g + following / (1 - product * following) * s["m"]
        return self.learning_rate * direction / self.root(v)


class RAdam(Adam):
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html"""

    def step(self, p: Array, g: Array, s: dict[str, Array]) -> Array:
        m, v = self.means(p, g + self.weight_decay * p, s)
        power = self.beta_2**self.t
        most = 2 / (1 - self.beta_2) - 1
        rho = most - 2 * self.t * power / (1 - power)
        if rho <= 5:
            return self.learning_rate * m
        ratio = (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)
        return self.learning_rate * m * np.sqrt(ratio * (1 - power)) / (np.sqrt(v) + self.epsilon)


# ---------------------------------------------------------------------------------- solvers


def flat(arrays: Sequence[Array]) -> Array:
    """All parameters as one vector, in the order of the arrays."""
    return np.concatenate([a.ravel() for a in arrays])


def shaped(vector: Array, like: Sequence[Array]) -> list[Array]:
    """The same back again."""
    ends = np.cumsum([a.size for a in like])
    return [
        vector[end - a.size : end].reshape(a.shape).astype(a.dtype)
        for a, end in zip(like, ends, strict=True)
    ]


def jacobian(weights: Sequence[Array], layers: Sequence[Any], X: ArrayLike) -> Array:
    """∂(every output of every sample) / ∂(every parameter), (b, k, p)."""
    zs, a = forward(weights, layers, X)
    pairs, found = by_layer(weights, layers), []
    for output in range(layers[-1].units):
        slope, columns = np.zeros_like(a[-1]), []
        slope[:, output] = 1
        for at in reversed(range(len(layers))):
            delta = ACTIVATIONS[layers[at].activation].delta(zs[at], slope)
            if layers[at].bias:
                columns.insert(0, delta.sum(1)[:, None] if layers[at].bias == "shared" else delta)
            columns.insert(0, np.einsum("bi,bo->bio", a[at], delta).reshape(len(delta), -1))
            slope = delta @ pairs[at][0].T
        found.append(np.hstack(columns))
    return np.stack(found, axis=1)


def normal_equations(
    weights: Sequence[Array],
    layers: Sequence[Any],
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """J'J and J'r of the residuals r = w^½ (p − t)."""
    p = forward(weights, layers, X)[1][-1]
    J = jacobian(weights, layers, X).reshape(p.size, -1)
    root = np.repeat(np.sqrt(as_weights(sample_weight, len(p))), p.shape[1])
    J, r = root[:, None] * J, root * (p - targets(y, p, "mse")).ravel()
    return J.T @ J, J.T @ r


def levenberg_marquardt(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    damping: float = 1e-3,
    increase: float = 2.0,
    decrease: float = 3.0,
) -> tuple[list[Array], float]:
    """One iteration (Nielsen 1999): the weights and the damping after it."""
    n = len(np.asarray(X))  # as a step has it: w̄ is 1
    factor = 1 / layers[-1].units if loss == "mse" else 0.5
    A, g = normal_equations(weights, layers, X, y, sample_weight)
    before = error(weights, layers, loss, X, y, sample_weight)
    while True:
        d = np.linalg.solve(A / n + damping * np.eye(len(g)), -g / n)
        moved = shaped(flat(weights) + d, weights)
        fall = before - error(moved, layers, loss, X, y, sample_weight)
        if fall > 0:
            ratio = fall / (-factor * (2 * g @ d + d @ A @ d) / n)
            return moved, damping * max(1 / decrease, 1 - (2 * ratio - 1) ** 3)
        damping, increase = damping * increase, 2 * increase


def lbfgs_direction(g: Array, pairs: Sequence[tuple[Array, Array]]) -> Array:
    """−H g, H by the BFGS update of a whole matrix for every (s, y), oldest first."""
    H = np.eye(len(g))
    if pairs:
        s, y = pairs[-1]
        H *= s @ y / (y @ y)
    for s, y in pairs:
        V = np.eye(len(g)) - np.outer(y, s) / (s @ y)
        H = V.T @ H @ V + np.outer(s, s) / (s @ y)
    return -H @ g


# ---------------------------------------------------------------------------------- training


def consecutive(n: int, batch_size: int | None) -> list[slice]:
    """Mini-batches in the order of the data; the last may be ragged."""
    size = n if batch_size is None else batch_size
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def train(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    optimizer: SGD | Slots,
    X: ArrayLike,
    y: ArrayLike,
    *,
    batches: Iterable[Any],
    epochs: int = 1,
    sample_weight: ArrayLike | None = None,
) -> tuple[list[Array], list[float]]:
    """The weights after `epochs` times these `batches` (slices or indices), and each epoch's loss.

    A batch's E has the mean weight of all samples. An epoch's loss is Σ w e / Σ w over its samples,
    each batch taken before its update. A batch whose weights are all zero makes no update.
    """
    weights = [p.copy() for p in weights]
    X, y, batches = np.asarray(X), np.asarray(y), list(batches)
    w = as_weights(sample_weight, len(X))
    history = []
    for _ in range(epochs):
        total = 0.0
        for at in batches:
            if w[at].sum() == 0:
                continue
            total += float(w[at] @ sample_losses(weights, layers, loss, X[at], y[at]))
            g = gradients(weights, layers, loss, X[at], y[at], w[at], mean=float(w.mean()))
            optimizer.update(weights, g)
        history.append(total / sum(float(w[at].sum()) for at in batches))
    return weights, history


def relative_error(found: ArrayLike, expected: ArrayLike) -> float:
    """max|found − expected| / max|expected|; max|found| where all that is expected is 0."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))

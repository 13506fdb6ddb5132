"""Optimizers, and what is done to gradients before an update and to weights after it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from naive.activations import Array


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

"""What a trainer is built with: checked, described as plain data, and made from that again."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from fastbp import optimizers
from fastbp.checks import Names, integer, real
from fastbp.files.container import check_keys
from fastbp.layers.activations import name_of
from fastbp.layers.dense import MOST_UNITS, Dense
from fastbp.layers.functions import OfFunctions
from fastbp.layers.thresholds import KEYS, thresholds_of
from fastbp.objectives.custom_metric import CustomMetric
from fastbp.objectives.losses import LOSSES, Loss, LossLike
from fastbp.objectives.losses import resolve as resolve_loss
from fastbp.objectives.metric import Metric
from fastbp.objectives.metrics import METRICS, MetricLike
from fastbp.objectives.metrics import resolve as resolve_metrics
from fastbp.optimizers import schedules
from fastbp.runtime.team import Threads, check_threads

# Kinds by name: nothing else is ever made from what a file says.
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *LOSSES.values(),
        *(type(metric) for metric in METRICS.values()),
        *optimizers.OPTIMIZERS.values(),
        *schedules.SCHEDULES,
    )
}
#: as `Trainer` takes it
BatchSize: TypeAlias = int | Literal["auto"] | None
#: plain values, in the order in which a checkpoint has them
PLAIN = (
    "batch_size", "shuffle", "seed", "clip_norm", "clip_value", "accumulate", "on_divergence",
)  # fmt: skip


def bound(name: str, value: object) -> float | None:
    """Return `value` as a float above 0, or None as it is."""
    return None if value is None else real(name, value, low=0.0, low_open=True)


def _flag(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"shuffle must be True or False, got {value!r}")
    return bool(value)


def _seed(value: Any) -> int:
    drawn = secrets.randbits(63) if value is None else value
    return integer("seed", drawn, minimum=0, maximum=2**64 - 1)


def _threads(value: Any) -> Threads:
    check_threads(value)
    return value  # type: ignore[no-any-return]


#: samples of a batch where nobody has chosen
BATCH_SIZE = 32
#: what a `fit` does about divergence
OnDivergence = Literal["raise", "stop", "reduce", "ignore"]
_ON_DIVERGENCE: Names[OnDivergence] = Names(
    get_args(OnDivergence),
    {},
    {
        "error": "take 'raise'",
        "halve": "take 'reduce', which halves the learning rate",
        "none": "take 'ignore'",
        "terminate": "take 'stop'",
        "warn": "take 'stop', and look at History.stopped",
    },
)

# What a trainer has that is told nothing else.
_DEFAULTS: dict[str, Any] = {
    "batch_size": "auto",
    "shuffle": True,
    "seed": None,
    "n_threads": "auto",
    "on_divergence": "raise",
    "accumulate": 1,
    "clip_norm": None,
    "clip_value": None,
}
# What solvers over whole sets don't do: what a setting is where it asks for nothing, and why not.
_UNSOLVED: dict[str, tuple[Any, str]] = {
    "clip_norm": (None, "which chooses the length of its steps by the loss"),
    "clip_value": (None, "which chooses the length of its steps by the loss"),
    "accumulate": (1, "which takes all samples at once"),
}
# Of layers. A penalty or a bound on weights that aren't trained asks for nothing either.
_UNSOLVED_BY_LAYER: dict[str, tuple[Any, str]] = {
    "dropout": (0.0, "which compares losses of one and the same network; use l2, or fastbp.Adam"),
    "l1": (0.0, "which takes the loss for smooth; use l2, or fastbp.Adam"),
    "max_norm": (None, "whose steps know of no bounds; use l2, or fastbp.Adam"),
}
# Each returns its setting as it is kept, or raises TypeError or ValueError; called in this order.
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "batch_size": lambda value: integer("batch_size", value, minimum=1, none=True, auto=True),
    "shuffle": _flag,
    "seed": _seed,
    "n_threads": _threads,
    "on_divergence": lambda value: _ON_DIVERGENCE.find("on_divergence", value),
    "accumulate": lambda value: integer("accumulate", value, minimum=1),
    "clip_norm": lambda value: bound("clip_norm", value),
    "clip_value": lambda value: bound("clip_value", value),
}


@dataclass(frozen=True, eq=False, repr=False)  # neither is needed, and each takes its time to make
class Settings:
    """All that a trainer was built with beside its network, checked (`of`).

    Attributes
    ----------
    loss, optimizer, metrics
        As objects.
    n_threads, batch_size, shuffle, seed, clip_norm, clip_value, accumulate, on_divergence
        As given to `Trainer`; a seed of None has been drawn.
    seed_drawn : bool
        Whether it has: nobody has chosen that seed.
    """

    loss: Loss
    optimizer: optimizers.Optimizer
    metrics: tuple[Metric, ...]
    n_threads: Threads
    batch_size: BatchSize
    shuffle: bool
    seed: int
    clip_norm: float | None
    clip_value: float | None
    accumulate: int
    on_divergence: OnDivergence
    seed_drawn: bool

    @classmethod
    def of(
        cls,
        output: Dense,
        loss: LossLike,
        optimizer: optimizers.OptimizerLike,
        metrics: Sequence[MetricLike],
        **plain: Any,
    ) -> Settings:
        """Check all arguments of a `Trainer` beside the network, whose output layer is `output`.

        Raises
        ------
        TypeError, ValueError
            One is not of its kind or range, or loss or metrics don't go with the output layer.
        """
        given = {**_DEFAULTS, **plain}
        return cls(
            loss=resolve_loss(loss, name_of(output.activation)),
            optimizer=optimizers.resolve(optimizer),
            seed_drawn=given["seed"] is None,
            **{name: check(given[name]) for name, check in _CHECKS.items()},
            metrics=resolve_metrics(metrics, output.units),
        )

    @property
    def solves(self) -> bool:
        """Whether the optimizer is a solver over whole sets."""
        return isinstance(self.optimizer, optimizers.Solver)

    def changed(self, name: str, value: Any) -> Settings:
        """Return the same settings but for that one, which is checked."""
        settings = replace(self, **{name: _CHECKS[name](value)})
        if self.solves:
            settings.check_solver(())
        return settings

    @property
    def batch(self) -> int | None:
        """Samples of a batch, "auto" being decided; None is the whole set."""
        return _decided(self.batch_size, solves=self.solves)

    def rows_of(self, n: int) -> int:
        """How many samples, of n, an update is by."""
        batch = self.batch
        return n if batch is None else min(batch * self.accumulate, n)

    def check_solver(self, layers: Sequence[Dense]) -> None:
        """Refuse what a solver over whole sets, the optimizer, can't do."""
        solver = type(self.optimizer).__name__
        if self.batch is not None:
            raise ValueError(
                f"batch_size must be 'auto' or None (the whole set) for {solver}, "
                f"got {self.batch_size}"
            )
        for name, (default, why) in _UNSOLVED.items():
            if getattr(self, name) != default:
                raise ValueError(
                    f"{name} doesn't go with {solver}, {why}, got {getattr(self, name)}"
                )
        for index, layer in enumerate(layers):
            weighs = layer.trainable in (True, "weights")
            for name, (default, why) in _UNSOLVED_BY_LAYER.items():
                given = getattr(layer, name)
                if given != default and (weighs or name == "dropout"):
                    raise ValueError(
                        f"{name} of layers[{index}] doesn't go with {solver}, {why}, got {given!r}"
                    )

    def check_compiled(self) -> None:
        """Refuse what can't be carried to compiled code."""
        if self.solves:
            solver = type(self.optimizer).__name__
            raise ValueError(
                f"compiled() doesn't go with {solver}, which works on whole sets; "
                "use another optimizer"
            )
        if isinstance(schedule := self.optimizer.learning_rate, schedules.Schedule):
            raise ValueError(
                "compiled() takes a number for learning_rate, not a schedule "
                f"({type(schedule).__name__}), whose rates Python works out; "
                "set trainer.learning_rate as you go"
            )

    def described(self) -> dict[str, Any]:
        """Everything but the number of threads, as a checkpoint holds it."""
        return {
            "loss": described(self.loss),
            "optimizer": described(self.optimizer),
            "metrics": described(self.metrics),
            **{name: getattr(self, name) for name in PLAIN},
        }

    def differences(self, stored: Any, network: dict[str, Any]) -> list[str]:
        """Return in words what is otherwise here than where `stored` was described.

        Initial weights, seeds and metadata of networks make no difference: weights are restored.

        Parameters
        ----------
        stored : dict
            A trainer's settings, its network's with them, from a checkpoint.
        network : dict
            What there is to say of the network here, as `stored` has it of its own.

        Raises
        ------
        TypeError, ValueError
            `stored` is no such dict.
        """
        check_stored(stored)
        here = self.described()
        names = [name for name in here if name != "seed"]
        pairs = {name: (_with_defaults(stored[name]), _with_defaults(here[name])) for name in names}
        if _decided(stored["batch_size"], solves=self.solves) == self.batch:
            del pairs["batch_size"]  # one may say "auto" for what the other says by a number
        for name in ("n_inputs", "dtype"):
            pairs[name] = stored["network"][name], network[name]
        pairs["layers"] = tuple(
            [{k: v for k, v in layer.items() if "initializer" not in k} for layer in side["layers"]]
            for side in (stored["network"], network)
        )  # type: ignore[assignment]
        return [f"{name} is {a!r} there, {b!r} here" for name, (a, b) in pairs.items() if a != b]


def described(value: Any) -> Any:
    """Return a loss, metric, optimizer or schedule as its name and settings.

    A person's own is its name alone; plain values stand for themselves.
    """
    if isinstance(value, (list, tuple)):
        return [described(v) for v in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    kind = type(value)
    if _KINDS.get(kind.__name__) is not kind:
        if isinstance(value, CustomMetric):
            return {"own": value.name, "mode": value.mode}
        if isinstance(value, OfFunctions):
            return value._described()
        return {"own": getattr(value, "label", f"{kind.__module__}.{kind.__qualname__}")}
    names = inspect.signature(kind).parameters
    return {"kind": kind.__name__, **{name: described(getattr(value, name)) for name in names}}


def _with_defaults(value: Any) -> Any:
    """Return what `described` has, of an older fastbp's too, with settings that it didn't know."""
    if isinstance(value, list):
        return [_with_defaults(v) for v in value]
    if not isinstance(value, dict):
        return value
    found = {name: _with_defaults(v) for name, v in value.items()}
    if value.get("kind") == "ReduceOnPlateau":
        found.setdefault("mode", "auto")
        if found.get("monitor") == "val_loss":  # as its default was called
            found["monitor"] = None
    return found


def decoded(value: Any) -> Any:
    """Return what `described` has described.

    Raises
    ------
    TypeError, ValueError
        It is of a kind that a person made, of none, or its settings are not right.
    """
    if isinstance(value, list):
        return tuple(decoded(v) for v in value)
    if not isinstance(value, dict):
        return value
    if "own" in value:
        raise ValueError(
            f"{str(value['own'])[:60]!r} is not fastbp's own and can't be made from a file: build "
            "the trainer as before and use fit(..., resume=...)"
        )
    kind = _KINDS.get(str(value.get("kind")))
    if kind is None:
        raise ValueError(f"unknown kind {str(value.get('kind'))[:60]!r}")
    return kind(**{name: decoded(v) for name, v in value.items() if name != "kind"})


def arguments(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `Trainer` that `Settings.described` has described.

    Raises
    ------
    TypeError, ValueError
        As `decoded`.
    """
    for layer in stored["network"]["layers"]:  # nor can activations of a person's own be made
        if "own" in (layer.get("activation_settings") or ()):
            decoded(layer["activation_settings"])
    parts = {name: decoded(stored[name]) for name in ("loss", "optimizer", "metrics")}
    return {**parts, **{name: stored[name] for name in PLAIN}}


def check_stored(stored: Any) -> None:
    """Raise TypeError or ValueError unless these are the names, and the sizes are sizes."""
    check_keys("its settings", stored, {"network", "loss", "optimizer", "metrics", *PLAIN})
    about = stored["network"]
    check_keys("its network", about, {"n_inputs", "dtype", "seed", "layers", "metadata"}, KEYS)
    integer("its n_inputs", about["n_inputs"], minimum=1, maximum=MOST_UNITS)
    integer("its network's seed", about["seed"], minimum=0, maximum=2**64 - 1)
    if not isinstance(about["metadata"], dict):
        raise TypeError("its metadata must be a dict")
    if not isinstance(about["layers"], list) or not about["layers"]:
        raise TypeError("its layers must be a list of at least one")
    for layer in about["layers"]:
        if not isinstance(layer, dict) or not layer.keys() >= {"units", "activation", "bias"}:
            raise TypeError("a layer must be a dict with units, activation and bias")
        integer("its units", layer["units"], minimum=1, maximum=MOST_UNITS)
    thresholds_of(about, about["layers"][-1]["units"])
    most = 2**63 - 1
    integer("its batch_size", stored["batch_size"], minimum=1, maximum=most, none=True, auto=True)
    integer("its accumulate", stored["accumulate"], minimum=1, maximum=most)


def _decided(batch_size: BatchSize, *, solves: bool) -> int | None:
    """The size of a batch that is meant, for a solver or another optimizer."""
    if batch_size == "auto":
        return None if solves else BATCH_SIZE
    return batch_size

"""A trainer's settings as plain data, and a trainer from them again."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from fastbp import optimizers
from fastbp.checks import integer
from fastbp.files.container import check_keys
from fastbp.layers.custom import CustomActivation
from fastbp.layers.dense import MOST_UNITS, Dense
from fastbp.objectives import losses, metrics
from fastbp.optimizers import schedules

if TYPE_CHECKING:
    from fastbp.network import Network
    from fastbp.trainer import Trainer

# Kinds by name: nothing else is ever made from what a file says.
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *losses.LOSSES.values(),
        *(type(metric) for metric in metrics.METRICS.values()),
        *optimizers.OPTIMIZERS.values(),
        *schedules.SCHEDULES,
    )
}
#: of a trainer, beside network, loss, optimizer and metrics
PLAIN = (
    "batch_size", "shuffle", "seed", "clip_norm", "clip_value", "accumulate", "on_divergence",
)  # fmt: skip


def described(value: Any) -> Any:
    """A loss, metric, optimizer or schedule as its name and settings; a person's own as its name.

    Plain values stand for themselves.
    """
    if isinstance(value, (list, tuple)):
        return [described(v) for v in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    kind = type(value)
    if _KINDS.get(kind.__name__) is not kind:
        return {"own": getattr(value, "label", f"{kind.__module__}.{kind.__qualname__}")}
    names = inspect.signature(kind).parameters
    return {"kind": kind.__name__, **{name: described(getattr(value, name)) for name in names}}


def made(value: Any) -> Any:
    """What `described` described.

    Raises
    ------
    TypeError, ValueError
        It is of a kind that a person made, of none, or its settings are not right.
    """
    if isinstance(value, list):
        return tuple(made(v) for v in value)
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
    return kind(**{name: made(v) for name, v in value.items() if name != "kind"})


def of_network(network: Network) -> dict[str, Any]:
    """Architecture, dtype, seed and metadata."""
    return {
        "n_inputs": network.n_inputs,
        "dtype": network.dtype,
        "seed": network.seed,
        "layers": [_layer(layer) for layer in network.layers],
        "metadata": network.metadata,
    }


def _layer(layer: Dense) -> dict[str, Any]:
    stored = layer._stored()
    if isinstance(layer.activation, CustomActivation):
        stored["activation_settings"] = {"own": layer.activation.label}
    return stored


def of_trainer(trainer: Trainer) -> dict[str, Any]:
    """All that a trainer was built with, but its number of threads."""
    return {
        "network": of_network(trainer.network),
        "loss": described(trainer.loss),
        "optimizer": described(trainer.optimizer),
        "metrics": described(trainer.metrics),
        **{name: getattr(trainer, name) for name in PLAIN},
    }


def check_stored(stored: Any) -> None:
    """Raise TypeError or ValueError unless these are the names, and the sizes are sizes."""
    check_keys("its settings", stored, {"network", "loss", "optimizer", "metrics", *PLAIN})
    about = stored["network"]
    check_keys("its network", about, {"n_inputs", "dtype", "seed", "layers", "metadata"})
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
    for name in ("batch_size", "accumulate"):
        none = name == "batch_size"
        integer(f"its {name}", stored[name], minimum=1, maximum=2**63 - 1, none=none)  # type: ignore[call-overload]


def differences(stored: dict[str, Any], trainer: Trainer) -> list[str]:
    """What a trainer was built with otherwise than one whose settings are stored.

    Initial weights, seeds of networks and metadata make none: weights are restored.
    """
    check_stored(stored)
    here = of_trainer(trainer)
    pairs = {name: (stored[name], here[name]) for name in here if name not in ("network", "seed")}
    for name in ("n_inputs", "dtype"):
        pairs[name] = stored["network"][name], here["network"][name]
    pairs["layers"] = tuple(
        [{k: v for k, v in layer.items() if "initializer" not in k} for layer in side["layers"]]
        for side in (stored["network"], here["network"])
    )  # type: ignore[assignment]
    return [f"{name} is {a!r} there, {b!r} here" for name, (a, b) in pairs.items() if a != b]


def trainer_of(stored: dict[str, Any]) -> Trainer:
    """A new trainer with these settings, and a new network.

    Raises
    ------
    TypeError, ValueError
        They are none, or something in them was a person's own.
    """
    from fastbp.network import Network
    from fastbp.trainer import Trainer

    check_stored(stored)
    about = stored["network"]
    for layer in about["layers"]:
        if "own" in (layer.get("activation_settings") or ()):
            made(layer["activation_settings"])
    layers = [Dense._from_stored(layer) for layer in about["layers"]]
    network = Network(about["n_inputs"], layers, dtype=about["dtype"], seed=about["seed"])
    network.metadata = about["metadata"]
    parts = {name: made(stored[name]) for name in ("loss", "optimizer", "metrics")}
    return Trainer(network, **parts, **{name: stored[name] for name in PLAIN})

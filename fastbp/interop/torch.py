"""From and to PyTorch's ``nn.Sequential`` of linear layers and activations.

Reading and writing modules is apart from what they mean: between the two stands a list of `Step`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fastbp.interop.building import Array, imported, network_of, refuse_shared_biases
from fastbp.layers.activations import ELU, Activation, LeakyReLU, name_of
from fastbp.layers.dense import Dense
from fastbp.network import Network

#: of each module that is known, the settings that matter
SETTINGS: dict[str, tuple[str, ...]] = {
    "Linear": (),
    "Dropout": ("p",),
    "Flatten": ("start_dim", "end_dim"),
    "Identity": (),
    "Sigmoid": (),
    "Tanh": (),
    "ReLU": (),
    "Softmax": ("dim",),
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "SELU": (),
    "ReLU6": (),
    "Hardsigmoid": (),
    "Hardtanh": ("min_val", "max_val"),
    "GELU": ("approximate",),
    "SiLU": (),
    "Mish": (),
    "Softplus": ("beta", "threshold"),
    "Softsign": (),
}
# those without settings, or with the only ones that fastbp has
_MODULES: dict[str, tuple[str, dict[str, Any]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("ReLU", {}),
    "softmax": ("Softmax", {"dim": -1}),
    "selu": ("SELU", {}),
    "relu6": ("ReLU6", {}),
    "hard_sigmoid": ("Hardsigmoid", {}),
    "hard_tanh": ("Hardtanh", {"min_val": -1.0, "max_val": 1.0}),
    "gelu": ("GELU", {"approximate": "none"}),
    "gelu_tanh": ("GELU", {"approximate": "tanh"}),
    "silu": ("SiLU", {}),
    "mish": ("Mish", {}),
    "softsign": ("Softsign", {}),
}
Trainable = bool | Literal["weights", "biases"]


@dataclass(frozen=True)
class Step:
    """One PyTorch module: its class, what it was made with, and a Linear's arrays."""

    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    arrays: tuple[Array, ...] = ()  # weight (n_out, n_in), bias (n_out,)
    trainable: Trainable = True
    place: str = ""


def from_torch(module: Any) -> Network:
    """The network of an ``nn.Sequential`` of linear layers, activations and dropout.

    Parameters
    ----------
    module : torch.nn.Sequential
        Of ``Linear``, each followed by at most one activation and then one ``Dropout``; other
        ``Sequential`` inside it, ``Identity`` anywhere, and a first ``Flatten``, which changes
        nothing in samples (n, n_in). On the CPU, in float32 or float64. Not changed.

    Returns
    -------
    Network
        In the module's dtype, with weights of its own. `predict` gives what the module gives after
        ``eval()``; ``requires_grad`` becomes ``Dense(trainable=)``.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError
        `module` is no ``nn.Sequential``.
    ValueError
        A module computes what no layer of fastbp does exactly, shares its weights with another one,
        or has hooks; the message says which and why.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import interop
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> [(layer.units, layer.activation) for layer in interop.from_torch(module).layers]
    [(8, 'relu'), (1, 'linear')]
    """
    return network(read(module))


def to_torch(network: Network) -> Any:
    """An ``nn.Sequential`` that computes what `network` predicts.

    Parameters
    ----------
    network : Network
        Not changed; no memory is shared with it.

    Returns
    -------
    torch.nn.Sequential
        Of ``Linear``, activation (none where linear) and ``Dropout`` (where there is some) for each
        layer, in the network's dtype, on the CPU, after ``eval()``: call ``train()`` before you
        train it. What is not trained has ``requires_grad=False``; penalties and max_norm belong to
        training, a module has no place for them. PyTorch's ``CrossEntropyLoss`` wants outputs
        before softmax: those of ``module[:-1]``.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError
        `network` is no `Network`.
    ValueError
        A layer shares one bias among its units, or has an activation that PyTorch has not; the
        message says which.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import interop
    >>> import torch
    >>> net = fastbp.Network(4, [fastbp.Dense(8, "relu"), fastbp.Dense(3, "softmax")], seed=0)
    >>> interop.to_torch(net)(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """
    return write(steps(network), imported("torch", "to_torch"))


# -- modules and steps -----------------------------------------------------------------------------


def read(module: Any) -> list[Step]:
    """The steps that a PyTorch module consists of."""
    torch = imported("torch", "from_torch")
    if not isinstance(module, torch.nn.Sequential):
        raise TypeError(f"module must be a torch.nn.Sequential, got {type(module).__name__}")
    seen: set[int] = set()
    return list(_flat(torch, module, "module", seen))


def _flat(torch: Any, module: Any, place: str, seen: set[int]) -> Iterator[Step]:
    kind = type(module).__name__
    hooks = any(getattr(module, name) for name in ("_forward_hooks", "_forward_pre_hooks"))
    if hooks or "forward" in vars(module):
        raise ValueError(f"{place} ({kind}) has hooks or a forward of its own, which do anything")
    if isinstance(module, torch.nn.Sequential):
        if type(module).forward is not torch.nn.Sequential.forward:
            raise ValueError(f"{place} ({kind}) has a forward of its own, which does anything")
        for name, child in module._modules.items():  # named_children leaves repeated ones out
            yield from _flat(torch, child, f"{place}[{name}]", seen)
        return
    if kind not in SETTINGS or type(module) is not getattr(torch.nn, kind, None):
        raise ValueError(
            f"{place} is a {type(module).__module__}.{kind}; those of torch.nn that can be carried "
            f"over are {', '.join(SETTINGS)}"
        )
    settings = {name: getattr(module, name) for name in SETTINGS[kind]}
    if kind != "Linear":
        yield Step(kind, settings, place=f"{place} ({kind})")
        return
    given = [p for p in (module.weight, module.bias) if p is not None]
    for parameter in given:
        if parameter.device.type != "cpu" or parameter.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{place} ({kind}) has parameters of {parameter.dtype} on {parameter.device}; "
                "they must be float32 or float64 on the CPU"
            )
        if parameter.numel() and parameter.data_ptr() in seen:
            raise ValueError(f"{place} ({kind}) shares parameters with another module")
        seen.add(parameter.data_ptr())
    grads = [bool(parameter.requires_grad) for parameter in given]
    trainable: Trainable = all(grads)
    if any(grads) and not all(grads):
        trainable = "weights" if grads[0] else "biases"
    arrays = tuple(parameter.detach().numpy() for parameter in given)
    yield Step(kind, {}, arrays, trainable, f"{place} ({kind})")


def write(given: Sequence[Step], torch: Any) -> Any:
    """The PyTorch modules that these steps stand for, in one ``nn.Sequential``."""
    made = []
    for step in given:
        if step.kind != "Linear":
            made.append(getattr(torch.nn, step.kind)(**step.settings))
            continue
        n_out, n_in = step.arrays[0].shape
        dtype = getattr(torch, step.arrays[0].dtype.name)
        # its initial weights would be drawn from PyTorch's generator, which is the caller's
        linear = torch.nn.utils.skip_init(
            torch.nn.Linear, n_in, n_out, bias=len(step.arrays) == 2, dtype=dtype
        )
        parameters = [linear.weight, linear.bias][: len(step.arrays)]
        with torch.no_grad():
            for parameter, array in zip(parameters, step.arrays, strict=True):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
        for parameter, own in zip(parameters, ("weights", "biases"), strict=False):
            parameter.requires_grad_(step.trainable in (True, own))
        made.append(linear)
    return torch.nn.Sequential(*made).eval()


# -- steps and networks ----------------------------------------------------------------------------


def network(given: Sequence[Step]) -> Network:
    """A network that computes what these steps do."""
    layers: list[dict[str, Any]] = []
    kernels: list[Array] = []
    weights: list[Array] = []
    dtypes: set[Any] = set()
    for step in given:
        if step.kind == "Identity":
            continue
        if step.kind == "Linear":
            kernel = step.arrays[0].T
            if 0 in kernel.shape:
                raise ValueError(f"{step.place} takes or gives nothing: its weight is empty")
            dtypes |= {array.dtype.name for array in step.arrays}
            kernels.append(kernel)
            weights += [kernel, *step.arrays[1:]]
            layers.append(
                {
                    "units": kernel.shape[1],
                    "bias": len(step.arrays) == 2,
                    "trainable": step.trainable,
                }
            )
        elif step.kind == "Flatten":
            if layers or (step.settings["start_dim"], step.settings["end_dim"]) != (1, -1):
                raise ValueError(f"{step.place} must be Flatten(1, -1), and the first")
        elif not layers or "dropout" in layers[-1]:
            before = "a Dropout" if layers else "any Linear"
            raise ValueError(f"{step.place} stands {'behind' if layers else 'before'} {before}")
        elif step.kind == "Dropout":
            layers[-1]["dropout"] = _dropout(step)
        elif "activation" in layers[-1]:
            raise ValueError(f"{step.place} is a second activation behind one Linear")
        else:
            layers[-1]["activation"] = _activation(step, max(dtypes))
    if not layers:
        raise ValueError("module must have at least one Linear, got none")
    if len(dtypes) > 1:
        raise ValueError(f"module's parameters must have one dtype, got {sorted(dtypes)}")
    if layers[-1].get("dropout"):
        raise ValueError("module's last layer has a Dropout, which fastbp has on hidden ones only")
    return network_of(kernels, weights, [Dense(**layer) for layer in layers], dtypes.pop())


def _dropout(step: Step) -> float:
    p = float(step.settings["p"])
    if p >= 1:
        raise ValueError(f"{step.place} drops everything (p={p}); fastbp takes p < 1")
    return p


def _activation(step: Step, dtype: str) -> str | Activation:
    settings = step.settings
    shown = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    if step.kind == "LeakyReLU" and settings["negative_slope"] >= 0:
        return LeakyReLU(float(settings["negative_slope"]))
    if step.kind == "ELU" and settings["alpha"] > 0:
        return ELU(float(settings["alpha"]))
    if step.kind == "Softplus":
        # beyond the threshold it is z, where fastbp goes on with z + log1p(exp(-z))
        threshold = settings["threshold"]
        exact = math.exp(-threshold) <= np.finfo(dtype).eps / 2 * threshold
        if settings["beta"] == 1 and exact:
            return "softplus"
        raise ValueError(
            f"{step.place} has {shown}; fastbp's softplus has beta=1 and no threshold, which is "
            "the same from 20 on in float32 and from 40 on in float64"
        )
    if step.kind == "Softmax" and settings["dim"] == 1:
        settings = {"dim": -1}
    if step.kind == "Hardtanh" and (settings["min_val"], settings["max_val"]) == (0, 6):
        return "relu6"
    for name, module in _MODULES.items():
        if module == (step.kind, settings):
            return name
    raise ValueError(f"{step.place} has {shown}, which no activation of fastbp has")


def steps(network: Network) -> list[Step]:
    """The steps that compute what `network` predicts."""
    arrays = iter(refuse_shared_biases(network, "torch.nn.Linear").get_weights())
    found: list[Step] = []
    for i, layer in enumerate(network.layers):
        weight = next(arrays).T
        bias = (next(arrays),) if layer.bias else ()
        found.append(Step("Linear", {}, (weight, *bias), layer.trainable))
        if layer.activation != "linear":
            found.append(_module(layer.activation, network.dtype, i))
        if layer.dropout:
            found.append(Step("Dropout", {"p": layer.dropout}))
    return found


def _module(activation: str | Activation, dtype: str, layer: int) -> Step:
    name = name_of(activation)
    if name == "leaky_relu":
        slope = activation.negative_slope if isinstance(activation, LeakyReLU) else 0.01
        return Step("LeakyReLU", {"negative_slope": slope})
    if name == "elu":
        return Step("ELU", {"alpha": activation.alpha if isinstance(activation, ELU) else 1.0})
    if name == "softplus":
        return Step("Softplus", {"beta": 1.0, "threshold": 20.0 if dtype == "float32" else 40.0})
    if name not in _MODULES:
        raise ValueError(f"layer {layer} has activation {name!r}, which torch.nn has not")
    kind, settings = _MODULES[name]
    return Step(kind, dict(settings))

"""A page that shows backpropagation: the numbers of some updates, put into page.html."""

from __future__ import annotations

import json
import math
from importlib import resources
from typing import Any

import numpy as np

from fastbp.tracing import Trace, Tracer, formulas
from fastbp.tracing.names import ends
from fastbp.training.status import DivergenceError

#: units of a layer, and layers, that are drawn; of more, the first and the last
MOST_UNITS, MOST_LEVELS = 6, 6
_LABELLED = 12  # weights of a layer: of more, labels would cover each other
_FRAMES = 40


def frames(updates: int) -> list[int]:
    """Which of these updates to show: all, or ever fewer as they go on."""
    if updates < _FRAMES:
        return list(range(updates + 1))
    spaced = np.geomspace(1, updates, _FRAMES - 1).round().astype(int)
    return sorted({0, *spaced.tolist()})


def of(tracer: Tracer, updates: int, about: str) -> str:
    """The page for the next `updates` updates, and the state after them."""
    traces: list[Trace] = []
    first = tracer.updates
    try:
        for after in frames(updates):
            tracer.advance(first + after - tracer.updates)
            traces.append(tracer.take())
    except DivergenceError:
        if not traces:
            raise
        about += f" After {traces[-1].update + 1} updates the error is no longer finite."
    text = json.dumps(_data(traces, tracer, about), ensure_ascii=False, separators=(",", ":"))
    template = resources.files("fastbp.cli").joinpath("page.html").read_text("utf-8")
    return template.replace("/*DATA*/null", text.replace("<", "\\u003c"))


def _data(traces: list[Trace], tracer: Tracer, about: str) -> dict[str, Any]:
    trace = traces[0]
    names, depth = trace.names, len(trace.layers)
    shown = [ends(n, MOST_UNITS) for n in names.widths]
    units = [[i for i in places if i is not None] for places in shown]  # by level
    chosen = ends(depth + 1, MOST_LEVELS)
    levels: list[dict[str, Any]] = []
    for level in chosen:
        if level is None:
            rest = {"key": "gap", "gap": ["…", str(depth + 2 - len(chosen)), "layers"]}
            levels.append({"title": "", "layer": None, "slots": [rest]})
            continue
        title = "inputs" if level == 0 else _title(trace, level - 1)
        slots: list[dict[str, Any]] = []
        for i in shown[level]:
            if i is None:
                more = names.widths[level] - len(units[level])
                slots.append({"key": f"{level}…", "gap": ["…", f"{more:,}", "more"]})
            else:
                name = names.unit(level, i)
                slots.append({"key": name, "name": name, "index": units[level].index(i)})
        levels.append({"title": title, "layer": level - 1, "slots": slots})
    drawn = {level for level in chosen if level is not None}
    parameters, places = _parameters(trace, tracer, units, drawn)
    for parameter in parameters:
        if parameter["unit"] is None:  # a shared bias has a slot below the units that feed it
            slot = {"key": parameter["fromKey"], "bias": parameter["id"]}
            where = [column for column in levels if column["layer"] == parameter["layer"] - 1]
            for column in where:
                column["slots"].append(slot)
    error, slope = formulas.loss(trace.loss.name)
    words = {"a": "a", "t": "t", "z": "z", "k": str(len(trace.targets))}
    fused = trace.layers[-1].output_slopes is None
    rule = f"w⁺ = w − {trace.learning_rate:g} · ∂E/∂w" if trace.plain else str(trace.optimizer)
    return {
        "about": about,
        "levels": levels,
        "inputs": [names.unit(0, i) for i in units[0]],
        "layers": [_layer(trace, i, units[i + 1]) for i in range(depth)],
        "parameters": parameters,
        "targets": [_finite(trace.targets[i]) for i in units[-1]],
        "loss": trace.loss.name,
        "errorRule": error.format(**words),
        "slopeRule": ("δ = " if fused else "∂E/∂a = ") + slope.format(**words),
        "updateRule": rule,
        "rate": trace.learning_rate if trace.plain and _constant(traces) else None,
        "frames": [_frame(one, units, places) for one in traces],
    }


def _constant(traces: list[Trace]) -> bool:
    return len({trace.learning_rate for trace in traces}) == 1


def _title(trace: Trace, index: int) -> str:
    kind = "output layer" if index == len(trace.layers) - 1 else f"hidden layer {index + 1}"
    return f"{kind}, {trace.layers[index].activation}"


def _layer(trace: Trace, index: int, units: list[int]) -> dict[str, Any]:
    layer = trace.layers[index]
    f, slope = formulas.activation(layer.activation)
    rule = "δ = ∂E/∂a · ∂a/∂z"
    if slope:
        rule += ",  ∂a/∂z = " + slope.format(a="a", z="z")
    if layer.slopes is None:
        rule = "δ = a · (∂E/∂a − Σ a · ∂E/∂a)"
    if layer.output_slopes is None:
        rule = "loss and activation together"
    return {
        "title": _title(trace, index),
        "f": f.format(z="z"),
        "rule": rule,
        "penalised": layer.penalised,
        "size": len(layer.outputs),
        "keys": [trace.names.unit(index + 1, i) for i in units],
    }


def _parameters(
    trace: Trace, tracer: Tracer, units: list[list[int]], drawn: set[int]
) -> tuple[list[dict[str, Any]], list[tuple[int, int | None, int]]]:
    """The parameters that are drawn, and where each stands: layer, source (None: a bias), unit."""
    names = trace.names
    found: list[dict[str, Any]] = []
    places: list[tuple[int, int | None, int]] = []
    for index, layer in enumerate(trace.layers):
        if not {index, index + 1} <= drawn:
            continue
        trained = tracer.network.layers[index].trainable
        few = len(units[index]) * len(units[index + 1]) <= _LABELLED
        for u, unit in enumerate(units[index + 1]):
            to = names.unit(index + 1, unit)
            common = {"layer": index, "unit": u, "to": to, "toKey": to, "few": few}
            for s, source in enumerate(units[index]):
                origin = names.unit(index, source)
                name = names.weight(index, source, unit)
                common["frozen"] = trained in (False, "biases")
                ends = {"name": name, "from": origin, "fromKey": origin, "source": s}
                found.append({"id": len(found), **common, **ends})
                places.append((index, source, unit))
            if layer.biases is not None and not layer.shared:
                common["frozen"] = trained in (False, "weights")
                found.append({"id": len(found), **common, "name": names.bias(index, unit)})
                places.append((index, None, unit))
        if layer.shared:
            name, frozen = names.bias(index, None), trained in (False, "weights")
            bias = {"name": name, "fromKey": name, "layer": index, "unit": None, "few": True}
            found.append({"id": len(found), **bias, "frozen": frozen})
            places.append((index, None, 0))
    return found, places


def _frame(
    trace: Trace, units: list[list[int]], places: list[tuple[int, int | None, int]]
) -> dict[str, Any]:
    def of_units(level: int, values: Any) -> list[float | None]:
        return [None if values is None else _finite(values[i]) for i in units[level]]

    def of_parameters(weights: str, biases: str) -> list[float | None]:
        found = []
        for layer, source, unit in places:
            here = trace.layers[layer]
            if source is None:
                found.append(_finite(getattr(here, biases)[unit]))
            else:
                found.append(_finite(getattr(here, weights)[source, unit]))
        return found

    by_layer = {
        key: [of_units(i + 1, getattr(layer, name)) for i, layer in enumerate(trace.layers)]
        for key, name in (
            ("z", "net_inputs"),
            ("s", "output_slopes"),
            ("f", "slopes"),
            ("d", "deltas"),
        )
    }
    outputs = [of_units(i + 1, layer.outputs) for i, layer in enumerate(trace.layers)]
    return {
        "update": trace.update,
        "error": _finite(trace.error),
        "error_after": _finite(trace.error_after),
        **by_layer,
        "a": [of_units(0, trace.inputs), *outputs],
        "e": [_finite(trace.errors[i]) for i in units[-1]],
        "p": of_parameters("weights", "biases"),
        "g": of_parameters("weight_gradients", "bias_gradients"),
        "n": of_parameters("new_weights", "new_biases"),
    }


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None

"""What a trace's tables say, whatever they are printed as."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fastbp.tracing import formulas
from fastbp.tracing.record import LayerTrace, Record
from fastbp.tracing.rendering import Row, Section

#: networks of at most so many parameters are written out
MOST_PARAMETERS = 64
_TOP = 8  # entries of a list of the largest
_ENDS = 6  # layers shown at either end of a deep network


def of(trace: Record) -> list[Section]:
    """All sections of a trace, in the textbook's order."""
    parameters = sum(
        layer.weights.size + (0 if layer.biases is None else layer.biases.size)
        for layer in trace.layers
    )
    return _written_out(trace) if parameters <= MOST_PARAMETERS else _summary(trace, parameters)


def number(value: float) -> str:
    """A number that stands by itself, to 9 digits."""
    return f"{value:.9g}"


def _short(value: float) -> str:
    """A number within a formula, to 6 digits; negative ones in brackets."""
    return f"{value:.6g}" if value >= 0 else f"({value:.6g})"


def _filled(formula: str, words: dict[str, str], values: dict[str, float]) -> str:
    """A formula with names, then with numbers."""
    by_name = formula.format(**words)
    by_value = formula.format(**{**words, **{k: _short(v) for k, v in values.items()}})
    return by_name if by_name == by_value else f"{by_name} = {by_value}"


def _sum(terms: Iterable[str], values: Iterable[str]) -> str:
    return f"{' + '.join(terms)} = {' + '.join(values)}"


def _written_out(trace: Record) -> list[Section]:
    header = ("quantity", "formula", "value")
    found: list[Section] = []
    for index, layer in enumerate(trace.layers):
        where = _where(trace, index)
        found.append(Section(f"Forward: {where}", header, _forward(trace, index, layer)))
    found.append(Section("Error", header, _error(trace)))
    for index in reversed(range(len(trace.layers))):
        where = _where(trace, index)
        found.append(Section(f"Backward: {where}", header, _backward(trace, index)))
        title = f"Weights: {where}, {_rule(trace)}"
        if trace.layers[index].penalised:
            title += "; gradients include the layer's penalties"
        columns = ("weight", "chain rule", "∂E/∂w", "w", "w⁺")
        found.append(Section(title, columns, _weights(trace, index)))
    after: list[Row] = [
        (f"{trace.names.unit(len(trace.layers), j)}⁺", "", number(o))
        for j, o in enumerate(trace.outputs_after)
    ]
    after.append(("E⁺", "", f"{trace.error_after:.15g}"))
    found.append(Section(f"After update {trace.update + 1}", header, after))
    return found


def _where(trace: Record, index: int) -> str:
    kind = "output layer" if index == len(trace.layers) - 1 else f"hidden layer {index + 1}"
    return f"{kind} ({trace.layers[index].activation})"


def _rule(trace: Record) -> str:
    if trace.plain:
        return f"w⁺ = w − {trace.learning_rate:g} · ∂E/∂w"
    return f"w⁺ by {trace.optimizer}"


def _forward(trace: Record, index: int, layer: LayerTrace) -> list[Row]:
    names, source = trace.names, trace.source(index)
    rows: list[Row] = []
    inputs = [names.unit(index, i) for i in range(len(source))]
    for j, (z, a) in enumerate(zip(layer.net_inputs, layer.outputs, strict=True)):
        unit = names.unit(index + 1, j)
        terms = [f"{names.weight(index, i, j)}·{name}" for i, name in enumerate(inputs)]
        values = [
            f"{_short(w)}·{_short(x)}" for w, x in zip(layer.weights[:, j], source, strict=True)
        ]
        if layer.biases is not None:
            terms.append(names.bias(index, None if layer.shared else j))
            values.append(_short(layer.biases[0 if layer.shared else j]))
        rows.append((f"z_{unit}", _sum(terms, values), number(z)))
        f = formulas.activation(layer.activation)[0].format(z=f"z_{unit}")
        rows.append((unit, f, number(a)))
    return rows


def _error(trace: Record) -> list[Row]:
    last = trace.layers[-1]
    rows: list[Row] = []
    formula = formulas.loss(trace.loss.name)[0]
    for j, e in enumerate(trace.errors):
        words, values = _of_output(trace, j)
        rows.append((f"E_{words['a']}", _filled(formula, words, values), number(e)))
    total = " + ".join(row[0] for row in rows)
    return [*rows, ("E", total if len(last.outputs) > 1 else "", f"{trace.error:.15g}")]


def _of_output(trace: Record, j: int) -> tuple[dict[str, str], dict[str, float]]:
    """Names and values of an output's a, t, z and k."""
    last, unit = trace.layers[-1], trace.names.unit(len(trace.layers), j)
    words = {"a": unit, "t": f"t{j + 1}", "z": f"z_{unit}", "k": str(len(last.outputs))}
    values = {
        "a": float(last.outputs[j]),
        "t": float(trace.targets[j]),
        "z": float(last.net_inputs[j]),
    }
    return words, values


def _backward(trace: Record, index: int) -> list[Row]:
    layer, names = trace.layers[index], trace.names
    rows: list[Row] = []
    last = index == len(trace.layers) - 1
    for j, delta in enumerate(layer.deltas):
        unit = names.unit(index + 1, j)
        if layer.output_slopes is None:  # fused
            words, values = _of_output(trace, j)
            formula = _filled(formulas.loss(trace.loss.name)[1], words, values)
            rows.append((f"δ_{unit}", formula, number(delta)))
            continue
        if last:
            formula = _filled(formulas.loss(trace.loss.name)[1], *_of_output(trace, j))
        else:
            above = trace.layers[index + 1]
            terms, values_ = [], []
            for i, d in enumerate(above.deltas):
                terms.append(f"δ_{names.unit(index + 2, i)}·{names.weight(index + 1, j, i)}")
                values_.append(f"{_short(d)}·{_short(above.weights[j, i])}")
            formula = _sum(terms, values_)
        rows.append((f"∂E/∂{unit}", formula, number(layer.output_slopes[j])))
        if layer.slopes is None:
            rows.append((f"δ_{unit}", f"{unit} · (∂E/∂{unit} − Σ a · ∂E/∂a)", number(delta)))
            continue
        a, z = float(layer.outputs[j]), float(layer.net_inputs[j])
        slope = _filled(
            formulas.activation(layer.activation)[1],
            {"a": unit, "z": f"z_{unit}"},
            {"a": a, "z": z},
        )
        rows.append((f"∂{unit}/∂z_{unit}", slope, number(layer.slopes[j])))
        product = f"{_short(layer.output_slopes[j])} · {_short(layer.slopes[j])}"
        rows.append((f"δ_{unit}", f"∂E/∂{unit} · ∂{unit}/∂z_{unit} = {product}", number(delta)))
    return rows


def _weights(trace: Record, index: int) -> list[Row]:
    layer, names = trace.layers[index], trace.names
    rows: list[Row] = []
    n_in, units = layer.weights.shape
    for j in range(units):
        rows += [weight_row(trace, index, i, j) for i in range(n_in)]
    if layer.biases is None or layer.bias_gradients is None or layer.new_biases is None:
        return rows
    deltas = [f"δ_{names.unit(index + 1, j)}" for j in range(units)]
    for j, b in enumerate(layer.biases):
        chain = _sum(deltas, map(_short, layer.deltas)) if layer.shared else deltas[j]
        name = names.bias(index, None if layer.shared else j)
        figures = (layer.bias_gradients[j], b, layer.new_biases[j])
        rows.append((name, chain, *map(number, figures)))
    return rows


def weight_row(trace: Record, layer: int, source: int, unit: int) -> Row:
    """A weight's name, chain rule, gradient, old and new value."""
    w = trace.weight_at(layer, source, unit)
    if w.output_slope is None or w.slope is None:
        chain = f"δ_{w.unit} · {w.source} = {_short(w.delta)} · {_short(w.input)}"
    else:
        factors = " · ".join(map(_short, (w.output_slope, w.slope, w.input)))
        chain = f"∂E/∂{w.unit} · ∂{w.unit}/∂z_{w.unit} · ∂z_{w.unit}/∂{w.name} = {factors}"
    return (w.name, chain, *map(number, (w.gradient, w.weight, w.new_weight)))


# -- larger networks -------------------------------------------------------------------------------


def _summary(trace: Record, parameters: int) -> list[Section]:
    names, widths = trace.names, "-".join(map(str, trace.names.widths))
    columns = ("layer", "units", "‖z‖", "‖a‖", "‖∂E/∂a‖", "‖δ‖", "‖∂E/∂W‖", "‖W⁺ − W‖")
    rows: list[Row] = []
    for index, layer in enumerate(trace.layers):
        if _ENDS <= index < len(trace.layers) - _ENDS:
            if index == _ENDS:
                rows.append(("…",) * len(columns))
            continue
        before_f = layer.output_slopes
        norms = [
            *map(_norm, (layer.net_inputs, layer.outputs)),
            "–" if before_f is None else _norm(before_f),
            *map(_norm, (layer.deltas, layer.weight_gradients, layer.new_weights - layer.weights)),
        ]
        rows.append((f"{index + 1} {layer.activation}", str(len(layer.outputs)), *norms))
    found = [Section(f"Network {widths}: {parameters:,} parameters, by layer", columns, rows)]

    count = len(trace.errors)
    outputs: list[Row] = [
        (names.unit(len(trace.layers), j), *map(number, (trace.targets[j], a, trace.errors[j])))
        for j in _largest(trace.errors)
        for a in [trace.layers[-1].outputs[j]]
    ]
    outputs.append(("all", "", "", f"{trace.error:.15g}"))
    title = f"Error: the largest of {count} outputs"
    found.append(Section(title, ("output", "target", "a", "E"), outputs))

    units = [(index, j) for index, layer in enumerate(trace.layers) for j in _largest(layer.deltas)]
    units.sort(key=lambda at: -abs(float(trace.layers[at[0]].deltas[at[1]])))
    shown: list[Row] = []
    for index, j in units[:_TOP]:
        layer = trace.layers[index]
        slopes = (layer.output_slopes, layer.slopes)
        figures = [
            layer.net_inputs[j],
            layer.outputs[j],
            *(s if s is None else s[j] for s in slopes),
        ]
        cells = ["–" if value is None else number(value) for value in (*figures, layer.deltas[j])]
        shown.append((names.unit(index + 1, j), *cells))
    total = sum(len(layer.deltas) for layer in trace.layers)
    title = f"Backward: the largest |δ| of {total:,} units"
    found.append(Section(title, ("unit", "z", "a", "∂E/∂a", "∂a/∂z", "δ"), shown))

    places = []
    for index, layer in enumerate(trace.layers):
        for at in _largest(layer.weight_gradients.ravel()):
            source, unit = divmod(int(at), layer.weights.shape[1])
            places.append((-abs(float(layer.weight_gradients[source, unit])), index, source, unit))
    rows = [weight_row(trace, *place[1:]) for place in sorted(places)[:_TOP]]
    total = sum(layer.weights.size for layer in trace.layers)
    title = f"Weights: the largest |∂E/∂w| of {total:,}, {_rule(trace)}"
    found.append(Section(title, ("weight", "chain rule", "∂E/∂w", "w", "w⁺"), rows))
    after: list[Row] = [("E⁺", f"{trace.error_after:.15g}")]
    found.append(Section(f"After update {trace.update + 1}", ("quantity", "value"), after))
    return found


def _largest(values: np.ndarray) -> list[int]:
    """The places of the 8 greatest absolute values, the greatest first."""
    size = np.abs(values)
    places = np.argpartition(-size, _TOP)[:_TOP] if len(size) > _TOP else np.arange(len(size))
    return [int(place) for place in sorted(places, key=lambda place: (-size[place], place))]


def _norm(values: np.ndarray) -> str:
    return f"{float(np.linalg.norm(values.astype(np.float64))):.4g}"

"""The command explain: backpropagation on one sample, number by number."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Annotated, Any, cast

import numpy as np
import typer

import fastbp
from fastbp import optimizers
from fastbp.cli import display, page, stored
from fastbp.cli.options import check_writable
from fastbp.files import atomic
from fastbp.layers.activations import name_of
from fastbp.tabular.files import read_table
from fastbp.tabular.table import UserError, quoted
from fastbp.tracing import Tracer

_INPUTS, _TARGETS = (0.05, 0.10), (0.01, 0.99)
_WEIGHTS = ([[0.15, 0.25], [0.20, 0.30]], [0.35], [[0.40, 0.50], [0.45, 0.55]], [0.60])


class Show(str, Enum):
    text = "text"
    markdown = "markdown"
    latex = "latex"
    json = "json"


def explain(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A model file; the textbook's 2-2-2.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="A file with a row for a model of fastbp train."),
    ] = None,
    row: Annotated[int, typer.Option(min=1, help="Which row of it; the first one is 1.")] = 1,
    inputs: Annotated[
        str | None, typer.Option(help="Numbers such as 0.05,0.10, in place of a file.")
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="Numbers such as 0.01,0.99, or a class id.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="By default cross_entropy for softmax outputs, else half_squared_error."),
    ] = None,
    optimizer: Annotated[str, typer.Option(help="By name: sgd, adam, …")] = "sgd",
    learning_rate: Annotated[
        float | None, typer.Option(help="By default 0.5 for sgd, else the optimizer's own.")
    ] = None,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Leave the biases as they are.")
    ] = False,
    after: Annotated[int, typer.Option(min=0, help="Updates to make before.")] = 0,
    show: Annotated[Show, typer.Option("--format", help="Of what is printed.")] = Show.text,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page to click through instead.")
    ] = None,
    updates: Annotated[int, typer.Option(min=0, help="Over which the page's slider goes.")] = 100,
) -> None:
    """Show every number of one backpropagation step: on the terminal, or as a page."""
    if html is not None:
        check_writable(html, *(path for path in (model, data) if path is not None))
    network = _textbook()
    change = None
    if model is not None:
        network, change = stored.load(model)
    x: Any = _numbers("--inputs", inputs) if inputs is not None else None
    t: Any = _numbers("--targets", targets) if targets is not None else None
    if data is not None:
        if change is None or inputs is not None or targets is not None:
            raise UserError("DATA goes with a model of fastbp train, without --inputs, --targets")
        table = read_table(data)
        if row > len(table):
            raise UserError(f"{data}: --row {row}, but there are {len(table)} rows")
        table = table.keep(np.arange(len(table)) == row - 1)
        x, t = change.inputs(table, network.dtype)[0], change.targets(table, network.dtype)[0]
    elif model is None:
        x, t = _INPUTS if x is None else x, _TARGETS if t is None else t
    elif x is None or t is None:
        what = "a file with a row" if change is not None else "--inputs and --targets"
        raise UserError(f"{model}: a sample is needed: give {what}")
    if loss is None:
        softmax = name_of(network.layers[-1].activation) == "softmax"
        loss = "cross_entropy" if softmax else "half_squared_error"
    try:
        kind = optimizers.resolve(optimizer)
        rate = 0.5 if learning_rate is None and isinstance(kind, fastbp.SGD) else learning_rate
        if rate is not None:
            kind = replace(kind, learning_rate=rate)
        tracer = Tracer(network, x, t, cast(Any, loss), kind, weights_only=weights_only)
        tracer.advance(after)
        if html is None:
            step = tracer.take()
        else:
            widths = "-".join(map(str, [network.n_inputs, *(n.units for n in network.layers)]))
            about = f"A {widths} network and one sample; {loss}, {kind}."
            content = page.of(tracer, updates, about)
    except fastbp.DivergenceError as error:
        raise UserError(str(error)) from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{model}: {error}" if model else str(error)) from None
    if html is None:
        texts: dict[Show, Callable[[], str]] = {
            Show.text: step.__str__,
            Show.markdown: step.to_markdown,
            Show.latex: step.to_latex,
            Show.json: lambda: json.dumps(step.to_dict()),
        }
        display.say_lines(texts[show]())
        return
    try:
        atomic.write(html, content.encode())
    except OSError as error:
        raise UserError(f"{html}: {error.strerror}") from None
    display.say(f"page written to {html}")


def _textbook() -> fastbp.Network:
    layers = [fastbp.Dense(2, "sigmoid", bias="shared") for _ in range(2)]
    network = fastbp.Network(2, layers, dtype="float64", seed=0)
    network.set_weights(_WEIGHTS)
    return network


def _numbers(option: str, text: str) -> Any:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{option} takes numbers such as 0.05,0.10, got {quoted(text)}") from None
    return int(values[0]) if len(values) == 1 and values[0].is_integer() else values

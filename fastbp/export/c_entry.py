"""The functions of a C header that are called from outside, and the comment that it begins with.

``@`` is the prefix of every name, as in c_math.py; texts of the user's have none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

import fastbp.layers.activations as act
from fastbp.data.columns import Category, Labels, Number
from fastbp.export.table import Table
from fastbp.network import Network

_NUMBER = """\
static inline int @number(double x, double mean, double scale, int missing, float *out) {
    const double z = x != x && missing ? 0.0 : (x - mean) / scale;
    if (!(z >= -3.4028234663852886e38 && z <= 3.4028234663852886e38)) {
        return 0;
    }
    *out = (float)z;
    return 1;
}"""

_CATEGORY = """\
static inline int @category(double x, int first, int count, int fill, int unseen, float *out) {
    int i, found = 0;
    for (i = 0; i < count; i++) {
        const int one = x != x ? i == fill : x >= first + i && x <= first + i;
        out[i] = one ? 1.0f : 0.0f;
        found |= one;
    }
    return found || (unseen && x >= x);
}"""

_CLASS = """\
static inline int @class({kind}) {{
    float p[{n}];
    int i, best = 0;
    if (@predict(in, p) != 0) {{
        return -1;
    }}
    for (i = 1; i < {n}; i++) {{
        best = p[i] > p[best] ? i : best;
    }}
    return p[best] >= 0.0f ? best : -1;
}}"""

_LABEL = """\
static inline const char *@label(int number) {{
    static const char *const labels[{n}] = {{{texts}}};
    return number >= 0 && number < {n} ? labels[number] : "";
}}"""


def decimal(value: Any) -> str:
    """The shortest decimal that is read back as the same float."""
    return f"{np.format_float_scientific(np.float32(value), unique=True, trim='0')}f"


def layer_call(
    index: int,
    activation: Any,
    arrays: Sequence[str],
    shape: tuple[int, ...],
    per_unit: bool,
    count: int,
) -> list[str]:
    """The statements of a layer; its outputs go to one of two buffers in turn, the last's to y."""
    source = "x" if index == 0 else "ab"[(index - 1) % 2]
    goal = "y" if index == count - 1 else "ab"[index % 2]
    passed = ", ".join(f"@{key}{index}" for key in arrays)
    lines = [f"@dense({passed}, {int(per_unit)}, {shape[0]}, {shape[1]}, {source}, {goal});"]
    name = act.name_of(activation)
    if name == "softmax":
        lines.append(f"@softmax({goal}, {shape[1]});")
    elif name != "linear":
        settings = "".join(f", {decimal(value)}" for value in act.parameters_of(activation))
        lines += [
            f"for (i = 0; i < {shape[1]}; i++) {{",
            f"    {goal}[i] = @{name}({goal}[i]{settings});",
            "}",
        ]
    return lines


def entry(
    network: Network, table: Table | None, widths: Sequence[int], calls: Sequence[str]
) -> list[str]:
    """The C function `predict`, and the functions that stand before and after it."""
    kind = "const float *in" if table is None else "const double *in"
    regression = table is not None and isinstance(table.target, Number)
    out = "double" if regression else "float"
    scratch = [f"float {'ab'[i]}[{max(widths[i::2])}];" for i in (0, 1) if widths[i::2]]
    parts: list[str] = []
    lines = list(scratch)
    if any(line.startswith("for (i") for line in calls):
        lines.append("size_t i;")
    if table is None:
        calls = [re.sub(r"\bx\b", "in", line) for line in calls]
    else:
        lines.append(f"float x[{network.n_inputs}];")
    if regression:
        lines.append("float y[1];")
    else:
        calls = [re.sub(r"\by\b", "out", line) for line in calls]
    if table is not None:
        parts += _column_functions(table)
        lines += _columns(table)
    lines += calls
    if regression:
        goal: Any = table.target if table else None
        lines.append(f"out[0] = (double)y[0] * {goal.scale!r} + {goal.mean!r};")
    lines.append("return 0;")
    body = "\n".join("    " + line for line in lines)
    parts.append(f"static inline int @predict({kind}, {out} *out) {{\n{body}\n}}")
    if act.name_of(network.layers[-1].activation) == "softmax" and network.n_outputs > 1:
        parts.append(_CLASS.format(kind=kind, n=network.n_outputs))
    if table is not None and isinstance(table.target, Labels):
        texts = ", ".join(map(_string, table.target.names))
        parts.append(_LABEL.format(n=network.n_outputs, texts=texts))
    return parts


def _column_functions(table: Table) -> list[str]:
    found = []
    if any(isinstance(column, Number) for column in table.columns):
        found.append(_NUMBER)
    if any(isinstance(column, Category) for column in table.columns):
        found.append(_CATEGORY)
    return found


def _columns(table: Table) -> list[str]:
    lines, start = [], 0
    mean, zero = int(table.missing == "mean"), int(table.unseen == "zero")
    for index, column in enumerate(table.columns):
        if isinstance(column, Number):
            call = f"@number(in[{index}], {column.mean!r}, {column.scale!r}, {mean}, x + {start})"
        else:
            first = int(column.boolean and column.categories[0] == "true")
            fill = column.categories.index(column.fill) if mean else -1
            call = f"@category(in[{index}], {first}, {column.width}, {fill}, {zero}, x + {start})"
        lines += [f"if (!{call}) {{", f"    return {index + 1};", "}"]
        start += column.width
    return lines


def _string(text: str) -> str:
    """A C string of these characters in UTF-8; what isn't a plain letter is written in octal."""
    plain = "".join(map(chr, range(32, 127))).translate(str.maketrans("", "", '"\\?@'))
    shown = (chr(b) if chr(b) in plain else f"\\{b:03o}" for b in text.encode())
    return '"' + "".join(shown) + '"'


def _comment(text: object) -> str:
    """Text on one line of ASCII that can't end a comment."""
    return ascii(str(text)).replace("*/", "*\\/").replace("/*", "/\\*").replace("?", "\\x3f")


def head(network: Network, name: str, math: bool, facts: Sequence[str], table: Table | None) -> str:
    """The beginning of a header: its comment, its guard and what it includes."""
    layers = [f"{layer.units} {layer.activation}" for layer in network.layers]
    lines = [f"{network.n_inputs} inputs; {', '.join(layers)}.", *facts, ""]
    if table is None:
        lines.append(f"in has {network.n_inputs} values, out {network.n_outputs}.")
    else:
        lines.append("in has one double a column:")
        for index, column in enumerate(table.columns):
            if isinstance(column, Number):
                lines.append(f"  in[{index}]: {_comment(column.name)}, a number")
            elif column.boolean:
                lines.append(f"  in[{index}]: {_comment(column.name)}, 0 is false, 1 is true")
            else:
                lines.append(f"  in[{index}]: {_comment(column.name)}, a category's number:")
                lines += [f"    {i} is {_comment(c)}" for i, c in enumerate(column.categories)]
        lines.append(
            "A NaN is a missing value, for which a mean is taken."
            if table.missing == "mean"
            else "A missing value, NaN, is not taken."
        )
        if any(isinstance(column, Category) for column in table.columns):
            others = "none of them" if table.unseen == "zero" else "not taken"
            lines.append(f"Another category, such as -1, is {others}.")
        if isinstance(table.target, Number):
            lines.append("out is one double, the target in its own units.")
        else:
            lines.append(f"out has {network.n_outputs} values, the probabilities of:")
            lines += [f"  {i} is {_comment(v)}" for i, v in enumerate(table.target.labels)]
        lines.append(f"{name}_predict returns 0, or 1 plus the number of the column not taken.")
    guard = f"{name.upper()}_H"
    text = "\n".join(f" * {line}".rstrip() for line in lines)
    includes = "#include <stddef.h>" + ("\n#include <math.h>" if math else "")
    comment = f"/*\n * {name}.h: a network of fastbp's.\n{text}\n */"
    return f"{comment}\n#ifndef {guard}\n#define {guard}\n\n{includes}"

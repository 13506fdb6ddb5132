"""Sections, each a heading and a table, as text, Markdown and LaTeX."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Sequence
from typing import NamedTuple

_LEAST_WIDTH, _GREATEST_WIDTH = 60, 140
Row = tuple[str, ...]


class Section(NamedTuple):
    """A heading, and a table; cells are formulas or numbers."""

    title: str
    header: Row
    rows: list[Row]


def text(sections: Sequence[Section]) -> str:
    """Sections as text: tables by rich where that is installed, plain ones elsewhere."""
    try:
        return _rich(sections)
    except ModuleNotFoundError:
        return _plain(sections)


def _rich(sections: Sequence[Section]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    width = min(max(shutil.get_terminal_size((100, 24)).columns, _LEAST_WIDTH), _GREATEST_WIDTH)
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False, emoji=False)
    for section in sections:
        console.print(section.title, soft_wrap=True)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in section.header:
            wide = _wide(name)
            table.add_column(
                name, justify="left" if wide else "right", no_wrap=not wide, overflow="fold"
            )
        for row in section.rows:
            table.add_row(*row)
        console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")


def _plain(sections: Sequence[Section]) -> str:
    lines = []
    for section in sections:
        table = [section.header, *section.rows]
        widths = [max(len(row[c]) for row in table) for c in range(len(section.header))]
        lines += [section.title, ""]
        lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        lines.append("")
    return "\n".join(lines).rstrip()


def markdown(sections: Sequence[Section]) -> str:
    """Sections as Markdown, a heading and a table each."""
    parts = []
    for section in sections:
        rows = [section.header, ("---",) * len(section.header), *section.rows]
        table = ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]
        parts.append("\n".join([f"### {section.title}", "", *table]))
    return "\n\n".join(parts) + "\n"


def latex(sections: Sequence[Section]) -> str:
    """Sections as LaTeX, a paragraph and a longtable each."""
    parts = []
    for section in sections:
        columns = "".join("p{0.55\\linewidth}" if _wide(name) else "l" for name in section.header)
        rows = [" & ".join(_title(name) for name in section.header) + r" \\ \hline"]
        rows += [" & ".join(map(_maths, row)) + r" \\" for row in section.rows]
        parts.append(
            "\n".join(
                [
                    rf"\paragraph{{{_title(section.title)}}}",
                    rf"\begin{{longtable}}{{{columns}}}",
                    *rows,
                    r"\end{longtable}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def _wide(name: str) -> bool:
    """Whether a column of this name holds formulas, which may take several lines."""
    return name in ("formula", "chain rule")


_NAME = re.compile(r"(?<![A-Za-z\\_])([ihowbt])(\d+(?:\.\d+)?)")
_INDEXED = re.compile(r"([zδE])_(\w[\d.]*)")
_POWER = re.compile(r"(\d)e([+-]\d+)")
_SLOPE = re.compile(r"∂(\w+(?:[\d.]+)?)/∂(\w[\w.]*)")
_WORD = re.compile(r"[A-Za-z][A-Za-z_]+(?=[(′ ,]|$)")
_SIGNS = {
    "∂ ": r"\partial ", "∂": r"\partial ", "δ": r"\delta ", "Σ": r"\sum ", "·": r"\cdot ", "−": "-",
    "½": r"\frac{1}{2} ", "²": "^{2}", "⁺": "^{+}", "‖": r"\|", "′": "'", "…": r"\dots ", "–": "-",
}  # fmt: skip


def _maths(cell: str) -> str:
    """The text of a cell in LaTeX's math mode."""
    if not cell:
        return ""
    cell = _WORD.sub(lambda word: rf"\mathrm{{{word[0].replace('_', chr(92) + '_')}}}", cell)
    cell = _POWER.sub(lambda m: rf"{m[1]} \cdot 10^{{{int(m[2])}}}", cell)
    cell = _SLOPE.sub(lambda m: rf"\frac{{∂ {m[1]}}}{{∂ {m[2]}}}", cell)
    cell = _INDEXED.sub(lambda m: f"{m[1]}_{{{m[2]}}}", cell)
    cell = _NAME.sub(lambda m: f"{m[1]}_{{{m[2]}}}", cell)
    for sign, command in _SIGNS.items():
        cell = cell.replace(sign, command)
    return f"${cell}$"


def _title(words: str) -> str:
    """Words for LaTeX, with the mathematical signs among them in math mode."""
    words = words.replace("_", r"\_")
    words = _SLOPE.sub(lambda m: rf"$\frac{{\partial {m[1]}}}{{\partial {m[2]}}}$", words)
    for sign, command in _SIGNS.items():
        words = words.replace(sign, f"${command.strip()}$" if command != "-" else "-")
    return words.replace("w$^{+}$", "$w^{+}$").replace("W$^{+}$", "$W^{+}$")

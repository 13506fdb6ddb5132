"""What a notebook shows: plain tables of HTML, in the page's own colours, without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    strong: Iterable[int] = (),
    numbers: Iterable[int] = (),
) -> str:
    """A table as HTML, its texts escaped.

    Parameters
    ----------
    caption : str
        The line above it.
    head : sequence of str
        The names of its columns.
    rows : iterable of sequence of str
        Its cells.
    strong : iterable of int
        Which rows stand out, from 0.
    numbers : iterable of int
        Which columns are set flush right, from 0.

    Returns
    -------
    str
        Without a colour, so that it can be read on light and dark pages.
    """
    right = set(numbers)

    def line(kind: str, cells: Iterable[str]) -> str:
        sides = ("right" if column in right else "left" for column in range(len(head)))
        made = (
            f'<{kind} style="text-align: {side}">{escape(cell)}</{kind}>'
            for cell, side in zip(cells, sides, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    bold = set(strong)
    body = "".join(line("th" if row in bold else "td", cells) for row, cells in enumerate(rows))
    return (
        f"<div>{escape(caption)}</div>"
        f"<table><thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"
    )

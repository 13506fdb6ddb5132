"""A trace: the figures of a step, with its tables as text, Markdown and LaTeX."""

from __future__ import annotations

from dataclasses import dataclass

from fastbp.tracing import rendering, sections
from fastbp.tracing.record import Record


# The constructor is Record's, which stands where the names in its annotations are known.
@dataclass(frozen=True, eq=False, init=False)
class Trace(Record):
    """Every quantity of one backpropagation step; see `fastbp.trace`.

    ``print`` shows it as tables in the textbook's order, with each number's formula written out
    for networks of up to 64 parameters, and a summary for larger ones.

    Attributes
    ----------
    inputs : ndarray
        (n_inputs,), as the kernels read them; read-only.
    targets : ndarray
        (n_outputs,), likewise.
    layers : tuple of LayerTrace
        First hidden layer first.
    errors : ndarray
        The error's part of each output, (n_outputs,).
    error : float
        E before the update.
    error_after : float
        E after the update.
    outputs_after : ndarray
        The network's outputs after the update, (n_outputs,).
    loss : Loss
        As an object.
    optimizer : Optimizer
        As an object.
    learning_rate : float
        Of this update.
    update : int
        How many updates came before.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64")
    >>> net.set_weights([[[3.0]]])
    >>> step = fastbp.trace(net, [2.0], [5.0], optimizer=fastbp.SGD(0.25))
    >>> step.error, step.weight("w1").gradient, step.weight("w1").new_weight
    (0.5, 2.0, 2.5)
    """

    def to_markdown(self) -> str:
        """The tables as Markdown.

        Returns
        -------
        str
            Of several lines.
        """
        return rendering.markdown(sections.of(self))

    def to_latex(self) -> str:
        """The tables as LaTeX, for a document with the packages amsmath and longtable.

        Returns
        -------
        str
            Of several lines.
        """
        return rendering.latex(sections.of(self))

    def __str__(self) -> str:
        return rendering.text(sections.of(self))

    def __repr__(self) -> str:
        widths = "-".join(map(str, self.names.widths))
        return f"<Trace of {widths}: error {self.error:.9g}, then {self.error_after:.9g}>"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

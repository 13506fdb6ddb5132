"""Pictures of networks and of their training (extra ``plot``: matplotlib).

Every function that draws returns its axes, and draws on axes of yours where it is given `ax`; else
on a new figure of pyplot's, which a notebook shows. Colours follow the axes' background, light or
dark; nothing of matplotlib's settings is changed.

>>> import matplotlib; matplotlib.use("agg")
>>> import fastbp
>>> from fastbp import plot
>>> ax = plot.activation_functions(["tanh", "relu"])
>>> ax.get_xlabel()
'z'
"""

try:
    import matplotlib as _matplotlib
except ModuleNotFoundError as error:
    if error.name != "matplotlib":  # there, but something that it needs is not
        raise
    raise ImportError(
        "fastbp.plot needs matplotlib, which the extra fastbp[plot] installs: "
        'pip install "fastbp[plot]"'
    ) from error

from fastbp.plot.boundary import decision_boundary
from fastbp.plot.curves import learning_curves
from fastbp.plot.descent import Descent
from fastbp.plot.diagram import network
from fastbp.plot.functions import activation_functions
from fastbp.plot.histograms import activation_histograms, weight_histograms
from fastbp.plot.landscape import LossLandscape, loss_landscape
from fastbp.plot.surface import loss_contours, loss_surface
from fastbp.version import named_by

del _matplotlib

__all__ = [
    "Descent",
    "LossLandscape",
    "activation_functions",
    "activation_histograms",
    "decision_boundary",
    "learning_curves",
    "loss_contours",
    "loss_landscape",
    "loss_surface",
    "network",
    "weight_histograms",
]

named_by(__name__, [globals()[name] for name in __all__])
del named_by

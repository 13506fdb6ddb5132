"""The table of all updates of the weights: one small kernel an optimizer, by its name.

A kernel works in place on a contiguous run of n parameters. p = parameters, g = gradient, s0 ... s2
= the optimizer's slots in the same order; `hyper` is that of hyper.py.
"""

from __future__ import annotations

from fastbp.kernels.updates import adam, adaptive, descent

UPDATES = {**descent.UPDATES, **adam.UPDATES, **adaptive.UPDATES}

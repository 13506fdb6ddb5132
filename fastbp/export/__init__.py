"""Networks for programs that have no Python: C source, and ONNX graphs.

>>> import fastbp
>>> from fastbp import export
>>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
>>> "int xor_predict(const float *in, float *out)" in export.to_c(net, name="xor").text
True
"""

from fastbp.data.columns import Category, Labels, Number
from fastbp.export.c import CHeader, to_c
from fastbp.export.graph import to_onnx
from fastbp.export.table import Table

__all__ = ["CHeader", "Category", "Labels", "Number", "Table", "to_c", "to_onnx"]

for _public in (CHeader, Category, Labels, Number, Table):  # as those of fastbp itself
    _public.__module__ = __name__
del _public

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
from fastbp.version import named_by

__all__ = ["CHeader", "Category", "Labels", "Number", "Table", "to_c", "to_onnx"]

named_by(__name__, [globals()[name] for name in __all__])
del named_by

"""One backpropagation step in full: every quantity that the kernels work out on the way."""

from fastbp.tracing.display import Trace
from fastbp.tracing.record import LayerTrace, WeightTrace
from fastbp.tracing.taking import Tracer, trace
from fastbp.version import named_by

__all__ = ["LayerTrace", "Trace", "Tracer", "WeightTrace", "trace"]

named_by("fastbp", [LayerTrace, Trace, WeightTrace])

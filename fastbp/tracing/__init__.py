"""One backpropagation step in full: every quantity that the kernels work out on the way."""

from fastbp.tracing.display import Trace
from fastbp.tracing.record import LayerTrace, WeightTrace
from fastbp.tracing.taking import Tracer, trace

__all__ = ["LayerTrace", "Trace", "Tracer", "WeightTrace", "trace"]

"""Everything that is compiled, and nothing else; it imports nothing of the rest of fastbp."""

from fastbp.kernels.compiling import inside

inside.require(inside.NEEDED)  # before a module fails at what it lacks

"""numba and LLVM: flags, signatures, the cache of machine code, vectors and the barrier."""

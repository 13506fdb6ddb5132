"""C functions of a state, for programs that take function pointers."""

from __future__ import annotations

import ctypes
from typing import Any

from fastbp.ffi.states import State
from fastbp.kernels.ffi import c_functions as kernels


class CFunction:
    """A C function and its state (`Network.c_function`, `Trainer.c_function`).

    ``int64_t f(void *state, const T *in, T *out, int64_t n)``, T being float or double as the
    network's dtype is. It returns a status of `fastbp.jit`, needs no interpreter lock, and may be
    called from one thread at a time for each object; a call that finds another at work returns
    `BUSY`. `in` and `out` must share no memory: nothing looks for that.

    The pointers are good as long as this object lives, which keeps network and trainer alive. Keep
    it until nobody calls any more.

    Parameters
    ----------
    state : tuple of ndarray
        From `Network.compiled` or `Trainer.compiled`.
    training : bool
        Whether it trains; else it predicts.

    Attributes
    ----------
    address : int
        Of the function.
    state_address : int
        What to hand it as `state`.
    ctypes : ctypes function
        It takes addresses (``array.ctypes.data``) and n.
    cffi_signature : str
        As cffi's ``cast`` takes it.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    >>> f = net.c_function()
    >>> x, out = np.ones((3, 2), np.float32), np.empty((3, 1), np.float32)
    >>> f.ctypes(f.state_address, x.ctypes.data, out.ctypes.data, 3)
    0
    >>> f.cffi_signature
    'int64_t (*)(void *, const float *, float *, int64_t)'
    """

    def __init__(self, state: State, *, training: bool) -> None:
        self._cells, like = state
        self._dtype = like.dtype.name
        kind = {"float32": "float", "float64": "double"}[self._dtype]
        kernel = kernels.train if training else kernels.predict
        self.address: int = kernel.c_address(self._dtype)
        self.state_address = int(self._cells.ctypes.data)
        self.cffi_signature = f"int64_t (*)(void *, const {kind} *, {kind} *, int64_t)"
        arguments = [ctypes.c_void_p] * 3
        self.ctypes = ctypes.CFUNCTYPE(ctypes.c_int64, *arguments, ctypes.c_int64)(self.address)

    @property
    def scipy_integrand(self) -> Any:
        """A ``scipy.LowLevelCallable`` for `scipy.integrate.quad` and `nquad`.

        Of a network of one output: ``double (int, double *, void *)``; NaN where the number of
        inputs is not the network's, or one is not finite.
        """
        return self._low_level(kernels.integrand)

    @property
    def scipy_filter(self) -> Any:
        """A ``scipy.LowLevelCallable`` for `scipy.ndimage.generic_filter`.

        Of a network of one output, with as many inputs as the filter's footprint has places:
        ``int (double *, npy_intp, double *, void *)``, which fails otherwise.
        """
        return self._low_level(kernels.filter)

    def _low_level(self, kernel: Any) -> Any:
        from scipy import LowLevelCallable

        # numpy's pointer holds on to the cells, and they to all else.
        data = self._cells.ctypes.data_as(ctypes.c_void_p)
        return LowLevelCallable(kernel.ctypes(self._dtype), data)

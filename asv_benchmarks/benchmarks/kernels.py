"""Every kernel on its own, called again and again from one compiled loop, on data in L1 or L2.

Kernels that work in place get their values anew after a few calls, in the timed part: repeated
without end they would drift to denormals or infinity, which take another time.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from places import part

from .common import DTYPES, skipped_where_missing

ACTIVATIONS = (
    "sigmoid", "tanh", "relu", "softmax", "leaky_relu", "elu", "selu", "relu6", "hard_sigmoid",
    "hard_tanh", "gelu", "gelu_tanh", "silu", "mish", "softplus", "softsign", "exp", "sine",
)  # fmt: skip
LOSSES = (
    "mse", "half_squared_error", "binary_cross_entropy", "cross_entropy", "cross_entropy_smoothed",
    "kl_divergence", "mae", "huber", "log_cosh", "quantile", "hinge", "poisson",
)  # fmt: skip
UPDATES = (
    "sgd", "sgd_momentum", "sgd_nesterov", "adam", "adam_amsgrad", "adamw", "adamw_amsgrad",
    "adamax", "nadam", "radam", "rmsprop", "rmsprop_momentum", "rmsprop_centered",
    "rmsprop_centered_momentum", "adagrad", "adadelta", "rprop", "lion",
)  # fmt: skip
#: arguments of each role's C signature: a commit with another number of them is not called
ROLES = {"forward": 5, "backward": 7, "loss": 11, "update": 7, "tiles": 15}
ROWS, UNITS = 64, 64
DTYPE = "float32"  # of all but the products
IN_PLACE = 4  # calls on the same values
REPEATS = 200


def _lab(role: str) -> Any:
    """The lab's harness, if this commit's kernels of that role have the arguments it gives."""
    with skipped_where_missing():
        import harness

        roles = part("kernels.compiling.roles", "kernels.roles")

        arguments = len(getattr(roles, role)(harness.jit.DTYPES["float32"]).args)
        if arguments != ROLES[role]:
            raise TypeError(f"{role} with {ROLES[role]} arguments, it has {arguments}")
    return harness


class _Kernel:
    """A kernel, its values and its loop; subclasses say which."""

    timer = time.process_time

    def prepare(self, role: str, by: int, changed: Any, *arguments: Any) -> None:
        """`arguments` of the lab's entry, arrays go by address; `changed` is worked on in place."""
        self.changed, self.start = changed, changed.copy()
        values = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments]
        self.arguments = (0.0, by, *values, IN_PLACE)
        self.kept = arguments
        self.entry = getattr(_lab(role), role).compiled(self.start.dtype.name)
        self.run()

    def run(self) -> None:
        changed, start, entry, arguments = self.changed, self.start, self.entry, self.arguments
        for _ in range(REPEATS):
            changed[:] = start
            entry(*arguments)


def _values(n: int, dtype: str) -> Any:
    """n values of at least 0.01, with signs: none is or becomes a denormal in a few calls."""
    values = _lab("tiles").random_values(n, dtype)
    values[:] = np.copysign(np.maximum(np.abs(values), 0.01), values)
    return values


class Products(_Kernel):
    """One panel's columns of a layer of 64 inputs and a batch of 64 rows."""

    params = (("forward", "delta", "gradient"), DTYPES)
    param_names = ("product", "dtype")

    def setup(self, product: str, dtype: str) -> None:
        with skipped_where_missing():
            _lab("tiles")
            layout = part("kernels.layout")
            matmul = part("kernels.maths.matmul", "kernels.matmul")
        by = matmul.tiles.address(dtype)
        itemsize = np.dtype(dtype).itemsize
        ld, columns = layout.row_stride(UNITS, itemsize), 2 * layout.lanes(itemsize)
        # c[m] = sum over k of a[m, k] b[k]; a gradient's m are the columns of a
        am, ak = (1, ld) if product == "gradient" else (ld, 1)
        c, a, b = (_values(n, dtype) for n in (ROWS * columns, ROWS * ld, UNITS * columns))
        masked = int(product == "delta")
        self.prepare("tiles", by, c, a, am, ak, b, columns, c, columns, UNITS, masked, ROWS, 2)

    def time_product(self, product: str, dtype: str) -> None:
        self.run()


class Activations(_Kernel):
    """64 rows of 64 units, there and back."""

    params = (ACTIVATIONS, ("forward", "backward"))
    param_names = ("activation", "direction")

    def setup(self, name: str, direction: str) -> None:
        with skipped_where_missing():
            _lab(direction)
            layout = part("kernels.layout")
            activations = part("kernels.functions.activations", "kernels.activations")

            kernel = getattr(activations.ACTIVATIONS[name], direction)
        ld = layout.row_stride(UNITS, np.dtype(DTYPE).itemsize)
        first, second = _values(ROWS * ld, DTYPE), _values(ROWS * ld, DTYPE)
        given = (first,) if direction == "forward" else (first, second)
        self.prepare(direction, kernel.address(DTYPE), first, *given, ROWS, UNITS, ld)

    def time_activation(self, name: str, direction: str) -> None:
        self.run()


class Losses(_Kernel):
    """64 rows of 10 outputs: errors and deltas."""

    params = LOSSES
    param_names = ("loss",)

    def setup(self, name: str) -> None:
        with skipped_where_missing():
            _lab("loss")
            layout = part("kernels.layout")
            losses = part("kernels.functions.losses", "kernels.losses")

            by = losses.LOSSES[name].kernel.address(DTYPE)
        ld = layout.row_stride(10, np.dtype(DTYPE).itemsize)
        z, p, t, w, d = (np.abs(_values(ROWS * ld, DTYPE)) for _ in range(5))
        t.reshape(ROWS, ld)[:] = np.arange(ld) == 3
        self.prepare("loss", by, t, z, p, t, w, d, np.zeros(ROWS), ROWS, 10, ld)

    def time_loss(self, name: str) -> None:
        self.run()


class Updates(_Kernel):
    """4096 parameters."""

    params = UPDATES
    param_names = ("update",)

    def setup(self, name: str) -> None:
        with skipped_where_missing():
            _lab("update")
            updates = part("kernels.updates.updates", "kernels.updates")
            hyper = part("kernels.updates.hyper", "kernels.hyper")

            by = updates.UPDATES[name].kernel.address(DTYPE)
        p, g, s0, s1 = (np.abs(_values(ROWS * UNITS, DTYPE)) for _ in range(4))
        self.prepare("update", by, p, p, g, s0, s1, p.size, np.full(hyper.HYPER_SIZE, 0.1))

    def time_update(self, name: str) -> None:
        self.run()

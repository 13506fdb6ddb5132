"""What a kernel's status means, and the error that says that training has diverged."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastbp.history import History
from fastbp.kernels import layout as lay

#: beside the statuses of kernels/layout.py: a solver has no more to do, and has changed nothing
STOPPED = -1


class DivergenceError(ArithmeticError):
    """The loss or a weight became infinite or NaN.

    The network is as at the last snapshot, which is finite and at most about an epoch old; or, with
    `EarlyStopping` or `TimeBudget`, has its best weights back. The message says which, and
    ``history.network_epoch`` the epoch.

    Attributes
    ----------
    epoch : int
        In which it was found.
    batch : int
        In which of the epoch's batches.
    history : History or None
        Up to the last finished epoch of the `fit`.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> trainer = fastbp.Trainer(net, "mse", fastbp.SGD(1e6), seed=0)
    >>> try:
    ...     history = trainer.fit(np.arange(9.0), np.arange(9.0), epochs=100)
    ... except fastbp.DivergenceError as error:
    ...     print(error.epoch > 0, bool(np.isfinite(net.get_weights()[0]).all()))
    True True
    """

    epoch = batch = 0
    history: History | None = None


def diverged(
    what: str, reductions: int, place: tuple[int, int], history: History
) -> DivergenceError:
    """Return the error of a fit that diverged, after so many halvings, in that epoch and batch."""
    halved = f" after {reductions} halvings of the rate" if reductions else ""
    error = DivergenceError(f"{what}{halved}; a lower learning_rate may help")
    (error.epoch, error.batch), error.history = place, history
    return error


def check(status: int, results: NDArray[Any], dtype: str) -> None:
    """Raise the error that a status means; OK and STOPPED mean none.

    Parameters
    ----------
    status : int
        What a kernel, or a solver's iteration, has given back.
    results : ndarray
        What it has left, with the last batch's loss in it.
    dtype : str
        The network's.

    Raises
    ------
    DivergenceError
        The loss is not finite.
    ValueError
        A memory map, which is read as it is trained on, holds what is no sample.
    """
    if status in (lay.OK, STOPPED):
        return
    if status == lay.NONFINITE_LOSS:
        raise DivergenceError(
            f"the loss is {results[lay.R_LAST_ERROR]}; a lower learning_rate may help. "
            "The network is as it was before this update"
        )
    what = {lay.BAD_X: "X", lay.BAD_Y: "y", lay.BAD_WEIGHT: "sample_weight"}[status]
    raise ValueError(
        f"{what} holds a value that is not finite in {dtype} or no class id; "
        "it is a memory map, read as it is trained on, and training has stopped at the last "
        "finished update"
    )

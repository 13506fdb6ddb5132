"""Full-batch solvers: an update is an iteration over all samples. The rest is in solvers/."""

from __future__ import annotations

from dataclasses import field

from fastbp.kernels.updates.hyper import UpdateKernel
from fastbp.optimizers.base import Optimizer
from fastbp.optimizers.fields import above_0, at_least_0, number, whole_number
from fastbp.values import dataclass


@dataclass(frozen=True)
class Solver(Optimizer):
    """An optimizer that iterates over the whole set: an epoch is an iteration."""

    def _update(self) -> UpdateKernel:
        return UpdateKernel(None, 0)


@dataclass(frozen=True)
class LBFGS(Solver):
    """Limited-memory BFGS with a line search to the strong Wolfe conditions, over whole sets.

    The direction comes from the last `history` changes of parameters and gradient by the two-loop
    recursion (Liu & Nocedal 1989; Nocedal & Wright 2006, algorithm 7.4). The step along it
    satisfies E(t) <= E(0) + 1e-4 t E'(0) and ``|E'(t)| <= 0.9 |E'(0)|``, found by cubic
    interpolation (ibid., algorithms 3.5 and 3.6), as PyTorch's
    ``torch.optim.LBFGS(line_search_fn="strong_wolfe")``. For any loss; `Trainer` takes the whole
    set as its batch where nothing else is said.

    Where layers have `l2`, E and its gradient g are those of the loss with these penalties, and the
    stopping rules go by them; `History.loss` is the loss alone, as ever. Layers that aren't
    trainable keep their weights and have no part in the vectors. Dropout, `l1` and `max_norm` are
    refused.

    A `fit` ends when the gradient or the last change of the loss is small enough, or no lower loss
    is found even along the gradient; `History.stopped` then says so.

    Parameters
    ----------
    learning_rate : float
        Greater than 0: the first step length that a line search tries. Before there is a history,
        it is times ``min(1, 1 / sum |g|)``.
    history : int
        Pairs of changes that are kept, at least 1; each takes 16 bytes a parameter.
    tolerance_gradient : float
        Greater than or equal to 0: stop when no component of the gradient is larger.
    tolerance_change : float
        Greater than or equal to 0: stop when the loss falls by no more than this part of itself.
    max_line_search : int
        Evaluations of loss and gradient that a line search may take, at least 1.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> x = np.linspace(-1, 1, 50)
    >>> layers = [fastbp.Dense(8, "tanh"), fastbp.Dense(1)]
    >>> net = fastbp.Network(1, layers, dtype="float64", seed=0)
    >>> trainer = fastbp.Trainer(net, "mse", fastbp.LBFGS(history=20))
    >>> history = trainer.fit(x, x**2, epochs=100)
    >>> history.loss[-1] < 1e-4
    True
    """

    learning_rate: float = above_0(1.0)
    history: int = whole_number(10, minimum=1, maximum=10_000)
    tolerance_gradient: float = at_least_0(1e-7)
    tolerance_change: float = at_least_0(1e-9)
    max_line_search: int = whole_number(25, minimum=1)


@dataclass(frozen=True)
class LevenbergMarquardt(Solver):
    """The Levenberg-Marquardt method for networks of up to some thousand parameters.

    For squared errors (``"mse"``, ``"half_squared_error"``) over whole sets, which `Trainer` takes
    as its batch where nothing else is said.
    With the residuals r = w^½ (p - t) of all samples and outputs, their Jacobian J by all
    parameters that are trained, and n the sum of the sample weights, or in `Trainer.step` the
    number of samples, an iteration solves ::

        (J'J / n + m I) d = -J'r / n

    (Levenberg 1944; J by backpropagation, Hagan & Menhaj 1994) and takes the step d if the loss
    falls. The damping m follows the ratio q of that fall to the one that the linear model
    predicts (Nielsen 1999): m is multiplied by max(1 / decrease, 1 - (2q - 1)³), or, if the loss
    doesn't fall, by `increase`, then by 2, 4, 8 ... times as much, until it does. Marquardt's
    (1963) scaling of m by the diagonal of J'J was tried, and came less far in 1,000 iterations.

    A layer's `l2` is one residual more for each of its weights W, (n k l2 / 2)^½ W for ``"mse"`` of
    k outputs and (n l2)^½ W for ``"half_squared_error"``: the loss that has to fall, and that
    stopping rules go by, is that with penalties; `History.loss` is the loss alone, as ever.
    Layers that aren't trainable keep their weights, and J has no columns of them. Dropout, `l1` and
    `max_norm` are refused.

    J'J and all that follows are float64, for float32 networks too. Their step is rounded to
    float32 at the end. Memory and work grow with the square of the number of parameters. There is
    no learning_rate to choose: it is 1.

    Parameters
    ----------
    damping : float
        Greater than 0: m of the first iteration.
    increase : float
        Greater than 1: the first factor of m after a step that was no good; each further one in a
        row is twice the one before it.
    decrease : float
        Greater than 1: the most by which m is divided after a good step.
    memory_limit : int
        Bytes: a network whose matrices would need more is refused, by a `ValueError` of `Trainer`.
    tolerance_gradient : float
        Greater than or equal to 0: stop when no component of the loss's gradient is larger.
    tolerance_change : float
        Greater than or equal to 0: stop when the loss falls by no more than this part of itself.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> x = np.linspace(-1, 1, 50)
    >>> layers = [fastbp.Dense(8, "tanh"), fastbp.Dense(1)]
    >>> net = fastbp.Network(1, layers, dtype="float64", seed=0)
    >>> optimizer = fastbp.LevenbergMarquardt(damping=1e-2)
    >>> trainer = fastbp.Trainer(net, "mse", optimizer)
    >>> history = trainer.fit(x, np.sin(3 * x), epochs=100)
    >>> history.loss[-1] < 1e-5
    True
    """

    learning_rate: float = field(default=1.0, init=False, repr=False)
    damping: float = above_0(1e-3)
    increase: float = number(2.0, low=1.0, low_open=True)
    decrease: float = number(3.0, low=1.0, low_open=True)
    memory_limit: int = whole_number(1 << 30, minimum=1)
    tolerance_gradient: float = at_least_0(1e-12)
    tolerance_change: float = at_least_0(1e-12)

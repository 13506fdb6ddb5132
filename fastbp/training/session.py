"""What a trainer has come to, between and during fits; and that only one uses it at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import integer
from fastbp.data.inputs import Samples
from fastbp.files.container import MOST_COUNTED, check_keys
from fastbp.kernels.updates.hyper import SCALE
from fastbp.layers.thresholds import thresholds_of
from fastbp.runtime.forking import Watched, watch
from fastbp.runtime.locks import Lock
from fastbp.runtime.parameters import Parameters, Training
from fastbp.training import provenance, solvers
from fastbp.training.engine import Engine
from fastbp.training.settings import Settings, check_stored

Array = NDArray[Any]
#: what a checkpoint holds of a trainer, by the names of its parts
Saved = dict[str, Any]

PARTS = {"settings", "machine", "weights", "slots", "hyper", "counters", "rates", "solver", "fit"}


class Session(Watched):
    """A trainer's engine, or solver, and where it stands.

    Parameters
    ----------
    parameters : Parameters
        What is trained.
    settings : Settings
        How.
    describe : callable
        Gives what there is to say of the network in a checkpoint.

    Attributes
    ----------
    engine : Engine
        Makes the updates; has the settings, the learning rate and the counters.
    solver : Driver or None
        Iterates where the optimizer is a solver over whole sets.
    training : Training
        The lock that the one who uses the trainer holds, and the thread of a fit under way.
    stopping : str or None
        Why the fit under way, or the last one, was to end early.
    resuming : int or None
        With how many finished passes the fit under way has gone on.
    left : tuple or None
        The weights of a fit that was broken off, where the network has had its best ones since: a
        version of the parameters, and the weights that stand for it in a checkpoint.
    restoring : callable or None
        What an interrupt has broken off, to be done before anything else.
    compared : bool
        Whether the derivatives of custom functions have been compared at what they meet.

    Raises
    ------
    ValueError
        The solver is not for these settings, or no layer is trainable.
    MemoryError
        The machine has less than all that takes.
    """

    def __init__(
        self, parameters: Parameters, settings: Settings, describe: Callable[[], Saved]
    ) -> None:
        self.parameters, self._describe = parameters, describe
        self.engine = Engine(parameters, settings)
        self.solver = solvers.driver(settings, self.engine)
        if self.solver is not None:
            settings.check_solver(parameters.layers)
        self.training = Training()
        self.stopping: str | None = None
        self.resuming: int | None = None
        self.left: tuple[int, list[Array]] | None = None
        self.restoring: Callable[[], None] | None = None
        self.compared = False
        self._torn = False  # whether the process was forked while another thread was at work here
        watch(self)

    @property
    def lock(self) -> Lock:
        """Held by the one who uses the trainer; taken by its `holding`, after `refuse_others`."""
        return self.training.lock

    @property
    def nbytes(self) -> int:
        """Bytes of optimizer slots, workspaces and the snapshot."""
        return self.engine.nbytes + (0 if self.solver is None else self.solver.nbytes)

    def update(self, samples: Samples) -> float:
        """Make one update by these samples; return the error before it."""
        if self.solver is not None:
            return self.solver.update(samples)
        return self.engine.update(samples)

    def end_epoch(self, figures: Mapping[str, float], work: Any = None) -> None:
        """End an epoch that no fit counts; a schedule that looks at figures finds its own there.

        `work` is what the last fit has worked with, or None. Where an interrupt has left it inside
        an epoch, the rest of that one is given up, as the next fit would.
        """
        rates = self.engine.rates
        if not rates.watches:  # no fit has counted epochs
            rates.begin()
        (plateau, scale), epochs = rates.after_epoch(figures), rates.epochs + 1
        # The epoch has ended for all or for none: no call that an interrupt could come after.
        rates.epochs, rates.plateau, rates.cells[SCALE] = epochs, plateau, scale
        if work is not None:
            work.in_epoch, self.left = False, None
        rates.watch(figures)

    # -- who may use it ----------------------------------------------------------------------------

    @property
    def asked_by_callback(self) -> bool:
        """Whether this is asked from within the trainer's own fit, by a callback."""
        return self.training.running and self.training.thread == threading.get_ident()

    def refuse_others(self) -> None:
        """Refuse a second thread, and a callback.

        What follows takes the lock and notes that in one step, which an interrupt can't come into.
        """
        self.refuse_torn()
        if self.training.lock.locked():
            raise RuntimeError("this trainer is at work in another thread; use one for each")

    def refuse_torn(self) -> None:
        """Refuse a trainer that a fork has torn; finish what an interrupt has broken off."""
        if self.restoring is not None and not self.training.lock.locked():
            self.restoring()
        if self._torn:
            raise RuntimeError(
                "this trainer was at work in another thread when the process was forked, so that "
                "its optimizer's state may be half updated here; build a new Trainer: the network "
                "is as after its last finished update"
            )

    def _after_fork(self) -> None:
        """In a child, what another thread of the parent was doing with this trainer is lost."""
        training = self.training
        if not training.lock.locked() or training.thread == threading.get_ident():
            return
        training.lock, self._torn = Lock(), True
        training.thread = None

    # -- states ------------------------------------------------------------------------------------

    def state(self) -> Saved:
        """Return a copy of all that there is but the last fit, between two updates."""
        engine = self.engine
        return {
            "settings": {"network": self._describe(), **self.engine.settings.described()},
            "machine": provenance.machine(),
            "weights": self._weights(),
            **engine.state(),
            "counters": self._counters(),
            "solver": None if self.solver is None else self.solver.state(),
        }

    def _counters(self) -> dict[str, int]:
        """Return the epochs, and the passes where these are another number."""
        rates = self.engine.rates
        counted = {"epochs": rates.epochs}
        return counted if rates.passes == rates.epochs else {**counted, "passes": rates.passes}

    def _weights(self) -> list[Array]:
        """Return the run's: of a fit that was broken off, as it was left, where nobody has changed
        the parameters since."""
        parameters, left = self.parameters, self.left
        if left is not None and left[0] == parameters.version:
            return left[1]
        return parameters.unpack(parameters.buffer)

    def check_state(self, state: Saved) -> None:
        """Raise TypeError or ValueError unless a state is that of a trainer with these settings.

        What it holds of a fit is left to the fit.
        """
        check_parts(state)
        provenance.check_machine(state["machine"])
        different = self.engine.settings.differences(state["settings"], self._describe())
        if different:
            raise ValueError(f"it is of another trainer: {'; '.join(different)}")
        self.parameters.checked(state["weights"])
        self.engine.check_state(state)
        integer("its seed", state["settings"]["seed"], minimum=0, maximum=2**64 - 1)
        check_keys("its counters", state["counters"], {"epochs"}, {"passes"})
        for name, count in state["counters"].items():
            integer(f"its {name}", count, minimum=0, maximum=MOST_COUNTED)
        if self.solver is not None:
            self.solver.check_state(state["solver"])
        elif state["solver"] is not None:
            raise ValueError("its solver must be None")

    def set_state(self, state: Saved) -> None:
        """Stand where another stood, `check_state` having let it pass.

        Without weights, these are somebody else's business.
        """
        engine = self.engine
        if "weights" in state:
            self.parameters.set_weights(state["weights"])
            about = state["settings"]["network"]
            self.parameters.thresholds = thresholds_of(about, self.parameters.n_outputs)
        engine.set_state(state)
        engine.settings = engine.settings.changed("seed", state["settings"]["seed"])
        counters = state["counters"]
        engine.rates.epochs = int(counters["epochs"])
        engine.rates.passes = int(counters.get("passes", counters["epochs"]))
        if self.solver is not None:
            self.solver.set_state(state["solver"])


def check_parts(state: Any) -> None:
    """Raise ValueError unless all parts are there; "format" is the file's, or missing in memory."""
    check_keys("the checkpoint", state, PARTS, {"format"})


def check_architecture(state: Saved) -> None:
    """Raise TypeError or ValueError unless the weights are those of the network in the settings.

    Only then may a network be built as the settings say: a few digits could ask for any memory.
    """
    check_parts(state)
    check_stored(state["settings"])
    about, weights = state["settings"]["network"], state["weights"]
    shapes: list[tuple[int, ...]] = []
    n_in = about["n_inputs"]
    for layer in about["layers"]:
        n_out = layer["units"]
        shapes.append((n_in, n_out))
        if layer["bias"]:
            shapes.append((1 if layer["bias"] == "shared" else n_out,))
        n_in = n_out
    if not isinstance(weights, list) or [np.shape(w) for w in weights] != shapes:
        raise ValueError("its weights are not shaped as its settings say")

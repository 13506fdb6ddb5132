"""Child processes that take this machine for another one before they import fastbp."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np


def small_fit() -> list[float]:
    """Losses of a small training."""
    import fastbp

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    layers = [fastbp.Dense(19, "tanh"), fastbp.Dense(3)]
    trainer = fastbp.Trainer(fastbp.Network(5, layers, seed=0), "mse", batch_size=20, seed=0)
    return [float(loss) for loss in trainer.fit(X, X[:, :3], epochs=3).loss]


# -- LLVM's answers --------------------------------------------------------------------------------


def refuse() -> Any:
    raise RuntimeError("failed to get host cpu features.")


#: what LLVM may answer when it is asked for the host's features
ANSWERS: dict[str, Callable[[], Any]] = {
    "raises": refuse,
    "nothing": llvm.FeatureMap,
    "other features": lambda: llvm.FeatureMap({"sve": False, "aes": True}),
}


def _tell_fastbp(triple: str) -> None:
    """Have fastbp take this process for one of that triple, and numba for what it is."""
    real = llvm.get_process_triple

    def told() -> str:
        asks = sys._getframe(1).f_globals["__name__"]
        return triple if asks.startswith("fastbp.") else str(real())

    llvm.get_process_triple = told


def asked(answer: str, triple: str | None = None) -> dict[str, Any]:
    """What kernels would be made for where LLVM answers so; a fit too where that is this triple."""
    llvm.get_host_cpu_features = ANSWERS[answer]
    if triple is not None:
        _tell_fastbp(triple)
    from fastbp.kernels.compiling import target

    return {
        "made for": [*target.REGISTERS, target.TILE_ROWS, target.lanes(4), target.lanes(8)],
        "key": list(target.cpu()),
        "losses": small_fit() if triple is None else None,
    }


# -- machine code for a CPU that is not here -------------------------------------------------------


def tiles(triple: str, cpu: str, dtype: str) -> list[str] | None:
    """Assembly of the tiles two vectors wide, by rows; None if this LLVM has not that target."""
    from llvmlite import ir

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        there = llvm.Target.from_triple(triple)
    except RuntimeError:
        return None
    _tell_fastbp(triple)
    from fastbp.kernels.compiling import target
    from fastbp.kernels.maths import tiles as made

    machine = there.create_target_machine(cpu=cpu, opt=3, codemodel="jitdefault")
    element = ir.FloatType() if dtype == "float32" else ir.DoubleType()
    texts = []
    for rows in range(1, target.TILE_ROWS + 1):
        module = ir.Module(f"tile of {rows}")
        module.triple = triple
        made.tile_function(module, element, rows, target.TILE_VECTORS).linkage = "external"
        parsed = llvm.parse_assembly(str(module))
        tuning = llvm.PipelineTuningOptions(speed_level=3)
        tuning.loop_vectorization = tuning.slp_vectorization = True
        passes = llvm.create_pass_builder(machine, tuning)
        passes.getModulePassManager().run(parsed, passes)
        texts.append(machine.emit_assembly(parsed))
    return texts


# -- what an operating system may lack -------------------------------------------------------------

MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "syslog")
CALLS = (
    "register_at_fork", "fork", "forkpty", "sched_getaffinity", "getuid", "geteuid", "getgid",
    "chown", "fchown", "fchmod", "fchdir", "sysconf", "mkfifo",
    "killpg", "getpgid", "umask", "nice", "get_terminal_size", "process_cpu_count", "openpty",
    "uname", "getloadavg",
)  # fmt: skip
FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "O_SYNC")
SIGNALS = ("setitimer", "pthread_sigmask", "sigwait", "SIGALRM", "SIGUSR1", "SIGHUP", "alarm")
#: by name, the modules, the names in `os` and those in `signal` that a system has not
LACKING: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "no fcntl": (("fcntl",), (), ()),
    "no hooks of fork": ((), ("register_at_fork",), ()),
    "no O_NOFOLLOW": ((), ("O_NOFOLLOW",), ()),
    "none of it": (MODULES, CALLS + FLAGS + ("supports_dir_fd",), SIGNALS),
}


def take_away(which: str) -> None:
    """Have this process do without what such a system lacks."""
    modules, of_os, of_signal = LACKING[which]
    for name in modules:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in ((os, of_os), (signal, of_signal)):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    if "supports_dir_fd" in of_os:
        os.supports_dir_fd = set()


def without(which: str, folder: str) -> dict[str, Any]:
    """All that touches the system: import, cache, fit, save, load, checkpoint, in one process."""
    take_away(which)
    import child

    with child.Compiling() as compiled:
        import fastbp
        from fastbp import Checkpoint

        rng = np.random.default_rng(0)
        X = rng.normal(size=(3000, 20))
        y = np.sin(X[:, :2])

        def new() -> fastbp.Trainer:
            net = fastbp.Network(20, [fastbp.Dense(64, "tanh"), fastbp.Dense(2)], seed=0)
            return fastbp.Trainer(net, "mse", "adam", batch_size=500, seed=0, n_threads=2)

        trainer = new()
        trainer.fit(X, y, epochs=2, progress=True, callbacks=[Checkpoint(f"{folder}/runs")])
        resumed = new()
        resumed.fit(X, y, epochs=3, resume=f"{folder}/runs")
        trainer.fit(X, y, epochs=1)
        for _ in range(2):  # the second replaces the first
            trainer.network.save(f"{folder}/model.safetensors")
        loaded = fastbp.Network.load(f"{folder}/model.safetensors")
        same = [
            np.array_equal(other.predict(X), trainer.network.predict(X))
            for other in (loaded, resumed.network)
        ]
    return {
        "same": same,
        "loss": trainer.history.loss,
        "compiled": len(compiled),
        "left": sorted(name for name in os.listdir(folder) if name.startswith(".")),
    }

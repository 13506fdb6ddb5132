"""Child processes that take this machine for another one before they import fastbp."""

from __future__ import annotations

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

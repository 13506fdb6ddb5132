"""What is compiled, and when: once per dtype, only what is used, and nothing on import."""

from __future__ import annotations

import contextlib
import gc
import locale
import os
import random
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import child
import numba
import numpy as np
import pytest
from numba.core import config

# inputs, layers (units, activation, bias), loss, optimizer
ARCHITECTURES: list[tuple[int, list[tuple[Any, ...]], str, str]] = [
    (1, [(1,)], "mse", "sgd"),
    (2, [(2, "sigmoid", "shared"), (2, "sigmoid", "shared")], "half_squared_error", "sgd"),
    (3, [(17, "relu"), (5, "softmax")], "cross_entropy", "adam"),
    (70, [(4, "tanh"), (1, "sigmoid")], "binary_cross_entropy", "adam"),
    (5, [(33, "sigmoid", False)] * 6 + [(3,)], "mse", "sgd"),
    (64, [(64, "relu"), (64, "relu"), (1,)], "mse", "adam"),
    (8, [(130, "tanh"), (2, "softmax")], "mse", "sgd"),
    (200, [(9, "softmax"), (3, "softmax")], "cross_entropy", "sgd"),
    (1, [(300, "relu"), (1, "tanh", False)], "half_squared_error", "adam"),
    (31, [(16,)] * 12 + [(4, "sigmoid")], "binary_cross_entropy", "sgd"),
]


def train(n_inputs: int, layers: Any, loss: str, optimizer: str, dtype: str) -> None:
    """All that a trainer and a network do, once."""
    import fastbp

    rng = np.random.default_rng(0)
    dense = [
        fastbp.Dense(units, *rest[:1], bias=rest[1] if rest[1:] else True)
        for units, *rest in layers
    ]
    net = fastbp.Network(n_inputs, dense, dtype=dtype, seed=0)
    X, k = rng.normal(size=(40, n_inputs)), dense[-1].units
    y = rng.integers(k, size=40) if loss == "cross_entropy" else rng.uniform(size=(40, k))
    trainer = fastbp.Trainer(net, loss, optimizer, batch_size=16, n_threads=2, seed=0)
    trainer.fit(X, y, validation_data=(X, y))
    trainer.step(X, y)
    trainer.gradients(X, y, np.ones(40))
    net.predict(X)
    net.activations(X)


def top_level() -> dict[str, int]:
    """Every function that Python or a kernel's pointer calls, and its compiled signatures."""
    from fastbp.kernels.compiling import jit

    found = {}
    for part in jit.PARTS:
        found[f"{part.function.__module__}.{part.function.__qualname__}"] = len(part.dtypes)
    return found


def uncacheable() -> list[str]:
    """The parts whose machine code holds addresses of this process's objects."""
    from fastbp.kernels.compiling import jit

    found = []
    for part in jit.PARTS:
        libraries = part.libraries.values()
        found += [part.name for library in libraries if library.has_dynamic_globals]
    return found


def train_them_all() -> list[Any]:
    from fastbp.kernels import epoch
    from fastbp.kernels.functions import losses

    with child.Compiling() as first:
        for architecture in ARCHITECTURES:
            train(*architecture, "float32")
    signatures = top_level()
    with child.Compiling() as again:
        for n_inputs, layers, loss, optimizer in ARCHITECTURES:
            deeper = [(units + 3, *rest) for units, *rest in layers]
            train(n_inputs + 1, deeper[:1] + deeper, loss, optimizer, "float32")
    for part in (epoch.run, losses.mse):
        part.compile("float64")
    return [dict(first), signatures, dict(again), top_level(), uncacheable()]


def test_one_signature_per_dtype() -> None:
    """Ten architectures, then ten more: each part is compiled once, none anew, all can be kept."""
    settings = {**child.QUICK, "FASTBP_CACHE": "0"}
    first, signatures, again, both, not_cached = child.call(train_them_all, settings=settings)
    compiled = {name for name, n in signatures.items() if n}
    needed = {"fastbp.kernels.epoch.run", "fastbp.kernels.maths.matmul.tiles"}
    assert needed <= compiled < set(signatures)
    assert {name: first[name] for name in compiled} == dict.fromkeys(compiled, 1)
    assert set(signatures.values()) == {0, 1}
    assert again == {}
    assert both["fastbp.kernels.epoch.run"] == both["fastbp.kernels.functions.losses.mse"] == 2
    assert set(both.values()) == {0, 1, 2}
    assert not_cached == []


def train_one() -> dict[str, int]:
    import fastbp

    net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    X = np.ones((4, 1), np.float32)
    fastbp.Trainer(net, "mse", "sgd").fit(X, X)
    return top_level()


def test_what_is_not_used_is_not_compiled() -> None:
    """A linear network, mse and SGD: no activation, no other loss, optimizer or reader."""
    functions = child.call(train_one)
    used = {name.removeprefix("fastbp.kernels.") for name, n in functions.items() if n}
    kinds = ("functions.", "updates.", "gather.")
    assert {name for name in used if name.startswith(kinds)} == {
        "functions.losses.mse", "updates.descent.sgd", "updates.snapshot.keep",
        "gather.values_float32",
    }  # fmt: skip


def settings() -> dict[str, Any]:
    """All that a library might be tempted to change for its whole process."""
    found = {
        f"config.{name}": repr(getattr(config, name)) for name in dir(config) if name.isupper()
    }
    return found | {
        "errors": np.geterr(),
        "print options": repr(np.get_printoptions()),
        "filters": repr(warnings.filters),
        "environment": dict(os.environ),
        "threads": threading.active_count(),
        "signals": [repr(signal.getsignal(s)) for s in sorted(signal.valid_signals())],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval()],
        "random": [repr(random.getstate()), repr(np.random.get_state())],  # noqa: NPY002
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": os.getcwd(),
    }


def import_it() -> list[Any]:
    before = settings()
    with child.Compiling() as compiled:
        import fastbp  # noqa: F401

        after = settings()
        numbers = [dict(compiled), sum(top_level().values()), len(top_level())]
        numba.njit(lambda x: x + 1)(1)
        numbers.append(len(compiled))
    return [before, after, *numbers]


def test_import_compiles_and_changes_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before, after, compiled, signatures, functions, control = child.call(
        import_it, settings={"FASTBP_CACHE_DIR": str(cache)}
    )
    for name, value in before.items():
        assert after[name] == value, name
    assert (compiled, signatures) == ({}, 0)
    assert not cache.exists()
    assert functions > 30
    assert control > 0  # what is compiled is noticed


def test_what_is_linked_is_made_in_its_callers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither optimised nor made machine code of by itself; nor is garbage collected meanwhile."""
    from numba.core.codegen import CPUCodeLibrary

    from fastbp.kernels.compiling import cache, compiler, jit

    optimised: list[tuple[type, bool]] = []
    of_numba = CPUCodeLibrary._optimize_final_module

    def optimise(self: Any) -> None:
        optimised.append((type(self), gc.isenabled()))
        of_numba(self)

    monkeypatch.setattr(CPUCodeLibrary, "_optimize_final_module", optimise)
    monkeypatch.setattr(cache, "folder", lambda: None)

    @jit.kernel
    def half(x: Any) -> Any:
        return x / 2

    @jit.entry
    def quarter(tag: Any, n: Any) -> Any:
        return np.int64(half(half(np.float64(n))))

    jit.PARTS.remove(quarter)
    assert quarter.compiled("float32")(0.0, 44) == 11
    (inner,) = half.overloads.values()
    assert isinstance(inner.library, compiler._LinkedLibrary)
    assert inner.library._compiled_object is None
    assert quarter.libraries["float32"]._compiled_object is not None
    assert optimised
    assert not any(kind is compiler._LinkedLibrary or collecting for kind, collecting in optimised)


def predict_without(module: str) -> list[int]:
    sys.modules[module] = None  # type: ignore[assignment]
    import fastbp
    from fastbp.kernels.compiling import jit

    assert "pipeline_class" not in jit.INNER_OPTIONS
    return list(fastbp.Network(2, [fastbp.Dense(1)]).predict(np.ones((100, 2))).shape)


def test_a_numba_with_other_parts() -> None:
    """Kernels are then compiled as numba does it."""
    settings = {**child.QUICK, "FASTBP_CACHE": "0"}
    assert child.call(predict_without, "fastbp.kernels.compiling.compiler", settings=settings) == [
        100,
        1,
    ]


def test_garbage_is_collected_again_after_a_compile() -> None:
    from fastbp.kernels.compiling import jit

    assert gc.isenabled()
    with contextlib.suppress(ZeroDivisionError), jit._uncollected():
        assert not gc.isenabled()
        with jit._uncollected():
            pass
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()  # a program that wants none has none
    try:
        with jit._uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_in_the_midst_of_a_compile_collects_garbage() -> None:
    from fastbp.kernels.compiling import jit

    with jit._uncollected(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that a child hasn't
        pid = os.fork()
        if pid == 0:
            os._exit(0 if gc.isenabled() else 1)
    assert os.waitpid(pid, 0)[1] == 0

"""`Network.vjp` keeps its workspace: the right values, whoever calls, and no memory for ever."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import child
import numpy as np
import pytest

import fastbp
from fastbp.ffi import states

DTYPES = ["float32", "float64"]


def network(dtype: str = "float32", units: int = 16, seed: int = 0) -> fastbp.Network:
    layers = [fastbp.Dense(units, "tanh", bias="shared"), fastbp.Dense(2, "softmax")]
    return fastbp.Network(4, layers, dtype=dtype, seed=seed)


def data(dtype: str, n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)).astype(dtype), rng.normal(size=(n, 2)).astype(dtype)


def flat(found: tuple[list[Any], Any]) -> bytes:
    """All bits of what a call has given."""
    gradients, by_inputs = found
    return b"".join(a.tobytes() for a in [*gradients, by_inputs])


def anew(net: fastbp.Network, X: Any, c: Any) -> bytes:
    """What a network of the same weights gives in its first call."""
    other = fastbp.Network(4, net.layers, dtype=net.dtype, seed=9)
    other.set_weights(net.get_weights())
    return flat(other.vjp(X, c))


def idle(net: fastbp.Network) -> Any:
    return net._derivatives._idle


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_in_every_call(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows after many and many after few, other weights between; one workspace serves all."""
    made = []
    whole = states._derivatives
    monkeypatch.setattr(states, "_derivatives", lambda p: made.append(p) or whole(p))
    net = network(dtype)
    results = []
    for n in (1, 30, 5000, 1, 7, 30):
        X, c = data(dtype, n, n)
        found = net.vjp(X, c)
        assert flat(found) == anew(net, X, c)
        assert [a.shape for a in found[0]] == [a.shape for a in net.get_weights()]
        assert found[1].shape == X.shape
        assert {a.dtype.name for a in [*found[0], found[1]]} == {dtype}
        results.append((found, flat(found)))
        net.set_weights([1.1 * w for w in net.get_weights()])
    assert all(flat(found) == bits for found, bits in results), "a result was written over"
    assert sum(p is net._parameters for p in made) == 1


def test_any_arrays_that_predict_takes() -> None:
    net, (X, c) = network("float64"), data("float64", 6)
    expected = flat(net.vjp(X, c))
    wide = np.zeros((12, 8))
    wide[::2, ::2] = X
    swapped = X.astype(X.dtype.newbyteorder())
    for other in (X.tolist(), np.asfortranarray(X), wide[::2, ::2], swapped, X.reshape(6, 2, 2)):
        assert flat(net.vjp(other, c)) == expected
        assert flat(net.vjp(other, c.tolist())) == expected
    pandas = pytest.importorskip("pandas")
    assert flat(net.vjp(pandas.DataFrame(X), pandas.DataFrame(c))) == expected


def test_after_a_refusal_it_goes_on(tmp_path: Path) -> None:
    net, (X, c) = network(), data("float32", 5)
    expected = flat(net.vjp(X, c))
    bad = X.copy()
    bad[3, 1] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    np.save(tmp_path / "c.npy", np.full_like(c, np.inf))
    lazy, infinite = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("bad", "c"))
    for wrong, cotangent, message in (
        (bad, c, "X must hold finite"),
        (lazy, c, "X holds a value that is not finite"),
        (X, infinite, "cotangent holds a value that is not finite"),
        (X, c[:4], "cotangent must have X's 5 rows, got 4"),
        (X[:, :3], c, "X must have as many features as the network has inputs, "),
        (X, c[:, :1], "cotangent must have as many features as the network has outputs, "),
    ):
        with pytest.raises(ValueError, match=message):
            net.vjp(wrong, cotangent)
        assert flat(net.vjp(X, c)) == expected
    assert len(idle(net)) == 1


def test_several_threads() -> None:
    """Each gets its own result, and none waits; as many workspaces are kept as were in use."""
    net = network("float64", units=300)
    cases = [data("float64", 1 + 40 * i, i) for i in range(6)]
    expected = [flat(net.vjp(X, c)) for X, c in cases]
    failures: list[int] = []
    start = threading.Barrier(len(cases))

    def call(which: int) -> None:
        start.wait()
        found = [flat(net.vjp(*cases[which])) for _ in range(60)]
        failures.extend(which for bits in found if bits != expected[which])

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert 1 <= len(idle(net)) <= len(cases)


def test_during_a_fit_it_sees_finished_updates() -> None:
    net, (X, c) = network("float64"), data("float64", 200)
    trainer = fastbp.Trainer(net, "cross_entropy", "adam", seed=0)
    seen: list[bool] = []

    def look(_: Any) -> None:
        weights = net.get_weights()
        thread = threading.Thread(target=lambda: seen.append(flat(net.vjp(X, c)) == bits))
        other = fastbp.Network(4, net.layers, dtype="float64", seed=1)
        other.set_weights(weights)
        bits = flat(other.vjp(X, c))
        thread.start()
        thread.join()

    trainer.fit(X, np.arange(200) % 2, epochs=4, progress=look)
    assert len(seen) >= 4
    assert all(seen)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a block's rows, never a call's; by a number of bytes, and by none where one takes more."""
    net = network("float64")
    net.vjp(*data("float64", 1))
    size = idle(net)[0].nbytes
    net.vjp(*data("float64", 50_000))
    assert len(idle(net)) == 1
    assert idle(net)[0].nbytes == size < 1 << 20
    assert idle(net).maxlen == 64
    monkeypatch.setattr(states, "_KEPT_BYTES", 3 * size + 1)
    net = network("float64")
    net.vjp(*data("float64", 1))
    assert idle(net).maxlen == 3
    monkeypatch.setattr(states, "_KEPT_BYTES", size - 1)
    net, (X, c) = network("float64"), data("float64", 9)
    for _ in range(3):
        assert flat(net.vjp(X, c)) == anew(net, X, c)
        assert len(idle(net)) == 0


@pytest.mark.parametrize("copied", [lambda n: pickle.loads(pickle.dumps(n)), copy.deepcopy])
def test_copies_have_their_own(copied: Any) -> None:
    net, (X, c) = network(), data("float32", 3)
    expected = flat(net.vjp(X, c))
    other = copied(net)
    assert flat(other.vjp(X, c)) == expected
    other.set_weights([0 * w for w in other.get_weights()])
    assert flat(other.vjp(X, c)) != expected
    assert flat(net.vjp(X, c)) == expected


def fork_while_others_call() -> list[int]:
    """Children of a process whose other threads are in the midst of calls; their exit codes."""
    net, (X, c) = network("float64", units=200), data("float64", 400)
    expected = flat(net.vjp(X, c))
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            net.vjp(X, c)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            right = all(flat(net.vjp(X, c)) == expected for _ in range(3))
            os._exit(0 if right else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    done.set()
    for thread in threads:
        thread.join()
    return codes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks() -> None:
    assert child.call(fork_while_others_call, timeout=60) == [0] * 10


def test_it_is_let_go_with_its_network() -> None:
    import gc
    import weakref

    net = network()
    net.vjp(*data("float32", 2))
    owner = weakref.ref(idle(net)[0])
    del net
    gc.collect()
    assert owner() is None

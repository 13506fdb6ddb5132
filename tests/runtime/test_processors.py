"""How many threads "auto" is: by affinity, quotas, variables and what kind of process this is."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import child
import numpy as np
import pytest

import fastbp
from fastbp.runtime import processors, team
from fastbp.runtime.crowding import Crowd

MANY = 1e12  # operations, worth any number of threads


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of sixteen processors, with nothing said of them."""
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(processors, "available", lambda: 16)


@pytest.mark.parametrize(
    ("text", "threads"),
    [
        ("3", 3), (" 2 ", 2), ("4,2", 4), (" 4 , 2 ", 4), ("+5", 5), ("1", 1), ("\t7\n", 7),
        ("64", 16), ("99999999999999999999", 16),
        # what OpenMP passes over
        ("", 16), (" ", 16), ("0", 16), ("x", 16), ("-2", 16), ("2.5", 16), ("4,", 16),
        ("4,x", 16), ("4,0", 16), ("0,4", 16), ("1_0", 16), ("2 3", 16), ("true", 16), ("٣", 16),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS"])
@pytest.mark.usefixtures("sixteen")
def test_variables(name: str, text: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    assert team.resolve_threads("auto", MANY) == threads
    assert team.resolve_threads(5, MANY) == 5  # one's own number stays


@pytest.mark.usefixtures("sixteen")
def test_the_least_of_all_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert team.resolve_threads("auto", MANY) == 16
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "6")
    assert team.resolve_threads("auto", MANY) == 6
    assert team.resolve_threads("auto", 4.1e6) == 2  # there is work for no more
    monkeypatch.setattr(processors, "available", lambda: 3)
    assert team.resolve_threads("auto", MANY) == 3


def imports_and_trains() -> int:
    net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    fastbp.Trainer(net, "mse", seed=0).fit(np.zeros((4, 2)), np.zeros(4))
    return processors.wanted()


@pytest.mark.parametrize("text", ["x", "0", "4,2", ""])
def test_no_import_fails(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert child.call(imports_and_trains, timeout=120.0) >= 1


# -- the system ------------------------------------------------------------------------------------


def by_affinity() -> list[int]:
    found = [processors.available()]
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    return [*found, processors.available(), team.resolve_threads("auto", MANY)]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has none")
def test_affinity_as_it_is_now() -> None:
    before, now, threads = child.call(by_affinity)
    assert before <= len(os.sched_getaffinity(0))
    assert (now, threads) == (1, 1)


def system(folder: Path, cgroup: str, mounts: str, files: dict[str, str]) -> Path:
    """A folder as /proc/self, and what control groups' folders hold."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mounts.replace("AT", str(folder)))
    return folder


V2 = "31 23 0:28 / AT/fs rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "32 31 0:29 / AT/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 31 0:30 ROOT AT/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
)
CFS = "cpu/{}cpu.cfs_{}_us"


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "processors_there"),
    [
        ("0::/a/b\n", V2, {"fs/a/b/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", V2, {"fs/a/b/cpu.max": "max 100000\n", "fs/a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", V2, {"fs/a/b/cpu.max": "400000 100000", "fs/a/cpu.max": "150000 50000"}, 3),
        ("0::/a/b\n", V2, {"fs/a/b/cpu.max": "150000 100000\n"}, 1),  # whole ones
        ("0::/a/b\n", V2, {"fs/a/b/cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", V2, {"fs/cpu.max": "500000 100000\n"}, 5),  # a container's own
        ("0::/../x\n", V2, {"fs/cpu.max": "500000 100000\n"}, 5),
        ("0::/a\n", V2, {"fs/a/cpu.max": "max 100000\n"}, None),
        ("0::/a\n", V2, {"fs/a/cpu.max": "rubbish\n"}, None),
        ("0::/a\n", V2, {"fs/a/cpu.max": ""}, None),
        ("0::/a\n", V2, {}, None),
        ("rubbish", V2, {}, None),
        ("4:cpu,cpuacct:/a/b\n", V1.replace("ROOT", "/"), {
            CFS.format("a/b/", "quota"): "-1\n", CFS.format("a/b/", "period"): "100000\n",
            CFS.format("a/", "quota"): "250000\n", CFS.format("a/", "period"): "100000\n",
        }, 2),
        ("4:cpu,cpuacct:/docker/x\n", V1.replace("ROOT", "/docker/x"), {
            CFS.format("", "quota"): "400000\n", CFS.format("", "period"): "100000\n",
        }, 4),
        ("4:cpuset:/a\n", V1.replace("ROOT", "/"), {}, None),
    ],
)  # fmt: skip
def test_quotas(
    cgroup: str,
    mounts: str,
    files: dict[str, str],
    processors_there: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processors, "_PROC", system(tmp_path, cgroup, mounts, files))
    assert processors.quota() == (processors_there or sys.maxsize)
    processors._quota_at.cache_clear()
    monkeypatch.setattr(os, "process_cpu_count", lambda: 16, raising=False)
    try:
        assert processors.available() == min(processors_there or 16, 16)
    finally:
        processors._quota_at.cache_clear()


def test_here() -> None:
    assert 1 <= processors.available() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "levenberg_marquardt"])
def test_all_is_read_at_each_call(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a trainer has at work, it has as many threads as are said when it is called."""
    teams: list[int] = []

    class Counted(team.Team):
        @staticmethod
        def run(threads: int, *arguments: Any) -> int:
            teams.append(threads)
            return team.Team.run(threads, *arguments)

        run_watched = run

    monkeypatch.setattr("fastbp.runtime.program.Team", Counted)
    monkeypatch.setattr(Crowd, "how_many", lambda self, threads: threads)
    monkeypatch.setattr(processors, "available", lambda: 2)
    X = np.random.default_rng(0).standard_normal((1024, 32))
    net = fastbp.Network(32, [fastbp.Dense(40, "tanh"), fastbp.Dense(4)], seed=0)
    size = 512 if optimizer == "adam" else None
    trainer = fastbp.Trainer(net, "mse", optimizer, batch_size=size, seed=0)
    for said in ("2", "1", "2", "1"):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        for call in (trainer.fit, trainer.step, trainer.evaluate, trainer.gradients):
            call(X, X[:, :4])
        net.predict(np.tile(X, (8, 1)))
        assert max(teams) == int(said)
        teams.clear()


# -- workers ---------------------------------------------------------------------------------------


def in_worker(_: int = 0) -> tuple[int, int, int]:
    """What "auto" and 3 are in a worker, were there 16 processors."""
    processors.available = lambda: 16
    return team.resolve_threads("auto", MANY), team.resolve_threads(3, MANY), os.getpid()


def put(queue: Any) -> None:
    queue.put(in_worker())


@pytest.mark.parametrize("method", sorted(set(multiprocessing.get_all_start_methods()) - {"fork"}))
@pytest.mark.usefixtures("sixteen")
def test_pools_take_one_thread(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")  # as a script for a whole machine has it
    context: Any = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.apply(in_worker)[:2] == (1, 3)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(in_worker).result()[:2] == (1, 3)


@pytest.mark.parametrize(("daemon", "threads"), [(False, 16), (True, 1)])
@pytest.mark.usefixtures("sixteen")
def test_processes_of_ones_own(daemon: bool, threads: int) -> None:
    """A single process is as any; a daemon may have none of its own, as a pool's workers."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=put, args=(queue,), daemon=daemon)
    process.start()
    assert queue.get()[:2] == (threads, 3)
    process.join()


@pytest.mark.usefixtures("sixteen")
def test_joblib() -> None:
    joblib = pytest.importorskip("joblib")
    call = joblib.delayed(in_worker)
    for backend in ("threading", "multiprocessing"):
        found = joblib.Parallel(2, backend=backend)(call(i) for i in range(4))
        assert {each[:2] for each in found} == {(1, 3)}, backend
    with joblib.parallel_config("loky", inner_max_num_threads=4):
        found = joblib.Parallel(2)(call(i) for i in range(4))
    assert {each[:2] for each in found} == {(4, 3)}
    assert all(each[2] != os.getpid() for each in found)
    assert joblib.Parallel(1)([call(0)])[0][0] == 16  # here, and alone
    assert team.resolve_threads("auto", MANY) == 16

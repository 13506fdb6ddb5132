"""The on-disk cache: who may hit it, what makes it miss, and that no fault of it is fatal."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import child
import numpy as np
import pytest

from fastbp.kernels.compiling import cache, jit, objects
from fastbp.kernels.maths import vmath
from fastbp.runtime import processors

PACKAGE = Path(cache.__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")


def train() -> dict[str, Any]:
    """What a small training compiles, ends at and warns of."""
    import fastbp

    compiling = child.Compiling()
    with compiling as compiled, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rng = np.random.default_rng(0)
        X = rng.normal(size=(9, 3))
        net = fastbp.Network(3, [fastbp.Dense(4, "sigmoid"), fastbp.Dense(2)], seed=0)
        trainer = fastbp.Trainer(net, "mse", "sgd", batch_size=4, seed=0)
        loss = trainer.fit(X, X[:, :2], epochs=2).loss
        predicted = net.predict(X)
    return {
        "compiled": sorted(compiled),
        "compiler": sum(
            name.startswith(("numba.np.linalg", "numba.typed.")) for name in sys.modules
        ),
        "bits": [float(x) for x in (*loss, *predicted.ravel())],
        "warnings": [f"{w.category.__name__}: {w.message}" for w in caught],
    }


def call(folder: Path | str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = child.call(train, settings=quick(folder), **options)
    return found


def quick(folder: Path | str) -> dict[str, str]:
    return {**child.QUICK, "FASTBP_CACHE_DIR": str(folder)}


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A cache that three processes have just filled at once, and what they found."""
    folder = tmp_path_factory.mktemp("caches") / "cold"
    processes = [child.start(train, settings=quick(folder)) for _ in range(3)]
    return folder, [child.result(process) for process in processes]


@pytest.fixture
def warm(cold: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> Path:
    """A copy of a filled cache."""
    return Path(shutil.copytree(cold[0], tmp_path / "warm"))


def files(folder: Path) -> list[Path]:
    """The files of machine code."""
    return sorted(path for path in folder.glob("*/*") if not path.name.startswith("lock-"))


def test_three_cold_processes_share_the_work(
    cold: tuple[Path, list[dict[str, Any]]],
) -> None:
    """All succeed with the same bits, and each kernel was compiled by one of them."""
    folder, found = cold
    assert found[0]["bits"] == found[1]["bits"] == found[2]["bits"]
    assert [f["warnings"] for f in found] == [[], [], []]
    compiled = [name for f in found for name in f["compiled"]]
    for path in files(folder):
        assert compiled.count(f"fastbp.kernels.{path.name.rpartition('-')[0]}") == 1, path
    assert len(files(folder)) > 10


def test_a_second_process_compiles_nothing(cold: tuple[Path, list[dict[str, Any]]]) -> None:
    """And has no need of numba's compiler, which would take most of its time to import."""
    second = call(cold[0])
    assert second["compiled"] == []
    assert second["bits"] == cold[1][0]["bits"]
    assert max(found["compiler"] for found in cold[1]) > 0
    assert second["compiler"] == 0


def warm_up() -> list[Any]:
    """What this process compiles of all there is, and how much that is."""
    import fastbp
    from fastbp.kernels.compiling import jit

    with child.Compiling() as compiled:
        fastbp.warmup("float32")
    dtypes = [part.dtypes for part in jit.PARTS]
    return [sorted(compiled), [part.name for part in jit.PARTS], dtypes]


def test_warmup_compiles_all_with_help(tmp_path: Path) -> None:
    """All is there, in this process and in the cache; another process has compiled some of it."""
    compiled, parts, dtypes = child.call(warm_up, settings=quick(tmp_path))
    assert dtypes == [["float32"]] * len(parts)
    kept = [path.name.rpartition("-")[0] for path in files(tmp_path)]
    assert sorted(name.rpartition(".")[2] for name in kept) == sorted(parts)
    mine = {name.rpartition(".")[2] for name in compiled}
    if processors.available() > 1:
        assert not set(parts) <= mine
    compiled, _, dtypes = child.call(warm_up, settings=quick(tmp_path))
    assert compiled == []
    assert dtypes == [["float32"]] * len(parts)


def damage(path: Path, how: int) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    if how == 6:
        path.unlink()
        path.mkdir()  # cannot even be replaced
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        noise = np.random.default_rng(0).bytes(len(data))
        path.write_bytes([b"", data[:17], data[:40], data[:middle], noise, flipped][how])


def test_damaged_files_are_rebuilt(warm: Path, cold: tuple[Path, list[dict[str, Any]]]) -> None:
    damaged = sorted(files(warm), key=lambda path: path.stat().st_size)[:7]  # soon compiled
    for how, path in enumerate(damaged):
        damage(path, how)
    first, second = call(warm), call(warm)
    names = [f"fastbp.kernels.{path.name.rpartition('-')[0]}" for path in damaged]
    assert first["bits"] == second["bits"] == cold[1][0]["bits"]
    assert first["warnings"] == second["warnings"] == []
    assert set(names) <= set(first["compiled"])
    assert set(names) & set(second["compiled"]) == {names[6]}


def digest_after_each_edit() -> list[str]:
    """The digests of the package as it is, and with each of its kernel files edited."""
    import fastbp
    from fastbp.kernels.compiling import cache

    found = [cache.digest()]
    for path in sorted((Path(fastbp.__file__).parent / "kernels").rglob("*.py")):
        text = path.read_text()
        path.write_text(text + "# edited\n")
        cache.digest.cache_clear()
        found.append(cache.digest())
        path.write_text(text)
    return found


def sigmoid_of_two() -> tuple[list[str], int]:
    """What a kernel that calls sigmoid compiles, and a thousand times what it gives."""

    def caller(tag: float) -> Any:
        return np.int64(1000.0 * vmath.sigmoid(tag))

    with child.Compiling() as compiled:
        value = jit.entry(caller).compiled("float32")(2.0)
    return sorted(compiled), value


def test_editing_a_kernel_source_recompiles(tmp_path: Path) -> None:
    """In a copy of the package: as it is, it finds what the original compiled; edited, never."""
    ignore = shutil.ignore_patterns("__pycache__")
    copy = Path(shutil.copytree(PACKAGE, tmp_path / "copy" / "fastbp", ignore=ignore))
    options: dict[str, Any] = {"root": copy.parent, "settings": quick(tmp_path / "cache")}
    digests = child.call(digest_after_each_edit, **options)
    assert len(digests) == len(set(digests)) == 1 + len(list(copy.glob("kernels/**/*.py")))

    compiled, value = child.call(sigmoid_of_two, settings=options["settings"])
    assert "fastbp.kernels.maths.vmath.sigmoid" in compiled
    assert value == 880
    assert child.call(sigmoid_of_two, **options) == [[], 880]
    helper = copy / "kernels" / "maths" / "vmath.py"
    changed = "\n\n@jit.kernel\ndef sigmoid(x):\n    return x * x\n"
    helper.write_text(helper.read_text() + changed)
    compiled, value = child.call(sigmoid_of_two, **options)
    assert "fastbp.kernels.maths.vmath.sigmoid" in compiled
    assert value == 4000


@posix
def test_the_folder_is_private(cold: tuple[Path, list[dict[str, Any]]]) -> None:
    (folder,) = cold[0].iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in files(cold[0]):
        assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0


# -- faults that need no process of their own ------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this build's machine code would go in a fresh cache; nothing is there yet."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "fresh"))
    monkeypatch.delenv("FASTBP_CACHE", raising=False)
    cache.folder.cache_clear()
    yield tmp_path / "fresh" / cache.digest()
    cache.folder.cache_clear()


def compile_some() -> int:
    """Compile a new kernel for two dtypes; its result."""

    def plus(tag: float, x: int) -> int:
        return x + 1

    made = jit.entry(plus)
    return made.compiled("float32")(0.0, 1) + made.compiled("float64")(0.0, 2)


def test_private_under_any_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        assert cache.folder() == folder
    finally:
        os.umask(before)
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert compile_some() == 5
    assert len(files(folder.parent)) == 2


def test_an_unusable_folder_costs_one_warning(folder: Path) -> None:
    """A file stands in its place, which stops even root."""
    folder.parent.write_text("mine")
    with pytest.warns(RuntimeWarning, match="FASTBP_CACHE_DIR") as caught:
        assert (compile_some(), compile_some()) == (5, 5)
    assert len(caught) == 1
    assert folder.parent.read_text() == "mine"


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702], ids=oct)
def test_a_folder_that_others_can_write_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)
    with pytest.warns(RuntimeWarning, match="can be written by, another user") as caught:
        assert (compile_some(), compile_some()) == (5, 5)
    assert len(caught) == 1
    assert list(folder.iterdir()) == []


@posix
@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can give away")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.warns(RuntimeWarning, match="belongs to"):
        assert cache.folder() is None


def test_switched_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTBP_CACHE", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.folder() is None
        assert compile_some() == 5
    assert not folder.parent.exists()


def test_code_that_calls_what_is_not_there_is_compiled_anew(folder: Path) -> None:
    """LLVM's loader would call address 0."""
    assert compile_some() == 5
    for path in files(folder.parent):
        assert objects.read(path) is not None
        head, _, code = path.read_bytes()[32:].partition(b"\n")
        about = json.loads(head)
        about["needed"].append("fastbp_no_such_function")
        payload = json.dumps(about).encode() + b"\n" + code
        path.write_bytes(hashlib.sha256(payload).digest() + payload)
        assert objects.read(path) is None
    assert compile_some() == 5
    for path in files(folder.parent):
        assert objects.read(path) is not None


def test_threads_that_come_together_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(tag: float, x: int) -> int:
        return 2 * x

    made, calls = jit.entry(twice), []
    monkeypatch.setattr(cache, "folder", lambda: None)  # no file tells the others
    monkeypatch.setattr(made, "_compiled", lambda *a, f=made._compiled: calls.append(a) or f(*a))
    start, found = threading.Barrier(4), []

    def work() -> None:
        start.wait()
        found.append(made.compiled("float32")(0.0, 3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, len(calls)) == ([6] * 4, 1)


def test_a_disk_that_fills_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is used all the same, and no part of a file is left behind."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects.os, "replace", full)
    assert compile_some() == 5
    assert files(folder.parent) == []


def test_the_folder_goes_away_meanwhile(folder: Path) -> None:
    assert cache.folder() == folder
    shutil.rmtree(folder.parent)
    assert compile_some() == 5


# -- files that somebody else could have written ---------------------------------------------------


def signed(about: object, code: bytes) -> bytes:
    """A file with a right digest."""
    head = about if isinstance(about, bytes) else json.dumps(about).encode()
    payload = head + b"\n" + code
    return hashlib.sha256(payload).digest() + payload


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    head, _, code = path.read_bytes()[32:].partition(b"\n")
    return json.loads(head), code


NO_HEADERS: list[Any] = [
    b"", b"no JSON", b"[" * 10_000, b"\xff", 7, [], {}, {"symbols": 3, "needed": [], "build": ""},
]  # fmt: skip


@pytest.mark.parametrize("which", range(len(NO_HEADERS)))
def test_a_header_that_is_none_is_passed_over(folder: Path, which: int) -> None:
    assert compile_some() == 5
    for path in files(folder.parent):
        path.write_bytes(signed(NO_HEADERS[which], parts(path)[1]))
        assert objects.read(path) is None
    assert compile_some() == 5
    assert all(objects.read(path) is not None for path in files(folder.parent))


CHANGED: list[Any] = [
    {"build": "another"}, {"symbols": {"wrapper": "no_such"}}, {"needed": [7]},
    {"needed": None}, {"symbols": {"wrapper": 3}},
]  # fmt: skip


@pytest.mark.parametrize("which", range(len(CHANGED)))
def test_a_header_of_another_build_is_passed_over(folder: Path, which: int) -> None:
    assert compile_some() == 5
    for path in files(folder.parent):
        about, code = parts(path)
        assert {*about} == {"build", "symbols", "needed"}
        path.write_bytes(signed(about | CHANGED[which], code))
        assert objects.read(path) is None


def read_forged(folder: str, which: int) -> list[bool]:
    """Whether objects with a right digest that LLVM would end the process for are loaded."""
    os.environ["FASTBP_CACHE_DIR"] = folder
    assert compile_some() == 5
    found = []
    for path in files(Path(folder)):
        about, code = parts(path)
        path.write_bytes(signed(about, no_objects(code)[which]))
        found.append(objects.read(path) is not None)
    assert compile_some() == 5
    return found


def no_objects(code: bytes) -> list[bytes]:
    return [
        b"", b"garbage" * 100, code[: len(code) // 2], code[:64], code[:-1], b"MZ" + code[2:],
        code[:18] + b"\x08\x00" + code[20:], code[:40] + b"\xff" * 8 + code[48:],
        code[:60] + b"\xff\xff" + code[62:], code[:16] + b"\x03\x00" + code[18:],
        b"\x7fELF" + bytes(len(code) - 4),
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "darwin", reason="of Mach-O only the head is looked at")
@pytest.mark.parametrize("which", range(len(no_objects(bytes(100)))))
def test_an_object_that_llvm_would_refuse_is_passed_over(which: int, tmp_path: Path) -> None:
    """In a process of its own, which LLVM would have ended."""
    assert child.call(read_forged, str(tmp_path), which, settings=child.QUICK) == [False, False]


@posix
@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602], ids=oct)
def test_a_file_that_others_can_write_is_passed_over(folder: Path, mode: int) -> None:
    """And written anew."""
    assert compile_some() == 5
    for path in files(folder.parent):
        path.chmod(mode)
        assert objects.read(path) is None
    assert compile_some() == 5
    for path in files(folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert objects.read(path) is not None


@posix
@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can give away")
def test_a_file_of_another_user_is_passed_over(folder: Path) -> None:
    assert compile_some() == 5
    for path in files(folder.parent):
        os.chown(path, 12345, -1)
        assert objects.read(path) is None
    assert compile_some() == 5
    assert {path.stat().st_uid for path in files(folder.parent)} == {0}


@posix
def test_links_and_pipes_are_passed_over(folder: Path, tmp_path: Path) -> None:
    """A link to a good file too; a pipe is not waited for."""
    assert compile_some() == 5
    one, two = files(folder.parent)
    one.rename(tmp_path / "elsewhere")
    one.symlink_to(tmp_path / "elsewhere")
    two.unlink()
    os.mkfifo(two, 0o600)
    assert objects.read(one) is None
    assert objects.read(two) is None
    assert compile_some() == 5
    for path in (one, two):
        assert path.is_file()
        assert not path.is_symlink()
        assert objects.read(path) is not None


@posix
def test_a_folder_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "target")
    with pytest.warns(RuntimeWarning, match="FASTBP_CACHE_DIR"):
        assert cache.folder() is None
    assert compile_some() == 5
    assert list((tmp_path / "target").iterdir()) == []


@posix
def test_a_folder_put_in_its_place_is_never_used(folder: Path) -> None:
    """What has been checked is what is read and written, whatever has the name by now."""
    assert compile_some() == 5
    names = sorted(path.name for path in files(folder.parent))
    mine = folder.with_name("mine")
    folder.rename(mine)
    folder.mkdir(mode=0o777)
    for name in names:  # forged by who can rename in the parent folder
        about, code = parts(mine / name)
        (folder / name).write_bytes(signed(about, code[::-1]))
    planted = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in names:
        assert objects.read(folder / name) is not None  # the folder that was checked
        (mine / name).unlink()
        assert objects.read(folder / name) is None
    assert compile_some() == 5
    assert sorted(path.name for path in mine.iterdir() if path.name[:5] != "lock-") == names
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == planted


@posix
def test_closed_descriptors_are_opened_again(folder: Path, tmp_path: Path) -> None:
    """As of daemons, which close all; their numbers may be another folder's by then."""
    assert compile_some() == 5
    descriptor = cache.directory_of(folder / "x").descriptor
    assert descriptor is not None
    other = os.open(tmp_path, os.O_RDONLY)
    os.dup2(other, descriptor)
    os.close(other)
    before = sorted(os.listdir(tmp_path))
    for path in files(folder.parent):
        assert objects.read(path) is not None
        path.unlink()
    assert compile_some() == 5
    assert sorted(os.listdir(tmp_path)) == before
    assert len(files(folder.parent)) == 2
    os.close(descriptor)


@posix
def test_the_child_of_a_fork_reads_and_writes(folder: Path) -> None:
    assert compile_some() == 5
    kept = files(folder.parent)[0]
    pid = os.fork()
    if pid == 0:
        try:
            there = objects.read(kept) is not None
            kept.unlink()
            os._exit(0 if there and compile_some() == 5 and kept.exists() else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0

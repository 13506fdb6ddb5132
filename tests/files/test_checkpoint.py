"""Checkpoints: a run that is broken off and resumed gives the bits of one that was not."""

from __future__ import annotations

import copy
import csv
import errno
import operator
import os
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import child
import numpy as np
import pytest
from paths import ROOT

import fastbp
from fastbp.files import atomic, container, tree
from fastbp.files import checkpoints as checkpoint
from fastbp.training import provenance

RNG = np.random.default_rng(3)
X, LABELS, NUMBERS = RNG.normal(size=(200, 4)), RNG.integers(3, size=200), RNG.normal(size=(200, 2))
EPOCHS = 5


def classifier(**settings: Any) -> fastbp.Trainer:
    layers = [fastbp.Dense(17, "tanh", bias="shared", dropout=0.2), fastbp.Dense(3, "softmax")]
    network = fastbp.Network(4, layers, seed=1)
    rate = fastbp.LinearWarmUp(fastbp.CosineDecay(0.02, length=40, per="step"), length=9)
    given: dict[str, Any] = {"batch_size": 16, "seed": 2, "metrics": ["accuracy", "f1"]}
    given |= {"optimizer": fastbp.NAdam(rate), **settings}
    return fastbp.Trainer(network, "cross_entropy", **given)


def regression(optimizer: Any, dtype: str = "float64", **settings: Any) -> fastbp.Trainer:
    layers = [fastbp.Dense(9, "tanh"), fastbp.Dense(5, "relu", bias=False), fastbp.Dense(2)]
    network = fastbp.Network(4, layers, dtype=dtype, seed=5)
    given: dict[str, Any] = {"batch_size": 30, "seed": 0, **settings}
    return fastbp.Trainer(network, fastbp.Huber(0.7), optimizer, **given)


def solver(optimizer: Any) -> fastbp.Trainer:
    network = fastbp.Network(4, [fastbp.Dense(6, "tanh"), fastbp.Dense(2)], dtype="float64", seed=5)
    return fastbp.Trainer(network, "mse", optimizer, batch_size=None)


class BrokenOff(Exception):
    pass


class BreakOff(fastbp.Callback):
    """Raises at the n-th visit to Python within epochs, or at an epoch's end."""

    def __init__(self, chunk: int = -1, epoch: int = -1) -> None:
        self.chunk, self.epoch = chunk, epoch

    def on_chunk_end(self, trainer: fastbp.Trainer) -> None:
        self.chunk -= 1
        if self.chunk == 0:
            raise BrokenOff

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch:
            raise BrokenOff


def outcome(trainer: fastbp.Trainer, history: fastbp.History | None) -> dict[str, Any]:
    found = {k: v for k, v in vars(history).items() if k != "samples_per_second"}
    found["weights"] = [w.tobytes() for w in trainer.network.get_weights()]
    found["slots"] = [[a.tobytes() for a in slot] for slot in trainer._state()["slots"]]
    return found | {"rate": trainer.learning_rate}


KINDS: dict[str, Any] = {
    "schedule by step": (classifier, LABELS),
    "accumulated": (lambda: classifier(accumulate=3, clip_norm=1.0), LABELS),
    "plateau": (
        lambda: classifier(
            optimizer=fastbp.Adam(fastbp.ReduceOnPlateau(0.1, patience=0, factor=0.5))
        ),
        LABELS,
    ),
    "rprop": (lambda: regression("rprop", batch_size=None), NUMBERS),
    "momentum": (lambda: regression(fastbp.SGD(0.05, momentum=0.9), "float32"), NUMBERS),
    "amsgrad": (lambda: regression(fastbp.Adam(amsgrad=True)), NUMBERS),
    "rmsprop": (lambda: regression(fastbp.RMSprop(centered=True, momentum=0.5)), NUMBERS),
    "lbfgs": (lambda: solver("lbfgs"), NUMBERS),
    "levenberg_marquardt": (lambda: solver("levenberg_marquardt"), NUMBERS),
}


@pytest.mark.parametrize("broken", [{"chunk": 2}, {"chunk": 4}, {"chunk": 23}, {"epoch": 3}])
@pytest.mark.parametrize("kind", KINDS)
def test_resumed_is_uninterrupted(kind: str, broken: dict[str, int], tmp_path: Path) -> None:
    make, y = KINDS[kind]
    rows: dict[str, Any] = {"validation_split": 0.2, "sample_weight": RNG.uniform(size=200)}

    def callbacks() -> list[fastbp.Callback]:
        stopping = fastbp.EarlyStopping("val_loss", patience=2)
        return [stopping, fastbp.Checkpoint(tmp_path, every_seconds=0.0, every_epochs=1)]

    whole = make()
    if broken.get("chunk", 0) > EPOCHS and (whole.batch_size or 99) * whole.accumulate > 40:
        broken = {"epoch": 2}  # there are not so many chunks
    expected = outcome(whole, whole.fit(X, y, EPOCHS, callbacks=callbacks()[:1], **rows))
    with pytest.raises(BrokenOff):
        make().fit(X, y, EPOCHS, callbacks=[*callbacks(), BreakOff(**broken)], **rows)
    assert os.listdir(tmp_path)
    resumed = make()
    if kind != "lbfgs":  # nothing of what it has itself may be left over
        resumed.step(X, y)
    history = resumed.fit(X, y, EPOCHS, callbacks=callbacks(), resume=tmp_path, **rows)
    assert outcome(resumed, history) == expected
    again = make()  # a finished run that is resumed is finished
    history = again.fit(X, y, EPOCHS, callbacks=callbacks(), resume=tmp_path, **rows)
    assert outcome(again, history) == expected


def test_a_run_begins_where_there_is_no_checkpoint(tmp_path: Path) -> None:
    expected = classifier()
    expected.fit(X, LABELS, 2)
    for folder in (tmp_path, tmp_path / "none yet"):
        trainer = classifier()
        trainer.fit(X, LABELS, 2, resume=folder, callbacks=[fastbp.Checkpoint(tmp_path / "a")])
        assert outcome(trainer, None or trainer.history)["weights"] == [
            w.tobytes() for w in expected.network.get_weights()
        ]
        assert trainer.fit(X, LABELS, 1).epoch == [2]
        for file in (tmp_path / "a").iterdir():
            file.unlink()


def test_saved_and_loaded(tmp_path: Path) -> None:
    trainer = classifier(n_threads=1)
    trainer.network.metadata = {"classes": ["a", "b"]}
    trainer.fit(X, LABELS, 2)
    trainer.learning_rate = trainer.learning_rate / 3
    trainer.save(tmp_path / "t.safetensors")
    loaded = fastbp.Trainer.load(tmp_path / "t.safetensors")
    assert loaded.optimizer == trainer.optimizer
    assert loaded.metrics == trainer.metrics
    assert loaded.network.metadata == trainer.network.metadata
    assert loaded.learning_rate == trainer.learning_rate
    a, b = trainer.fit(X, LABELS, 2), loaded.fit(X, LABELS, 2)
    assert a.epoch == b.epoch == [2, 3]
    assert outcome(trainer, a) == outcome(loaded, b)


def test_saved_after_an_interrupt_within_an_epoch(tmp_path: Path) -> None:
    whole = classifier()
    expected = outcome(whole, whole.fit(X, LABELS, EPOCHS))
    trainer = classifier()
    with pytest.raises(BrokenOff):
        trainer.fit(X, LABELS, EPOCHS, callbacks=[BreakOff(epoch=1)])
    with pytest.raises(BrokenOff):
        trainer.fit(X, LABELS, EPOCHS, callbacks=[BreakOff(chunk=1)])
    assert trainer.history is not None
    assert trainer.history.epoch == []
    trainer = classifier()
    with pytest.raises(BrokenOff):
        trainer.fit(X, LABELS, EPOCHS, callbacks=[BreakOff(chunk=5)])
    trainer.save(tmp_path / "t")
    resumed = classifier()
    assert outcome(resumed, resumed.fit(X, LABELS, EPOCHS, resume=tmp_path / "t")) == expected


class SaveWithin(fastbp.Callback):
    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        trainer.save(self.path)
        self.pickled = pickle.dumps(trainer)


@pytest.mark.parametrize(
    "where", ["runtime.parameters.Parameters.pack_slot", "training.measuring.Measuring.begin"]
)
def test_an_interrupt_while_it_is_resumed(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is saved then is what was resumed from: no half of it."""
    monkeypatch.setattr("fastbp.training.fit._CHUNK_SECONDS", 0.0)
    whole, broken = classifier(), classifier()
    whole.fit(X, LABELS, EPOCHS)
    with pytest.raises(BrokenOff):
        broken.fit(X, LABELS, EPOCHS, callbacks=[BreakOff(chunk=17)])
    broken.save(tmp_path / "a")
    called, came = operator.attrgetter(where)(fastbp), 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal came
        came += 1
        if came == 1:
            raise KeyboardInterrupt
        return called(*arguments)

    resumed, last = classifier(), classifier()
    with monkeypatch.context() as patch:
        patch.setattr(f"fastbp.{where}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            resumed.fit(X, LABELS, EPOCHS, resume=tmp_path / "a")
    resumed.save(tmp_path / "b")
    assert outcome(last, last.fit(X, LABELS, EPOCHS, resume=tmp_path / "b")) == outcome(
        whole, whole.history
    )


def test_saved_and_pickled_by_a_callback(tmp_path: Path) -> None:
    trainer, callback = classifier(), SaveWithin(tmp_path / "t")
    trainer.fit(X, LABELS, 2, callbacks=[callback])
    for other in (fastbp.Trainer.load(tmp_path / "t"), pickle.loads(callback.pickled)):
        assert outcome(other, trainer.history) == outcome(trainer, trainer.history)


@pytest.mark.parametrize("kind", KINDS)
def test_pickle_and_copy(kind: str) -> None:
    make, y = KINDS[kind]
    trainer = make()
    rows: dict[str, Any] = {"validation_split": 0.2}
    trainer.fit(X, y, 2, **rows)
    others = [pickle.loads(pickle.dumps(trainer)), copy.deepcopy(trainer)]
    expected = outcome(trainer, trainer.fit(X, y, 2, **rows))
    for other in others:
        assert other.network is not trainer.network
        assert outcome(other, other.fit(X, y, 2, **rows)) == expected


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    trainer, callback = classifier(), fastbp.Checkpoint(tmp_path, keep=3)
    (tmp_path / ".fastbp-0.tmp").write_bytes(b"what a killed writer left")
    trainer.fit(X, LABELS, 7, callbacks=[callback])
    names = [f"checkpoint-{n:012d}.safetensors" for n in (5, 6, 7)]
    assert sorted(os.listdir(tmp_path)) == names
    trainer.fit(X, LABELS, 1, callbacks=[callback])  # its own may be gone on with
    assert sorted(os.listdir(tmp_path))[-1] == "checkpoint-000000000008.safetensors"


def test_every_so_many_epochs(tmp_path: Path) -> None:
    trainer = classifier()
    trainer.fit(X, LABELS, 7, callbacks=[fastbp.Checkpoint(tmp_path, every_epochs=3, keep=9)])
    epochs = [checkpoint.read(p)["counters"]["epochs"] for p in checkpoint.in_folder(str(tmp_path))]
    assert epochs == [3, 6, 7]


def test_another_runs_folder_is_refused(tmp_path: Path) -> None:
    classifier().fit(X, LABELS, 1, callbacks=[fastbp.Checkpoint(tmp_path)])
    before = sorted(os.listdir(tmp_path))
    trainer = classifier()
    for resume in (None, tmp_path / "elsewhere"):
        with pytest.raises(ValueError, match="path holds checkpoints of another run"):
            trainer.fit(X, LABELS, callbacks=[fastbp.Checkpoint(tmp_path)], resume=resume)
    assert sorted(os.listdir(tmp_path)) == before
    assert trainer.history is None


def test_a_damaged_one_is_passed_over_loudly(tmp_path: Path) -> None:
    whole = classifier()
    expected = outcome(whole, whole.fit(X, LABELS, 4))
    classifier().fit(X, LABELS, 3, callbacks=[fastbp.Checkpoint(tmp_path)])
    older, newest = checkpoint.in_folder(str(tmp_path))
    content = bytearray(Path(newest).read_bytes())
    content[-5] ^= 1
    Path(newest).write_bytes(content)
    resumed = classifier()
    with pytest.warns(RuntimeWarning, match=r"SHA-256; going on from the checkpoint before") as w:
        history = resumed.fit(X, LABELS, 4, resume=tmp_path)
    assert w[0].filename == __file__  # not a file of fastbp's
    assert outcome(resumed, history) == expected
    Path(older).write_bytes(b"")
    trainer = classifier()
    before = trainer.network.get_weights()
    with pytest.raises(fastbp.ModelFileError, match="SHA-256"):
        trainer.fit(X, LABELS, 4, resume=tmp_path)
    np.testing.assert_array_equal(before[0], trainer.network.get_weights()[0])


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"batch_size": 17}, "batch_size is 16 there, 17 here"),
        ({"optimizer": fastbp.SGD(0.1)}, "optimizer"),
        ({"metrics": []}, "metrics"),
        ({"clip_norm": 3.0}, "clip_norm is None there, 3.0 here"),
    ],
)
def test_another_trainers_is_refused(other: dict[str, Any], named: str, tmp_path: Path) -> None:
    trainer = classifier()
    trainer.fit(X, LABELS)
    trainer.save(tmp_path / "t")
    with pytest.raises(fastbp.ModelFileError, match=named):
        classifier(**other).fit(X, LABELS, resume=tmp_path / "t")


def test_other_data_are_warned_of(tmp_path: Path) -> None:
    trainer = classifier()
    trainer.fit(X, LABELS, callbacks=[fastbp.Checkpoint(tmp_path)])
    with pytest.warns(RuntimeWarning, match="data X was"):
        assert classifier().fit(X + 1.0, LABELS, 3, resume=tmp_path).epoch == [0, 1, 2]


def test_another_machine_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier().fit(X, LABELS, callbacks=[fastbp.Checkpoint(tmp_path)])
    monkeypatch.setattr(provenance, "machine", lambda: {"numba": "0.1"})
    with pytest.warns(RuntimeWarning) as caught:
        classifier().fit(X, LABELS, 2, resume=tmp_path)
    assert any("numba was" in str(w.message) and "is '0.1'" in str(w.message) for w in caught)
    assert any("CPU was" in str(w.message) for w in caught)


def test_what_is_a_persons_own_is_not_made_from_a_file(tmp_path: Path) -> None:
    def halved(p: float, t: float) -> float:
        return 0.5 * (p - t) * (p - t)

    def slope(p: float, t: float) -> float:
        return p - t

    def make() -> fastbp.Trainer:
        network = fastbp.Network(4, [fastbp.Dense(2)], seed=0)
        return fastbp.Trainer(network, fastbp.CustomLoss(halved, slope, "halved"), seed=0)

    make().fit(X, NUMBERS, callbacks=[fastbp.Checkpoint(tmp_path)])
    with pytest.raises(fastbp.ModelFileError, match="'halved' is not fastbp's own"):
        fastbp.Trainer.load(tmp_path)
    assert make().fit(X, NUMBERS, 3, resume=tmp_path).epoch == [0, 1, 2]


def test_the_csv_log_goes_on(tmp_path: Path) -> None:
    def callbacks() -> list[fastbp.Callback]:
        return [fastbp.CSVLogger(tmp_path / "log.csv"), fastbp.Checkpoint(tmp_path / "run")]

    broken = [*callbacks(), BreakOff(epoch=2)]
    with pytest.raises(BrokenOff):
        classifier().fit(X, LABELS, 4, callbacks=broken, resume=tmp_path / "run")
    history = classifier().fit(X, LABELS, 4, callbacks=callbacks(), resume=tmp_path / "run")
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == history.epoch == [0, 1, 2, 3]
    assert [float(row["loss"]) for row in rows] == history.loss


# -- what goes wrong while saving ------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_and_no_permission(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = classifier()
    trainer.fit(X, LABELS)
    path = tmp_path / "t"
    trainer.save(path)
    before = path.read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync" if code == errno.ENOSPC else "replace", refuse)
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            trainer.save(path)
        with pytest.raises(OSError, match=os.strerror(code)):
            trainer.fit(X, LABELS, callbacks=[fastbp.Checkpoint(tmp_path / "run")])
    assert caught.value.filename == str(path)
    assert os.listdir(tmp_path / "run") == []
    assert path.read_bytes() == before
    assert len(os.listdir(tmp_path)) == 2
    assert trainer.fit(X, LABELS).epoch == [2]


def beyond_a_limit(folder: str) -> list[Any]:
    """Save where files may have no more than 4 KiB; the error, and what is left."""
    import resource
    import signal

    trainer = classifier()
    trainer.fit(X, LABELS)
    path = Path(folder, "t")
    trainer.save(path)
    before = path.read_bytes()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        trainer.save(path)
    except OSError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        same = path.read_bytes() == before
        return [error.errno, same, os.listdir(folder), trainer.fit(X, LABELS).epoch]
    return []


@pytest.mark.skipif(os.name != "posix", reason="limits a process as POSIX does")
def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    found = child.call(beyond_a_limit, str(tmp_path))
    assert found == [errno.EFBIG, True, ["t"], [1]]


def test_what_reads_back_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t"
    atomic.write(path, b"before")
    fsync = os.fsync

    def damage(descriptor: int) -> None:
        os.pwrite(descriptor, b"x", 0)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", damage)
    with pytest.raises(OSError, match="reads back differently"):
        atomic.write(path, b"after")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["t"]


def test_weights_that_are_not_finite_are_not_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = fastbp.Network(4, [fastbp.Dense(2)], seed=0)
    trainer = fastbp.Trainer(network, "mse", fastbp.SGD(1e30), on_divergence="ignore", seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(X, NUMBERS, 3, callbacks=[fastbp.Checkpoint(tmp_path / "run")])
    assert os.listdir(tmp_path / "run") == []
    assert "a weight is not finite" in caplog.text
    with pytest.raises(fastbp.ModelFileError, match="not finite"):
        trainer.save(tmp_path / "t")
    assert not (tmp_path / "t").exists()


# -- what is no checkpoint -------------------------------------------------------------------------


def test_files_of_other_kinds(tmp_path: Path) -> None:
    trainer = classifier()
    trainer.fit(X, LABELS)
    trainer.network.save(tmp_path / "model")
    trainer.save(tmp_path / "trainer")
    with pytest.raises(fastbp.ModelFileError, match="not a checkpoint"):
        fastbp.Trainer.load(tmp_path / "model")
    with pytest.raises(fastbp.ModelFileError, match="not a model"):
        fastbp.Network.load(tmp_path / "trainer")
    (tmp_path / "empty").mkdir()
    for missing in ("none", "empty"):
        with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
            fastbp.Trainer.load(tmp_path / missing)
    with pytest.raises(NotADirectoryError, match="path must be a folder"):
        trainer.fit(X, LABELS, callbacks=[fastbp.Checkpoint(tmp_path / "model")])


REPLACED = [
    ("slots", []),
    ("slots", None),
    ("hyper", np.zeros(3)),
    ("hyper", np.full(32, np.nan)),
    ("weights", []),
    ("counters", {"epochs": -1}),
    ("counters", {}),
    ("rates", {}),
    ("fit", {}),
    ("settings", {}),
    ("machine", None),
]


@pytest.mark.parametrize("named", range(len(REPLACED)))
def test_well_signed_nonsense(named: int, tmp_path: Path) -> None:
    """A file with a right digest and a part that is not as it should be changes nothing."""
    key, value = REPLACED[named]
    trainer = classifier()
    trainer.fit(X, LABELS)
    checkpoint.write(tmp_path / "t", trainer._state() | {key: value})
    before = outcome(trainer, trainer.history)
    with pytest.raises(fastbp.ModelFileError):
        trainer.fit(X, LABELS, 3, resume=tmp_path / "t")
    assert outcome(trainer, trainer.history) == before


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    value = {"state": {"a": {"tensor": "a"}}, "tensors": [["a", "F64", [2]]]}
    blob = container.pack(checkpoint._KIND, value, {"a": np.zeros(2)}, 999)
    (tmp_path / "t").write_bytes(blob)
    with pytest.raises(
        fastbp.ModelFileError, match=r"in format 999 by fastbp.*reads formats 1 to 2$"
    ):
        fastbp.Trainer.load(tmp_path / "t")


def test_trees_come_back() -> None:
    arrays: dict[str, Any] = {}
    value = {"a": [1, 2.5, float("inf"), None, True, "x", {"b": np.arange(3.0)}], "c": {}}
    found = tree.decode(tree.encode(value, "it", arrays), arrays)
    np.testing.assert_array_equal(found["a"].pop()["b"], np.arange(3.0))
    assert found == {"a": [1, 2.5, float("inf"), None, True, "x"], "c": {}}
    for wrong in (object(), {1: 2}, np.arange(3)):
        with pytest.raises(TypeError, match="it"):
            tree.encode(wrong, "it", {})
    for wrong in ({}, {"tensor": "none"}, {"float": "1e5"}, {"map": [], "x": 1}):
        with pytest.raises(ValueError, match="unreadable"):
            tree.decode(wrong, {})


def kill(kills: int) -> dict[str, int]:
    from torture import kills as script

    return script.torture(kills)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_kills() -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    counts = child.call(kill, 12, settings={"PYTHONPATH": path})
    assert counts["kills"] == 12
    assert counts["lost"] == 0


def test_arguments() -> None:
    for wrong in ({"every_epochs": 0}, {"keep": 0}, {"every_seconds": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            fastbp.Checkpoint("run", **wrong)  # type: ignore[arg-type]
    assert container.ModelFileError is fastbp.ModelFileError


# -- while another process writes there ------------------------------------------------------------


def write_on(folder: str) -> None:
    """Train with a checkpoint after every epoch, of which one is kept, until killed."""
    network = fastbp.Network(4, [fastbp.Dense(2)], seed=0)
    trainer = fastbp.Trainer(network, "mse", seed=0)
    trainer.fit(X, NUMBERS, 10**9, callbacks=[fastbp.Checkpoint(folder, keep=1)])


def test_a_folder_that_another_process_writes_to(tmp_path: Path) -> None:
    """Every read finds a checkpoint, each no older than the one before."""
    writer = child.start(write_on, str(tmp_path / "run"))
    try:
        epochs, looks = [0], 0
        while writer.poll() is None and (len(set(epochs)) < 40 or looks < 200):
            looks += 1
            if epochs != [0] or checkpoint.newest(tmp_path / "run") is not None:
                epochs.append(fastbp.Trainer.load(tmp_path / "run").position.epochs)
        assert writer.poll() is None
    finally:
        child.end(writer)
        writer.communicate()
    assert epochs == sorted(epochs)


@pytest.mark.parametrize("asked", range(4))
def test_a_folder_that_comes_between_two_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    """A folder made while it is looked for, at whatever time, has no checkpoint yet."""
    folder, stat, left = tmp_path / "run", os.stat, [asked]

    def late(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        try:
            return stat(path, *args, **kwargs)
        finally:
            if os.fspath(path) == str(folder):
                left[0] -= 1
                if left[0] < 0 and not os.path.lexists(folder):
                    folder.mkdir()

    monkeypatch.setattr(os, "stat", late)
    assert checkpoint.newest(folder) is None


def vanishing(monkeypatch: pytest.MonkeyPatch, times: int, then: Any = lambda path: None) -> None:
    """Have the file that is read vanish so many times, after something else has happened."""
    read, left = checkpoint.read, [times]

    def gone(path: str) -> Any:
        if left[0]:
            left[0] -= 1
            then(path)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return read(path)

    monkeypatch.setattr(checkpoint, "read", gone)


def test_a_file_that_vanishes_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = classifier()
    expected.fit(X, LABELS, 3, callbacks=[fastbp.Checkpoint(tmp_path / "run", keep=1)])
    (file,) = checkpoint.in_folder(str(tmp_path / "run"))
    later = file.replace("3.", "4.")

    def move_on(path: str) -> None:
        if os.path.exists(file):
            os.rename(file, later)

    vanishing(monkeypatch, 5, move_on)
    assert fastbp.Trainer.load(tmp_path / "run").position.epochs == 3
    os.rename(later, file)
    vanishing(monkeypatch, 5, move_on)
    assert classifier().fit(X, LABELS, 4, resume=tmp_path / "run").epoch == [0, 1, 2, 3]
    vanishing(monkeypatch, 3)
    assert fastbp.Trainer.load(later).position.epochs == 3


def test_what_has_gone_for_good_is_no_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("run", "file"):
        trainer = classifier()
        trainer.fit(X, LABELS, callbacks=[fastbp.Checkpoint(tmp_path / "run")])
        trainer.save(tmp_path / "file")
        path = tmp_path / name

        def remove(_: str, path: Path = path) -> None:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

        with monkeypatch.context() as patch:
            vanishing(patch, 1, remove)
            with pytest.raises(FileNotFoundError):
                classifier().fit(X, LABELS, resume=path)


def test_a_listing_that_has_neither_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier().fit(X, LABELS, callbacks=[fastbp.Checkpoint(tmp_path, keep=1)])
    listdir, empty = os.listdir, [[], [], []]
    monkeypatch.setattr(os, "listdir", lambda path: empty.pop() if empty else listdir(path))
    assert checkpoint.newest(tmp_path) is not None
    assert empty == []


def test_a_folder_that_is_replaced_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier().fit(X, LABELS, callbacks=[fastbp.Checkpoint(tmp_path / "run")])
    listdir, left = os.listdir, [2]

    def away(path: str) -> list[str]:
        if left[0]:
            left[0] -= 1
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", away)
    assert fastbp.Trainer.load(tmp_path / "run").position.epochs == 1


def test_a_checkpoint_that_cannot_be_removed_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to remove what somebody reads; it goes with one of the next."""
    unlink, refused = os.unlink, [4]

    def busy(path: str) -> None:
        if "checkpoint-" in str(path) and refused[0]:
            refused[0] -= 1
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", busy)
    classifier().fit(X, LABELS, 6, callbacks=[fastbp.Checkpoint(tmp_path, keep=1)])
    assert refused == [0]
    assert os.listdir(tmp_path) == ["checkpoint-000000000006.safetensors"]

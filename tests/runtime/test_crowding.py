"""Teams that get smaller where the processors have others' work to do, and what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.runtime import crowding, team
from fastbp.runtime.crowding import Crowd, Turn
from fastbp.runtime.program import Program

ANY = float("inf")


class Machine:
    """A crowd with a clock of its own, and work that it is told of."""

    def __init__(self) -> None:
        self.now = 100.0
        self.crowd = Crowd(lambda: self.now)

    def work(self, threads: int, seconds: float, share: float = 1.0, late: float = 0.0) -> int:
        """Have a team work; each thread has that share of its processor. The team's size then."""
        team = self.crowd.how_many(threads)
        if team > 1:
            began, self.now = self.now, self.now + seconds
            self.crowd.tell(
                began,
                [Turn(0, share * (seconds - late), began + late, self.now) for _ in range(team)],
            )
        else:
            self.now += seconds
        return self.crowd.how_many(threads)


def test_alone_the_team_is_whole() -> None:
    machine = Machine()
    for _ in range(100):
        assert machine.work(4, 0.1, share=0.98) == 4
    assert machine.crowd.within(4) == ANY


def test_crowded_it_is_halved_and_tried_again() -> None:
    machine = Machine()
    assert machine.work(8, 0.1, share=0.9) == 4  # 8 threads lose four fifths of a processor
    assert machine.work(8, 0.05, share=0.9) == 4  # enough for these
    machine.now += 0.2
    assert machine.crowd.how_many(8) == 8
    assert machine.crowd.within(8) <= 0.01
    assert machine.work(8, 0.01, share=0.5) == 4
    assert machine.work(8, 0.05, share=0.7) == 2
    assert machine.work(8, 0.05, share=0.7) == 1


def test_the_pauses_grow_and_end() -> None:
    machine = Machine()
    pauses = []
    for _ in range(8):
        machine.work(2, 0.01, share=0.5)
        assert machine.crowd.how_many(2) == 1
        began = machine.now
        while machine.crowd.how_many(2) == 1:
            machine.now += 0.01
        pauses.append(machine.now - began)
    np.testing.assert_allclose(pauses[:5], [0.1, 0.2, 0.4, 0.8, 1.6], atol=0.011)
    assert max(pauses) < 4.1
    assert machine.work(2, 0.01) == 2  # the others have gone
    for _ in range(3):
        assert machine.work(2, 0.1) == 2
    assert machine.crowd.within(2) == ANY


def test_short_calls_are_added_up() -> None:
    machine = Machine()
    for _ in range(19):
        assert machine.work(2, 2e-4, share=0.5) == 2
    assert machine.work(2, 3e-4, share=0.5) == 1
    machine = Machine()
    for _ in range(100):  # each worker has slept, and takes its time to begin
        assert machine.work(2, 3e-4, late=1e-4) == 2
    for _ in range(100):
        machine.work(2, 1e-3, late=8e-4)
    assert machine.crowd.how_many(2) == 1


def test_news_is_asked_for_where_there_was_none() -> None:
    machine = Machine()
    assert machine.crowd.within(2) == pytest.approx(0.01)  # at the very first
    machine.work(2, 0.01)
    assert machine.crowd.within(2) == ANY
    machine.now += 1.0
    assert machine.crowd.within(2) == pytest.approx(0.01)


def test_without_a_clock_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "_own_time", None)
    assert Crowd().within(2) == ANY
    trainer = trained("auto", monkeypatch, 2)
    assert np.isfinite(trainer.history.loss).all()


# -- what is computed ------------------------------------------------------------------------------


def trained(n_threads: Any, monkeypatch: pytest.MonkeyPatch, most: int = 4, **more: Any) -> Any:
    monkeypatch.setattr(team, "wanted", lambda: most)
    rng = np.random.default_rng(0)
    rows = more.pop("rows", 600)
    X, y = rng.normal(size=(rows, 40)), rng.normal(size=(rows, 3))
    layers = [fastbp.Dense(more.pop("units", 150), "tanh", dropout=more.pop("dropout", 0.0))]
    net = fastbp.Network(40, [*layers, fastbp.Dense(3)], seed=0)
    given = {"loss": "mse", "optimizer": "adam", "batch_size": 200, "metrics": ["mae"], **more}
    trainer = fastbp.Trainer(net, n_threads=n_threads, seed=0, **given)
    trainer.fit(X, y, 4, validation_data=(X, y))
    trainer.step(X, y)
    trainer.figures = [
        *trainer.history.loss, *trainer.history.val_loss, *trainer.history.val_mae,
        *net.get_weights(), *trainer.gradients(X, y)[1], trainer.evaluate(X, y)["loss"],
        net.predict(np.repeat(X, 20, axis=0), n_threads=n_threads),
    ]  # fmt: skip
    return trainer


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A crowd that comes and goes with every call: teams of 1 to all threads in turn."""
    taken: list[int] = []

    def how_many(self: Crowd, threads: int) -> int:
        taken.append(1 + (7 * len(taken)) % threads)
        return taken[-1]

    monkeypatch.setattr(Crowd, "how_many", how_many)
    monkeypatch.setattr(Crowd, "within", lambda *_: 0.0)  # a batch a call
    return taken


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"dropout": 0.3, "clip_norm": 0.1},
        {"batch_size": None, "rows": 3000},  # slabs
        {"optimizer": "lbfgs", "batch_size": None},
        {"optimizer": "levenberg_marquardt", "batch_size": None, "units": 20, "rows": 2000},
    ],
)
def test_the_same_bits(given: Any, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    one = trained(1, monkeypatch, **given)
    assert not sizes
    others = trained("auto", monkeypatch, **given)
    assert set(sizes) >= {1, 2, 3}
    for a, b in zip(one.figures, others.figures, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_number_of_ones_own_stays(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[int] = []
    run = team.Team.run
    monkeypatch.setattr(
        team.Team,
        "run",
        staticmethod(lambda threads, *given: (entered.append(threads), run(threads, *given))[1]),
    )
    trained(3, monkeypatch)
    assert not sizes
    assert 3 in entered


def test_a_program_that_others_have_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's idle programs are shared by calls with "auto" and with numbers."""
    monkeypatch.setattr(team, "wanted", lambda: 2)
    net = fastbp.Network(400, [fastbp.Dense(300)], seed=0)
    X = np.random.default_rng(0).normal(size=(3000, 400))
    expected = net.predict(X, n_threads=1)
    entered: list[int] = []
    shared = Program._share_among
    monkeypatch.setattr(
        Program, "_share_among", lambda self, n: (entered.append(n), shared(self, n))[1]
    )
    monkeypatch.setattr(Crowd, "how_many", lambda *_: 1)
    np.testing.assert_array_equal(net.predict(X), expected)
    np.testing.assert_array_equal(net.predict(X, n_threads=2), expected)
    assert entered == [1, 2]


def test_calls_end_when_a_team_is_to_be_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call of many batches would keep a team as it is for as long as it takes."""
    monkeypatch.setattr(team, "wanted", lambda: 2)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2560, 64)), rng.normal(size=(2560, 64))
    calls: list[int] = []
    run = Program.run
    monkeypatch.setattr(
        Program, "run", lambda self, a, b: (calls.append(b - a), run(self, a, b))[1]
    )
    counts = {}
    for seconds in (ANY, 0.0):
        monkeypatch.setattr(Crowd, "within", lambda *_, seconds=seconds: seconds)
        net = fastbp.Network(64, [fastbp.Dense(64), fastbp.Dense(64)], seed=0)
        trainer = fastbp.Trainer(net, "mse", batch_size=256, seed=0, n_threads="auto")
        trainer.fit(X, y)
        calls.clear()
        trainer.fit(X, y)
        counts[seconds] = calls.copy()
    assert sum(counts[ANY]) == sum(counts[0.0]) == 10
    assert counts[0.0] == [1] * 10
    assert len(counts[ANY]) < 10

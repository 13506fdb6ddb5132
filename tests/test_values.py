"""Classes of settings are dataclasses, as the library makes them with methods for each."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, ClassVar

import pytest

import fastbp
from fastbp import values


class _Plain:
    kind: ClassVar[str] = "plain"
    a: float
    b: Any = ()
    seen: Any = dataclasses.field(default=None, compare=False)
    hidden: Any = dataclasses.field(default=0, repr=False)


class _Own:
    a: float

    def __repr__(self) -> str:
        return "own"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Own)


def pair(kind: type, **how: Any) -> tuple[Any, Any]:
    """A class decorated by the library, and by fastbp."""
    made = []
    for module in (dataclasses, values):
        body = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
        made.append(module.dataclass(frozen=True, **how)(type(kind.__name__, (), body)))
    return made[0], made[1]


NAN = float("nan")
ARGUMENTS = [
    (1.0,), (1,), (1.5,), (NAN,), (float("nan"),), (1.0, (2, "x")), (1.0, [3]), (1.0, (), 5),
    (1.0, (), None, 7), (-0.0,), (0.0,),
]  # fmt: skip


def hashed(one: object) -> object:
    try:
        return hash(one)
    except TypeError as error:
        return str(error)


def test_they_are_compared_and_shown_as_the_librarys() -> None:
    theirs, mine = pair(_Plain)
    for x in ARGUMENTS:
        assert repr(mine(*x)) == repr(theirs(*x))
        assert hashed(mine(*x)) == hashed(theirs(*x))
        for y in ARGUMENTS:
            assert (mine(*x) == mine(*y)) == (theirs(*x) == theirs(*y)), (x, y)
            assert (mine(*x) != mine(*y)) == (theirs(*x) != theirs(*y)), (x, y)
    assert mine(1.0) != theirs(1.0)
    assert mine(1.0).__eq__(1.0) is NotImplemented


def test_methods_of_a_classs_own_stay() -> None:
    for kind in pair(_Own):
        assert repr(kind(1.0)) == "own"
        assert kind.__eq__ is _Own.__eq__
        assert hash(kind(1.0)) == hash((1.0,))


def test_identity_where_it_is_asked_for() -> None:
    for kind in pair(_Plain, eq=False):
        one = kind(1.0)
        assert one != kind(1.0)
        assert hash(one) == object.__hash__(one)
        assert repr(one).endswith("(a=1.0, b=(), seen=None)")


def test_one_that_holds_itself_is_shown() -> None:
    for kind in pair(_Plain):
        held: list[Any] = []
        one = kind(1.0, held)
        held.append(one)
        assert repr(one).endswith("(a=1.0, b=[...], seen=None)")


def test_settings_are_frozen_copied_and_pickled() -> None:
    one = fastbp.Adam(1e-2, beta_1=0.8)
    for same in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert same == one
        assert hash(same) == hash(one)
    assert dataclasses.replace(one, beta_1=0.9) == fastbp.Adam(1e-2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.beta_1 = 0.5  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.beta_1


def test_a_persons_own_class_may_go_on_from_them() -> None:
    @dataclasses.dataclass(frozen=True)
    class Halving(fastbp.Schedule):
        every: int = 2

        def _factors(self, t: Any) -> Any:
            return 0.5 ** (t // self.every)

    class Plain(fastbp.StepDecay):
        pass

    assert Halving(0.1) == Halving(0.1, 2) != Halving(0.1, 3)
    assert hash(Halving(0.1)) == hash(Halving(0.1, 2))
    assert repr(Halving(0.1)).endswith("Halving(learning_rate=0.1, every=2)")
    assert Halving(0.1).rates([0, 2]).tolist() == [0.1, 0.05]
    assert Plain(0.1, 3) == Plain(0.1, 3)
    assert Plain(0.1, 3) != fastbp.StepDecay(0.1, 3)
    assert repr(Plain(0.1, 3)).endswith("Plain(learning_rate=0.1, every=3, gamma=0.1, per='epoch')")

"""A history as a dict of its lists, and what notebooks show of it and of networks."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.display import table


def fitted(epochs: int = 3, **options: Any) -> fastbp.History:
    net = fastbp.Network(2, [fastbp.Dense(2, "tanh"), fastbp.Dense(1)], seed=0)
    X = np.linspace(-1, 1, 32).reshape(16, 2)
    return fastbp.Trainer(net, "mse", metrics=["mae"], seed=0).fit(X, X[:, 0], epochs, **options)


class Cells(HTMLParser):
    """The texts of a table's rows, each with whether it stands out; any other tag is an error."""

    KNOWN = ("div", "table", "thead", "tbody", "tr", "th", "td")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.caption, self.rows, self.open = "", [], []
        self.strong: list[bool] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag in self.KNOWN
        assert all(name == "style" and value.startswith("text-align: ") for name, value in attrs)
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.strong.append(True)
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.strong[-1] &= tag == "th"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] == "div":
            self.caption += data
        else:
            self.rows[-1][-1] += data


def test_lists_by_name() -> None:
    history = fitted(validation_split=0.25)
    names = ["epoch", "loss", "val_loss", "samples_per_second", "mae", "val_mae"]
    assert history.keys() == list(history) == names
    for name in names:
        assert history[name] is getattr(history, name)
        assert name in history
    assert dict(history) == {name: history[name] for name in names}


@pytest.mark.parametrize("name", ["val_loss", "stopped", "network_epoch", "keys", "nothing", 3])
def test_what_is_no_list(name: Any) -> None:
    history = fitted()
    assert name not in history
    with pytest.raises(KeyError, match=re.escape("history has epoch, loss, samples_per_second, m")):
        history[name]


@pytest.mark.parametrize("epochs", [0, 1, 4])
@pytest.mark.parametrize("split", [0.0, 0.25])
def test_as_a_dict(epochs: int, split: float) -> None:
    history = fitted(epochs, validation_split=split)
    found = history.to_dict()
    assert list(found) == history.keys()
    assert {len(values) for values in found.values()} == {epochs}
    assert found == {name: history[name] for name in found}
    assert all(type(v) is (int if n == "epoch" else float) for n in found for v in found[n])
    assert json.loads(json.dumps(found)) == found
    found["loss"].append(0.0)
    assert len(history.loss) == epochs


def test_figures_that_come_and_go() -> None:
    class Sometimes(fastbp.Callback):
        def on_epoch_end(self, trainer, epoch, logs):  # type: ignore[no-untyped-def]
            if epoch in (1, 2):
                logs["extra"] = float(epoch)

    found = fitted(4, callbacks=[Sometimes()]).to_dict()
    np.testing.assert_array_equal(found["extra"], [math.nan, 1.0, 2.0, math.nan])


def test_lists_of_an_older_history() -> None:
    """Where validation began late its list was shorter: it belongs to the last epochs."""
    history = fastbp.History(epoch=[0, 1, 2], loss=[3.0, 2.0, 1.0], val_loss=[5.0])
    history.samples_per_second += [1.0, 1.0, 1.0]
    np.testing.assert_array_equal(history.to_dict()["val_loss"], [math.nan, math.nan, 5.0])
    assert history.val_loss == [5.0]
    assert "at epoch 2" in history._repr_html_()


def test_a_frame_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    history = fitted(4, validation_split=0.25)
    frame = pandas.DataFrame(history.to_dict()).set_index("epoch")
    assert frame.shape == (4, 5)
    assert frame["val_mae"].tolist() == history["val_mae"]


@pytest.mark.parametrize("name", ["keys", "to_dict", "recording", "stopped"])
def test_no_figure_hides_a_method(name: str) -> None:
    class Adds(fastbp.Callback):
        def on_epoch_end(self, trainer, epoch, logs):  # type: ignore[no-untyped-def]
            logs[name] = 1.0

    with pytest.raises(ValueError, match="that name is History's own"):
        fitted(callbacks=[Adds()])


def test_copies_are_the_same() -> None:
    history = fitted(validation_split=0.25)
    for same in (pickle.loads(pickle.dumps(history)), copy.deepcopy(history)):
        assert same == history
        assert same.to_dict() == history.to_dict()


def test_a_pickle_from_before() -> None:
    """One that 0.1.0 has written, by `pickle.dumps` of a history of two epochs."""
    old = (
        b"\x80\x04\x95\xa0\x00\x00\x00\x00\x00\x00\x00\x8c\x06fastbp\x94\x8c\x07History\x94\x93\x94)"
        b"\x81\x94}\x94(\x8c\x05epoch\x94]\x94(K\x00K\x01e\x8c\x04loss\x94]\x94(G?\xe0\x00\x00\x00"
        b"\x00\x00\x00G?\xd0\x00\x00\x00\x00\x00\x00e\x8c\x08val_loss\x94]\x94\x8c\x12samples_per_"
        b"second\x94]\x94(G@\x00\x00\x00\x00\x00\x00\x00G@\x00\x00\x00\x00\x00\x00\x00e\x8c\x07stop"
        b"ped\x94N\x8c\rnetwork_epoch\x94K\x01ub."
    )
    history = pickle.loads(old)
    assert history.to_dict() == {
        "epoch": [0, 1], "loss": [0.5, 0.25], "samples_per_second": [2.0, 2.0],
    }  # fmt: skip


def test_an_empty_history_is_true() -> None:
    assert fastbp.History()
    assert fastbp.History() == fastbp.History()


# -- in notebooks ----------------------------------------------------------------------------------


def history_of(losses: list[float], **lists: Any) -> fastbp.History:
    history = fastbp.History(epoch=list(range(len(losses))), loss=losses)
    history.samples_per_second += [12345.6] * len(losses)
    vars(history).update(lists)
    return history


def test_the_last_epochs_and_the_best() -> None:
    shown = Cells(history_of([9.0, 1.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.5])._repr_html_())
    assert shown.caption == "History: 8 epochs, lowest loss 1 at epoch 1"
    assert shown.rows[0] == ["epoch", "loss", "samples_per_second"]
    assert [row[0] for row in shown.rows[1:]] == ["1", "3", "4", "5", "6", "7"]
    assert shown.rows[1] == ["1", "1", "12,346"]
    assert shown.strong == [True, True, *[False] * 5]


def test_validation_is_looked_at_first() -> None:
    history = history_of([3.0, 2.0, 1.0], val_loss=[math.nan, 0.125, 4.0])
    shown = Cells(history._repr_html_())
    assert shown.caption == "History: 3 epochs, lowest val_loss 0.125 at epoch 1"
    assert [row[2] for row in shown.rows] == ["val_loss", "nan", "0.125", "4"]
    assert shown.strong == [True, False, True, False]


@pytest.mark.parametrize("losses", [[], [math.nan], [math.nan, math.inf]])
def test_a_history_of_next_to_nothing(losses: list[float]) -> None:
    shown = Cells(history_of(losses)._repr_html_())
    assert len(shown.rows) == 1 + len(losses)
    assert shown.caption.startswith(f"History: {len(losses)} epoch")


def test_nothing_in_a_history_is_markup() -> None:
    history = history_of([1.0], **{"<script>alert(1)</script>": [1.0], "a&b": ["<i>x</i>"]})
    history.stopped = "<b>'why'</b>"
    text = history._repr_html_()
    assert "<script" not in text
    assert "<b>" not in text
    shown = Cells(text)
    assert shown.rows[0][-2:] == ["<script>alert(1)</script>", "a&b"]
    assert shown.rows[1][-1] == "<i>x</i>"
    assert shown.caption.endswith("stopped: <b>'why'</b>")


def test_a_network_is_a_table() -> None:
    net = fastbp.Network(
        3, [fastbp.Dense(500, "relu", bias=False), fastbp.Dense(2, bias="shared")], seed=7
    )
    shown = Cells(net._repr_html_())
    assert shown.caption == "Network: 3 inputs, 2,501 parameters, float32, seed 7"
    assert shown.rows == [
        ["layer", "units", "activation", "bias", "parameters"],
        ["0", "500", "relu", "no", "1,500"],
        ["1", "2", "linear", "shared", "1,001"],
    ]
    assert shown.caption == repr(net).splitlines()[0]


def test_an_own_activation_is_no_markup() -> None:
    class Marked(fastbp.LeakyReLU):
        def __repr__(self) -> str:
            return "<u>mine</u>"

    net = fastbp.Network(1, [fastbp.Dense(1, Marked(0.5))], seed=0)
    assert Cells(net._repr_html_()).rows[1][2] == "<u>mine</u>"


def test_tables_have_no_colours() -> None:
    """A page that is dark stays readable."""
    text = table("a", ["b", "c"], [["d", "e"]], strong=[0], numbers=[1])
    assert "color" not in text
    assert "background" not in text
    assert Cells(text).strong == [True, True]
    with pytest.raises(ValueError, match="zip"):
        table("a", ["b", "c"], [["d"]])

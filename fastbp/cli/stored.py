"""A transformation as JSON inside the model file, checked strictly when it is read back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastbp.data.columns import Category, Labels, Number
from fastbp.network import Network
from fastbp.tabular.preprocess import Preprocessing
from fastbp.tabular.table import UserError

KEY = "table"  # of the model file's metadata
_VERSION = 1


def load(path: str) -> tuple[Network, Preprocessing | None]:
    """A model file's network, and its transformation if it has one.

    Raises
    ------
    UserError
        The file can't be read, or what is stored with it is damaged or doesn't fit the network.
    """
    try:
        network = Network.load(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(str(error)) from None
    if KEY not in network.metadata:
        return network, None
    try:
        return network, from_network(network)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def load_with_columns(path: str) -> tuple[Network, Preprocessing]:
    """A model file's network and its transformation; UserError where it has none."""
    network, change = load(path)
    if change is None:
        raise UserError(f"{path}: has no columns stored with it; fastbp train writes such models")
    return network, change


def to_json(prepared: Preprocessing) -> dict[str, Any]:
    """The transformation as plain JSON values."""
    return {
        "version": _VERSION,
        "columns": [_column_to_json(column) for column in prepared.columns],
        "target": _column_to_json(prepared.target),
        "missing": prepared.missing,
        "unseen": prepared.unseen,
    }


def _column_to_json(column: Number | Category | Labels) -> dict[str, Any]:
    if isinstance(column, Number):
        return {
            "name": column.name,
            "kind": "number",
            "mean": column.mean,
            "scale": column.scale,
        }
    if isinstance(column, Category):
        return {
            "name": column.name,
            "kind": "boolean" if column.boolean else "text",
            "categories": list(column.categories),
            "fill": column.fill,
        }
    return {"name": column.name, "kind": column.kind, "classes": list(column.labels)}


def from_network(network: Network) -> Preprocessing:
    """The transformation stored with a network that `Network.load` has read.

    Raises
    ------
    ValueError
        It is damaged or of a newer version, or it does not fit the network.
    """
    prepared = from_json(network.metadata[KEY])
    last = network.layers[-1]
    activation = "softmax" if isinstance(prepared.target, Labels) else "linear"
    if (prepared.n_inputs, prepared.n_outputs) != (network.n_inputs, last.units):
        raise ValueError(
            f"its stored columns make {prepared.n_inputs} inputs and {prepared.n_outputs} outputs, "
            f"the network has {network.n_inputs} and {last.units}"
        )
    if last.activation != activation:
        raise ValueError(f"its output activation is {last.activation}, its target's {activation}")
    return prepared


def from_json(value: Any) -> Preprocessing:
    """Inverse of `to_json`; raises ValueError naming what is wrong."""
    if isinstance(value, dict) and value.get("version") != _VERSION:
        raise ValueError(f"its stored columns are of version {str(value.get('version'))[:20]}")
    _check_keys("its stored columns", value, "version", "columns", "target", "missing", "unseen")
    _check_list("its stored columns", value["columns"], lambda item: isinstance(item, dict))
    columns = [_column(f"stored column {i}", item) for i, item in enumerate(value["columns"])]
    target = _target("the stored target", value["target"])
    names = [column.name for column in [*columns, target]]
    if len(set(names)) != len(names):
        raise ValueError("two stored columns have the same name")
    for key, known in (("missing", ("error", "drop", "mean")), ("unseen", ("error", "zero"))):
        if value[key] not in known:
            raise ValueError(f"stored option {key!r} is none of {', '.join(known)}")
    return Preprocessing(tuple(columns), target, value["missing"], value["unseen"])


def _column(where: str, item: Any) -> Number | Category:
    if _kind(where, item) == "number":
        return _number(where, item)
    _check_keys(where, item, "name", "kind", "categories", "fill")
    if item["kind"] not in ("text", "boolean"):
        raise ValueError(f"{where} is of an unknown kind")
    _check_list(where, item["categories"], lambda text: isinstance(text, str))
    boolean = item["kind"] == "boolean"
    if item["fill"] not in item["categories"]:
        raise ValueError(f"{where} has a fill that is none of its categories")
    if boolean and not set(item["categories"]) <= {"false", "true"}:
        raise ValueError(f"{where} has categories that are not booleans")
    return Category(_name(where, item), tuple(item["categories"]), item["fill"], boolean)


def _target(where: str, item: Any) -> Number | Labels:
    kind = _kind(where, item)
    if kind == "number":
        return _number(where, item)
    _check_keys(where, item, "name", "kind", "classes")
    types = {"text": str, "boolean": bool, "integer": int}
    if kind not in types:
        raise ValueError(f"{where} is of an unknown kind")
    _check_list(where, item["classes"], lambda label: type(label) is types[kind], least=2)
    if kind == "integer" and not all(-(2**63) <= label < 2**63 for label in item["classes"]):
        raise ValueError(f"{where} has classes beyond 64 bits")
    return Labels(tuple(item["classes"]), _name(where, item))


def _number(where: str, item: Any) -> Number:
    _check_keys(where, item, "name", "kind", "mean", "scale")
    for key in ("mean", "scale"):
        if type(item[key]) is not float or not math.isfinite(item[key]):
            raise ValueError(f"{where}: {key} is not a finite number")
    if item["scale"] <= 0.0:
        raise ValueError(f"{where}: scale is not above 0")
    return Number(_name(where, item), item["mean"], item["scale"])


def _kind(where: str, item: Any) -> str:
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
        raise ValueError(f"{where} has no kind")
    return str(item["kind"])


def _name(where: str, item: dict[str, Any]) -> str:
    if not isinstance(item["name"], str) or not item["name"]:
        raise ValueError(f"{where} has no name")
    return item["name"]


def _check_keys(where: str, item: Any, *keys: str) -> None:
    if not isinstance(item, dict) or set(item) != set(keys):
        raise ValueError(f"{where} must be an object with exactly the keys {', '.join(keys)}")


def _check_list(where: str, items: Any, fits: Callable[[Any], bool], least: int = 1) -> None:
    if not isinstance(items, list) or len(items) < least or not all(map(fits, items)):
        raise ValueError(f"{where}: a list is too short or holds values of a wrong type")
    if all(isinstance(item, (str, int)) for item in items) and len(set(items)) != len(items):
        raise ValueError(f"{where}: a list holds a value twice")

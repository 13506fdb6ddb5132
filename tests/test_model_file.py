"""Model files: what comes back, what is refused and why, and that nothing is lost while writing."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastbp
from fastbp import model_file
from fastbp.model_file import Model, ModelFileError

GOLDEN = Path(__file__).parent / "golden" / "model-v1.safetensors"

Header = dict[str, Any]


def small_model(dtype: str = "float32") -> Model:
    """Every kind of bias, and values that a text or a short float would lose."""
    layers: list[dict[str, Any]] = [
        {"units": 3, "activation": "relu", "bias": True, "kernel_initializer": "auto"},
        {"units": 2, "activation": "sigmoid", "bias": "shared"},
        {"units": 2, "activation": "softmax", "bias": False},
    ]
    shapes = [(2, 3), (3,), (3, 2), (1,), (2, 2)]
    weights = [np.sqrt(np.arange(1, 1 + np.prod(s)).reshape(s)).astype(dtype) for s in shapes]
    weights[0][0, 0], weights[0][0, 1] = -0.0, np.finfo(dtype).smallest_subnormal
    weights[2][1, 1] = np.finfo(dtype).max
    extra: dict[str, Any] = {
        "columns": [{"name": "größe \U0001f600\n\0", "mean": 0.1, "scale": 5e-324}, None, True],
        "big": [2**64 - 1, -(2**63), 1e300, -0.0, 1.0, 1],
        "": {"padding": "odd"},
    }
    return Model(2, dtype, 2**64 - 1, layers, weights, extra)


def assert_same(a: Model, b: Model) -> None:
    for name in ("n_inputs", "dtype", "seed", "layers", "extra"):
        x, y = getattr(a, name), getattr(b, name)
        assert json.dumps(x, sort_keys=True) == json.dumps(y, sort_keys=True)
    assert [(w.dtype, w.shape, w.tobytes()) for w in a.weights] == [
        (w.dtype, w.shape, w.tobytes()) for w in b.weights
    ]


def take_apart(blob: bytes) -> tuple[Header, bytes]:
    start = 8 + int.from_bytes(blob[:8], "little")
    return json.loads(blob[8:start]), blob[start:]


def assemble(header: Header | str, data: bytes) -> bytes:
    raw = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def strict(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fields_of(header: Header) -> dict[str, Any]:
    return json.loads(header["__metadata__"]["fastbp"])  # type: ignore[no-any-return]


def digest(header: Header, data: bytes) -> str:
    rest = {key: value for key, value in fields_of(header).items() if key != "sha256"}
    tensors = sorted(  # in layer order, a layer's weight before its bias
        (int(name.split(".")[1]), -len(name), name) for name in header if name[0] != "_"
    )
    entries = [(name, header[name]) for *_, name in tensors]
    what = strict([rest, [[name, e["dtype"], e["shape"]] for name, e in entries]])
    sha256 = hashlib.sha256(what.encode())
    for _, entry in entries:
        sha256.update(data[slice(*entry["data_offsets"])])
    return sha256.hexdigest()


def signed(header: Header, data: bytes) -> bytes:
    """The file with the digest that its contents demand: other checks have to refuse it."""
    text = strict({**fields_of(header), "sha256": digest(header, data)})
    metadata = {**header["__metadata__"], "fastbp": text}
    return assemble({**header, "__metadata__": metadata}, data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture
def blob(path: Path) -> bytes:
    """A valid file's bytes; `path` holds them."""
    model_file.write(path, small_model())
    return path.read_bytes()


def put(path: Path, blob: bytes) -> None:
    # Emptying the file first would make some file systems wait for the disk, each time.
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(blob)
        file.truncate()


def refusal(path: Path, blob: bytes) -> str:
    """The reason why `blob` is refused."""
    put(path, blob)
    with pytest.raises(ModelFileError) as caught:
        model_file.read(path)
    where, _, reason = str(caught.value).partition(": ")
    assert where == str(path)
    return reason


def refused_or_same(path: Path, blob: bytes) -> bool:
    """Whether `blob`, a damaged small model, is refused; it must be, or be read as it was."""
    put(path, blob)
    try:
        model = model_file.read(path)
    except ModelFileError:
        return True
    assert_same(model, small_model())
    return False


# -- what comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(path: Path, dtype: str) -> None:
    model_file.write(path, small_model(dtype))
    model = model_file.read(path)
    assert_same(model, small_model(dtype))
    assert all(w.flags.c_contiguous and w.flags.writeable for w in model.weights)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def models(draw: st.DrawFn) -> Model:
    n_inputs = n_in = draw(st.integers(1, 4))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    layers: list[dict[str, Any]] = []
    weights = []
    for _ in range(draw(st.integers(1, 12))):
        units = draw(st.integers(1, 3))
        bias = draw(st.sampled_from([True, "shared", False]))
        layers.append({"units": units, "activation": draw(st.sampled_from(["relu", "tanh"]))})
        layers[-1]["bias"] = bias
        weights.append(rng.normal(size=(n_in, units)).astype(dtype))
        if bias:
            weights.append(rng.normal(size=units if bias is True else 1).astype(dtype))
        n_in = units
    extra = draw(st.dictionaries(st.text(), JSON_VALUES, max_size=3))
    return Model(n_inputs, dtype, draw(st.integers(0, 2**64 - 1)), layers, weights, extra)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(model=models())
def test_round_trip_of_any_model(tmp_path_factory: pytest.TempPathFactory, model: Model) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    model_file.write(path, model)
    assert_same(model_file.read(path), model)


def test_same_bytes_whatever_the_order(path: Path, blob: bytes) -> None:
    model = small_model()
    shuffled = Model(
        model.n_inputs,
        model.dtype,
        model.seed,
        [dict(reversed(layer.items())) for layer in model.layers],
        [np.asfortranarray(w).astype(w.dtype.newbyteorder(">")) for w in model.weights],
        dict(reversed(model.extra.items())),
    )
    model_file.write(path, shuffled)
    assert path.read_bytes() == blob


PROGRAM = """
import hashlib, pathlib, sys
import test_model_file as tests
path = pathlib.Path(sys.argv[1])
for _ in range(5):
    tests.model_file.write(path, tests.small_model())
    print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_same_bytes_in_every_process(path: Path, blob: bytes) -> None:
    for seed in "12":
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment["PYTHONHASHSEED"] = seed
        command = [sys.executable, "-c", PROGRAM, str(path)]
        done = subprocess.run(
            command, env=environment, cwd=Path(__file__).parent, check=True, capture_output=True
        )
        assert done.stdout.split() == [hashlib.sha256(blob).hexdigest().encode()] * 5


def test_golden_file_loads_and_is_written_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(model_file.read(GOLDEN), small_model())
    monkeypatch.setattr(fastbp, "__version__", "0.1.0")
    model_file.write(path, small_model())
    assert path.read_bytes() == GOLDEN.read_bytes()


def test_layout_is_the_documented_one(path: Path, blob: bytes) -> None:
    model = small_model()
    names = [f"layers.{n}" for n in ("0.weight", "0.bias", "1.weight", "1.bias", "2.weight")]
    tensors = safetensors.numpy.load_file(path)
    assert sorted(tensors) == sorted(names)
    for name, array in zip(names, model.weights, strict=True):
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)
    header, data = take_apart(blob)
    assert (len(blob) - len(data)) % 8 == 0
    assert header["__metadata__"].keys() == {"fastbp"}
    assert header["__metadata__"]["fastbp"] == strict(
        {
            "format_version": 1,
            "library": fastbp.__version__,
            "model": {
                "n_inputs": 2,
                "dtype": "float32",
                "seed": 2**64 - 1,
                "layers": model.layers,
                "extra": model.extra,
            },
            "sha256": digest(header, data),
        }
    )


# -- damage ----------------------------------------------------------------------------------------


def test_truncation_anywhere_is_refused(path: Path, blob: bytes) -> None:
    for length in range(len(blob)):
        assert refusal(path, blob[:length])
    assert "cut short or added to" in refusal(path, blob[:-1])
    assert "cut short or added to" in refusal(path, blob + b"\0")


def test_every_bit_flip_is_refused(path: Path, blob: bytes) -> None:
    start = len(blob) - len(take_apart(blob)[1])
    for position in range(8 * len(blob)):
        mutant = bytearray(blob)
        mutant[position // 8] ^= 1 << position % 8
        reason = refusal(path, bytes(mutant))
        assert position < 8 * start or "SHA-256" in reason  # that alone guards the weights


def test_random_damage(path: Path, blob: bytes) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        mutant = bytearray(blob)
        a, b, c = (int(i) for i in np.sort(rng.integers(0, len(blob), 3)))
        match rng.integers(3):
            case 0:  # overwritten
                mutant[a : a + 8] = rng.bytes(8)
            case 1:  # a piece repeated
                mutant[c:c] = mutant[a:b]
            case 2:  # a piece lost
                del mutant[a : b + 1]
        refused += mutant == blob or refused_or_same(path, bytes(mutant))
    assert refused >= 990  # of a piece that stands twice, the last may be the one that counts


def test_swapped_tensors_of_one_shape_are_seen(path: Path) -> None:
    layers: list[dict[str, Any]] = [{"units": 2, "activation": "relu", "bias": False}] * 2
    weights = [np.eye(2), np.ones((2, 2))]
    model_file.write(path, Model(2, "float64", 0, layers, weights, {}))
    header, data = take_apart(path.read_bytes())
    assert "SHA-256" in refusal(path, assemble(header, data[32:] + data[:32]))
    header["layers.0.weight"], header["layers.1.weight"] = (
        header["layers.1.weight"],
        header["layers.0.weight"],
    )
    assert "SHA-256" in refusal(path, assemble(header, data))


# -- hostile files: every digest is right ----------------------------------------------------------


def edit(where: Callable[[Any], Any], changes: dict[str, Any]) -> Callable[[Header], None]:
    """Change keys of a dict in the metadata; one whose new value is `...` is left out."""

    def apply(header: Header) -> None:
        fields = fields_of(header)
        target = where(fields)
        target.update(changes)
        for key in [key for key, value in changes.items() if value is ...]:
            del target[key]
        header["__metadata__"]["fastbp"] = strict(fields)

    return apply


def edit_fields(**changes: object) -> Callable[[Header], None]:
    return edit(lambda fields: fields, changes)


def edit_model(**changes: object) -> Callable[[Header], None]:
    return edit(lambda fields: fields["model"], changes)


def edit_layer(**changes: object) -> Callable[[Header], None]:
    return edit(lambda fields: fields["model"]["layers"][1], changes)


def edit_tensor(**changes: object) -> Callable[[Header], None]:
    return lambda header: header["layers.1.weight"].update(changes)


def deep(n: int) -> Any:
    value: Any = 0
    for _ in range(n):
        value = [value]
    return value


UNITS = "must be an int in [1, 16777216]"
HOSTILE: dict[str, tuple[Callable[[Header], object], str]] = {
    "no metadata": (lambda h: h.pop("__metadata__"), "not a model of fastbp's"),
    "metadata a list": (lambda h: h.update(__metadata__=[]), "not a model of fastbp's"),
    "metadata of another": (lambda h: h.update(__metadata__={"a": ""}), "not a model of fastbp's"),
    "more metadata": (lambda h: h["__metadata__"].update(a=""), "not a model of fastbp's"),
    "metadata a number": (lambda h: h["__metadata__"].update(fastbp=1), "not JSON as fastbp"),
    "no version": (edit_fields(format_version=...), "metadata lacks 'format_version'"),
    "version 0": (edit_fields(format_version=0), "format_version must be an int >= 1, got 0"),
    "version 1.0": (edit_fields(format_version=1.0), "format_version must be an int >= 1"),
    "version true": (edit_fields(format_version=True), "format_version must be an int >= 1"),
    "version text": (edit_fields(format_version="2"), "format_version must be an int >= 1"),
    "unknown metadata": (edit_fields(pickle="gASV"), "metadata has 'pickle', which fastbp"),
    "no library": (edit_fields(library=...), "metadata lacks 'library'"),
    "no model": (edit_fields(model=...), "metadata lacks 'model'"),
    "model a list": (edit_fields(model=[]), "the model must be a dict"),
    "unknown model key": (edit_model(code="import os"), "the model has 'code'"),
    "no dtype": (edit_model(dtype=...), "the model lacks 'dtype'"),
    "no extra": (edit_model(extra=...), "the model lacks 'extra'"),
    "extra a list": (edit_model(extra=[]), "extra must be a dict"),
    "dtype object": (edit_model(dtype="object"), "dtype must be one of 'float32', 'float64'"),
    "dtype a list": (edit_model(dtype=["float32"]), "dtype must be one of"),
    "n_inputs 0": (edit_model(n_inputs=0), f"n_inputs {UNITS}, got 0"),
    "n_inputs true": (edit_model(n_inputs=True), f"n_inputs {UNITS}"),
    "n_inputs 2.0": (edit_model(n_inputs=2.0), f"n_inputs {UNITS}"),
    "n_inputs huge": (edit_model(n_inputs=2**24 + 1), f"n_inputs {UNITS}"),
    "seed -1": (edit_model(seed=-1), "seed must be an int in [0, 18446744073709551615], got -1"),
    "seed huge": (edit_model(seed=2**64), "seed must be an int in"),
    "seed text": (edit_model(seed="0"), "seed must be an int in"),
    "no layers": (edit_model(layers=[]), "layers must be a list of 1 ... 10000"),
    "too many layers": (edit_model(layers=[{}] * 10_001), "layers must be a list of 1 ... 10000"),
    "layers a dict": (edit_model(layers={"0": {}}), "layers must be a list"),
    "layer a number": (edit_model(layers=[3]), "layer 0 must be a dict"),
    "units 0": (edit_layer(units=0), f"layer 1: units {UNITS}"),
    "units huge": (edit_layer(units=2**62), f"layer 1: units {UNITS}"),
    "no units": (edit_layer(units=...), "layer 1 lacks 'units'"),
    "no activation": (edit_layer(activation=...), "layer 1 lacks 'activation'"),
    "no bias": (edit_layer(bias=...), "layer 1 lacks 'bias'"),
    "activation a number": (edit_layer(activation=1), "layer 1: activation must be one of"),
    "activation endless": (edit_layer(activation="a" * 10_000), "layer 1: activation must be one"),
    "bias 1": (edit_layer(bias=1), "layer 1: bias must be True, 'shared' or False"),
    "bias null": (edit_layer(bias=None), "layer 1: bias must be"),
    "bias endless": (edit_layer(bias=["shared"] * 10_000), "layer 1: bias must be"),
    "unknown layer key": (edit_layer(spin=0.5), "layer 1 has 'spin', which fastbp"),
    "initializer a list": (edit_layer(kernel_initializer=[]), "layer 1: kernel_initializer must"),
    "wider": (edit_layer(units=3), "cut short or added to: its tensors take 100 bytes, it has 80"),
    "of twice the size": (edit_model(dtype="float64"), "its tensors take 160 bytes, it has 80"),
    "other widths": (
        edit_model(n_inputs=3, layers=[{"units": 5, "activation": "relu", "bias": True}]),
        "tensor 'layers.0.bias' is ('F32', (3,)), the model demands ('F32', (5,))",
    ),
    "another name": (lambda h: h.update(x=h.pop("layers.0.bias")), "('F32', (3,))"),
    "another dtype": (edit_tensor(dtype="I32"), "layers.1.weight' is ('I32', (3, 2))"),
    "a dtype that numpy lacks": (edit_tensor(dtype="BF16", shape=[3, 4]), "is ('BF16', (3, 4))"),
    "another shape": (edit_tensor(shape=[2, 3]), "layers.1.weight' is ('F32', (2, 3))"),
    "a bias too many": (lambda h: h.update({"layers.2.bias": h["layers.0.bias"]}), "damaged: "),
    "an empty tensor": (
        lambda h: h.update(x={"dtype": "F32", "shape": [0], "data_offsets": [80, 80]}),
        "tensor 'x' is ('F32', (0,)), the model demands None",
    ),
    "a tensor missing": (lambda h: h.pop("layers.0.bias"), "damaged: "),
    "shape of floats": (edit_tensor(shape=[3.0, 2]), "damaged: "),
    "shape with a bool": (edit_tensor(shape=[3, True]), "damaged: "),
    "shape negative": (edit_tensor(shape=[-3, -2]), "damaged: "),
    "shape beyond 64 bits": (
        edit_tensor(shape=[2**33, 2**33]),
        "the model demands ('F32', (3, 2))",
    ),
    "overlapping tensors": (edit_tensor(data_offsets=[0, 24]), "damaged: "),
    "out of bounds": (edit_tensor(data_offsets=[2**40, 2**40 + 24]), "damaged: "),
    "beyond 64 bits": (edit_tensor(data_offsets=[2**64 - 24, 2**64]), "damaged: "),
    "offsets negative": (edit_tensor(data_offsets=[-24, 0]), "damaged: "),
    "offsets turned round": (edit_tensor(data_offsets=[40, 16]), "damaged: "),
    "one offset": (edit_tensor(data_offsets=[36]), "damaged: "),
    "entry null": (lambda h: h.update({"layers.1.weight": None}), "damaged: "),
    "entry too deep": (edit_tensor(shape=deep(300)), "damaged: "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header(path: Path, blob: bytes, name: str) -> None:
    change, reason = HOSTILE[name]
    header, data = take_apart(blob)
    change(header)
    try:
        forged = signed(header, data)
    except (AttributeError, KeyError, TypeError, IndexError):  # no digest is defined for it
        forged = assemble(header, data)
    said = refusal(path, forged)
    assert reason in said
    assert len(said) <= 400


NOT_STRICT: dict[str, Callable[[str], str]] = {
    "not JSON": lambda text: "{'a': 1}",
    "empty": lambda text: "",
    "added to": lambda text: text + "}",
    "NaN": lambda text: text.replace("0.1", "NaN"),
    "Infinity": lambda text: text.replace("0.1", "-Infinity"),
    "a float too big": lambda text: text.replace("0.1", "1e999"),
    "an endless integer": lambda text: text.replace("0.1", "9" * 5000),
    "a float spelt otherwise": lambda text: text.replace("0.1", "0.10"),
    "white space": lambda text: text.replace(":", ": ", 1),
    "white space at the end": lambda text: text + " ",
    "an escape": lambda text: text.replace("ß", "\\u00df"),
    "half a character": lambda text: text.replace("ß", "\ud800"),
    "half a character, escaped": lambda text: text.replace("ß", "\\ud800"),
    "unsorted": lambda text: json.dumps(
        dict(reversed(json.loads(text).items())), separators=(",", ":"), ensure_ascii=False
    ),
    "a field twice": lambda text: '{"format_version":1,' + text[1:],
    "a model key twice": lambda text: text.replace('"seed"', '"seed":0,"seed"'),
    "a layer key twice": lambda text: text.replace('"bias"', '"bias":true,"bias"', 1),
    "a key of extra twice": lambda text: text.replace('"scale"', '"scale":1,"scale"'),
}


@pytest.mark.parametrize("name", NOT_STRICT)
def test_metadata_of_another_spelling(path: Path, blob: bytes, name: str) -> None:
    header, data = take_apart(blob)
    text = NOT_STRICT[name](header["__metadata__"]["fastbp"])
    assert text != header["__metadata__"]["fastbp"]
    header["__metadata__"]["fastbp"] = text
    assert "its metadata is not JSON as fastbp writes it" in refusal(path, assemble(header, data))


@pytest.mark.parametrize("text", ["[" * 500_000, '{"a":' * 500_000])
def test_metadata_far_too_deep(path: Path, blob: bytes, text: str) -> None:
    header, data = take_apart(blob)
    header["__metadata__"]["fastbp"] = text
    assert "nested too deep" in refusal(path, assemble(header, data))


def test_forged_files_are_refused_for_the_forgery_alone(path: Path, blob: bytes) -> None:
    path.write_bytes(signed(*take_apart(blob)))
    assert_same(model_file.read(path), small_model())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 9, 19])
def test_tensors_that_are_not_finite(path: Path, blob: bytes, value: float, position: int) -> None:
    header, data = take_apart(blob)
    values = np.frombuffer(data, "<f4").copy()
    values[position] = value
    assert "not finite" in refusal(path, signed(header, values.tobytes()))


@pytest.mark.parametrize("value", [..., None, "", "0" * 64, 7])
def test_no_digest(path: Path, blob: bytes, value: object) -> None:
    header, data = take_apart(blob)
    edit_fields(sha256=value)(header)
    reason = "lacks 'sha256'" if value is ... else "don't match its SHA-256"
    assert reason in refusal(path, assemble(header, data))


@pytest.mark.parametrize("value", ["null", "{}", '{"fastbp":"{}"}'])
@pytest.mark.parametrize("key", ["__metadata__", "fastbp", "layers.0.bias", "dtype", "shape"])
def test_keys_twice_in_the_header(path: Path, blob: bytes, key: str, value: str) -> None:
    header, data = take_apart(blob)
    text = json.dumps(header)
    end = text.index(f'"{key}"')
    refused_or_same(path, assemble(f'{text[:end]}"{key}": {value}, {text[end:]}', data))
    end = text.index("}", end) + 1 if key == "layers.0.bias" else len(text) - 1
    forged = assemble(f'{text[:end]}, "{key}": {value}{text[end:]}', data)
    assert refused_or_same(path, forged)


def test_newer_format_says_so(path: Path, blob: bytes) -> None:
    header, data = take_apart(blob)
    edit_fields(format_version=2, library="3.1.4\x1b[2Jß", future="!", model=...)(header)
    header["something.new"] = header.pop("layers.0.weight")
    reason = (
        "written in format 2 by fastbp '3.1.4\\x1b[2Jß'; "
        f"this fastbp ({fastbp.__version__}) reads format 1"
    )
    assert refusal(path, assemble(header, data)) == reason
    header["__metadata__"]["fastbp"] += " "
    assert refusal(path, assemble(header, data)) == reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a safetensors file"),
        (b"\x02\0\0", "not a safetensors file"),
        (b"x,y\n1,2\n" * 20, "not a safetensors file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a safetensors file"),
        (b"\xff" * 100, "not a safetensors file"),
        ((2**24).to_bytes(8, "little") + b"{}", "cut short: its header takes 16777216 bytes"),
        (assemble("[]", b""), "not a safetensors file"),
        (assemble("{}", b""), "not a model of fastbp's"),
        (assemble("{ ", b"")[:-1], "not a safetensors file"),
        (assemble('{"a": 1', b"1234"), "not a safetensors file"),
        ((9).to_bytes(8, "little") + b'{"\xff\xfe": 1}', "not a safetensors file"),
        (assemble('{"a":' * 200_000, b""), "nested too deep"),
    ],
)
def test_other_files(path: Path, content: bytes, reason: str) -> None:
    assert reason in refusal(path, content)


def traced(call: Callable[[], object]) -> int:
    """The most memory that `call` holds at once, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def absurd(units: int, layers: int) -> bytes:
    """A small file that claims, with offsets that fit, `layers` layers of `units` units."""
    header: Header = {}
    end = 0
    for index in range(layers):
        start, end = end, end + 8 * units * units
        entry = {"dtype": "F64", "shape": [units, units], "data_offsets": [start, end]}
        header[f"layers.{index}.weight"] = entry
    layer = {"units": units, "activation": "relu", "bias": False}
    model = {"n_inputs": units, "dtype": "float64", "seed": 0, "layers": [layer] * layers}
    fields = {"format_version": 1, "library": "0.1.0", "model": {**model, "extra": {}}}
    header["__metadata__"] = {"fastbp": strict(fields)}
    return signed(header, bytes(64))


@pytest.mark.parametrize(
    "content",
    [
        absurd(2**24, 1),
        absurd(2**24, 50),
        absurd(2**10, 3),
        (2**63).to_bytes(8, "little") + b'{"a":1}',
        (2**24).to_bytes(8, "little") + b'{"a":1}',
    ],
)
def test_absurd_sizes_allocate_nothing(path: Path, content: bytes) -> None:
    refusal(path, content)  # once before, so that one-time allocations don't count
    assert traced(lambda: refusal(path, content)) < 1_000_000


@pytest.mark.parametrize("valid", [True, False])
def test_big_files_are_not_read_before_they_are_known(path: Path, blob: bytes, valid: bool) -> None:
    if not valid:
        path.write_bytes((2**27).to_bytes(8, "little") + blob[8:])
    os.truncate(path, 1 << 28)

    def read() -> None:
        reason = "cut short or added to" if valid else "not a safetensors file"
        with pytest.raises(ModelFileError, match=reason):
            model_file.read(path)

    assert traced(read) < 1_000_000


def test_memory_for_reading_and_writing(path: Path) -> None:
    n_bytes = 8 * 2**20
    layers: list[dict[str, Any]] = [{"units": 1024, "activation": "relu", "bias": False}]
    model = Model(1024, "float64", 0, layers, [np.ones((1024, 1024))], {})
    assert traced(lambda: model_file.write(path, model)) < 2 * n_bytes + 1_000_000
    assert traced(lambda: model_file.read(path)) < n_bytes + 1_000_000
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    with pytest.raises(ModelFileError, match="SHA-256"):
        model_file.read(path)


def test_too_big_for_the_memory(path: Path, blob: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", no_memory)
    with pytest.raises(ModelFileError, match="needs 80 bytes of memory"):
        model_file.read(path)


# -- paths and the system --------------------------------------------------------------------------


def test_missing_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        model_file.read(path)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permission_denied(path: Path, blob: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # whom no permission stops
        denied = PermissionError(13, "Permission denied")
        monkeypatch.setattr("builtins.open", lambda *_: (_ for _ in ()).throw(denied))
    path.parent.chmod(0o500)
    path.chmod(0)
    try:
        with pytest.raises(PermissionError):
            model_file.read(path)
        with pytest.raises(PermissionError, match=r"model\.safetensors"):
            model_file.write(path, small_model())
    finally:
        path.parent.chmod(0o700)
        path.chmod(0o600)
    assert path.read_bytes() == blob


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ModelFileError, match="not a regular file"):
            model_file.read(tmp_path / name)
        with pytest.raises(ModelFileError, match="not a regular file"):
            model_file.write(tmp_path / name, small_model())
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(FileNotFoundError, match=r"nowhere.model\.safetensors"):
        model_file.write(tmp_path / "nowhere" / "model.safetensors", small_model())


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_mode_and_links_are_as_for_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    link, target = tmp_path / "latest", tmp_path / "runs" / "one"
    link.symlink_to(target)
    model_file.write(str(link), small_model())
    assert link.is_symlink()
    assert_same(model_file.read(target), small_model())
    (tmp_path / "plain").touch()
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode


# -- nothing is lost while writing -----------------------------------------------------------------


@pytest.fixture
def unharmed(path: Path, blob: bytes) -> Iterator[Path]:
    """The path of a file that must stand unchanged, and alone, after the test."""
    yield path
    assert path.read_bytes() == blob
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_leaves_the_old_file(
    unharmed: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        assert len(os.listdir(unharmed.parent)) == 2  # the temporary file is in the same folder
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        model_file.write(unharmed, small_model("float64"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on file sizes")
def test_disk_full_leaves_the_old_file(unharmed: Path) -> None:
    import resource

    layers: list[dict[str, Any]] = [{"units": 512, "activation": "relu", "bias": False}]
    model = Model(512, "float64", 0, layers, [np.ones((512, 512))], {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError, match=r"model\.safetensors"):
            model_file.write(unharmed, model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_written_to_disk_before_the_old_file_goes(
    path: Path, blob: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = {"fsync": os.fsync, "replace": os.replace}

    def fsync(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        calls.append("sync folder" if stat.S_ISDIR(mode) else "sync file")
        if not stat.S_ISDIR(mode):
            assert os.fstat(descriptor).st_size == len(blob)
        real["fsync"](descriptor)

    def replace(source: str, target: str) -> None:
        calls.append("replace")
        real["replace"](source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    model_file.write(path, small_model())
    assert calls == ["sync file", "replace", *(["sync folder"] if os.name == "posix" else [])]


def with_weight(index: int, array: object) -> Callable[[Model], None]:
    return lambda model: model.weights.__setitem__(index, array)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_weight(0, np.full((2, 3), np.nan, "f4")), "layers.0.weight holds a value that is"),
        (with_weight(1, np.zeros(4, "f4")), r"layers.0.bias must be a float32 array of shape \(3,"),
        (with_weight(1, np.zeros(3)), "layers.0.bias must be a float32 array"),
        (with_weight(1, [0.0, 0.0, 0.0]), "layers.0.bias must be a float32 array"),
        (lambda m: m.weights.pop(), "takes 5 arrays of weights, got 4"),
        (lambda m: m.layers[0].update(units=np.int64(3)), "as JSON: Object of type int64"),
        (lambda m: m.layers[0].update(bias=np.True_), "as JSON: Object of type bool"),
        (lambda m: m.layers[0].update(units=4), r"weight must be a float32 array of shape \(2, 4"),
        (lambda m: m.layers[0].update(spin=0.1), "layer 0 has 'spin'"),
        (lambda m: m.layers[0].pop("activation"), "layer 0 lacks 'activation'"),
        (lambda m: m.layers.clear(), "layers must be a list of 1"),
        (lambda m: m.extra.update(a=(1, 2)), "can't be stored: JSON has no tuples"),
        (lambda m: m.extra.update({1: 2, **m.extra}), "can't be stored as JSON: '<' not supported"),
        (lambda m: m.extra.update(a={1: 2}), "can't be stored: JSON has no tuples, and its keys"),
        (lambda m: m.extra.update(a=np.zeros(2)), "as JSON: Object of type ndarray"),
        (lambda m: m.extra.update(a=float("nan")), "as JSON: Out of range float values"),
        (lambda m: m.extra.update(a="\ud800"), "as JSON: 'utf-8' codec can't encode"),
        (lambda m: m.extra.update(a=m.extra), "as JSON: Circular reference"),
        (lambda m: m.extra.update(a=deep(100_000)), "nested too deep"),
        (lambda m: m.extra.update(a="x" * 2**24), "take 167[0-9]+ bytes of 16777216 at most"),
    ],
)
def test_models_that_reading_would_refuse_are_not_written(
    unharmed: Path, change: Callable[[Model], object], reason: str
) -> None:
    model = small_model()
    change(model)
    with pytest.raises(ModelFileError, match=rf"model\.safetensors: .*{reason}"):
        model_file.write(unharmed, model)

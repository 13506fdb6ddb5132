"""Model files that earlier versions wrote load to the same bits; those of later ones say so."""

from __future__ import annotations

import paths
import pytest
from golden import models

import fastbp
from fastbp.files import model_file

FOLDER = paths.GOLDEN / "models"


def test_none_is_forgotten() -> None:
    names = {path.stem for path in FOLDER.glob("*.safetensors")}
    refused = {"refused-format-2", "refused-unknown-key"}
    assert names == {*models.MODELS} | refused


@pytest.mark.parametrize("name", models.MODELS)
def test_golden_model(name: str) -> None:
    path, expected = FOLDER / f"{name}.safetensors", models.model(name)
    found = model_file.read(path)
    for key in ("n_inputs", "dtype", "seed", "layers", "extra"):
        assert getattr(found, key) == getattr(expected, key)
    for a, b in zip(found.weights, expected.weights, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    network = fastbp.Network.load(path)
    assert network.metadata == expected.extra
    for a, b in zip(network.get_weights(), expected.weights, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("refused-format-2", r"written in format 2 by fastbp '9\.0\.0'; this fastbp \(.*reads for"),
        ("refused-unknown-key", r"layer 0 has 'spin', which fastbp .* doesn't know"),
    ],
)
def test_later_versions_say_so(name: str, reason: str) -> None:
    with pytest.raises(model_file.ModelFileError, match=reason):
        fastbp.Network.load(FOLDER / f"{name}.safetensors")

"""ONNX graphs, run by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import onnxruntime


def run(model: Any, **inputs: Any) -> dict[str, Any]:
    """The graph's outputs by name."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))

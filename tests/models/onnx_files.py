"""ONNX files written by hand: a linear network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def linear(
    path: Path,
    weights: Any,
    shape: Sequence[int],
    batch: Any = "n",
    kind: int = TensorProto.FLOAT,
    external: bool = False,
    inputs: int = 1,
) -> Path:
    """Scores flat(x) W of images `(batch, *shape)`, and their labels, as a file; images of bytes are divided by 255."""
    given = [helper.make_tensor_value_info("image", kind, [batch, *shape])]
    given += [helper.make_tensor_value_info(f"more{i}", TensorProto.FLOAT, [1]) for i in range(inputs - 1)]
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "W"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, weights.shape[1]]),
        helper.make_tensor_value_info("label", TensorProto.INT64, [batch]),
    ]
    scaled = weights / np.float32(255 if kind == TensorProto.UINT8 else 1)
    graph = helper.make_graph(nodes, "net", given, outputs, [numpy_helper.from_array(scaled, "W")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    beside = {"save_as_external_data": True, "location": "w.data", "size_threshold": 0} if external else {}
    onnx.save(model, str(path), **beside)
    return path

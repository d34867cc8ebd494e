"""Quantisation of a float32 graph to int8 weights, after smoothing of its outlier channels.

The inputs of a layer are quantised on one scale at run time. A few channels of a BERT encoder are ten times as large as
the others and would leave them only a few steps. If such a channel is divided by a factor and the weights that read it
are multiplied by it, the products stay equal and the scale shrinks (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from onnxruntime.quantization import QuantType, quantize_dynamic

_TARGET_RATIO: Final = 1.5
"""Channels above this multiple of the median are scaled down to it: among 1 to 3 the closest to the float graph."""

_OUTLIER_RATIO: Final = 3.0
"""If no channel exceeds this multiple of the median, the layer has no outliers."""


def write_quantised(model: onnx.ModelProto, samples: Sequence[Mapping[str, NDArray[np.generic]]], target: Path) -> None:
    """Write the graph in int8 to `target`, atomically; `samples` are inputs that reveal its outliers."""
    _smooth(model, _max_activations(model, samples))
    with TemporaryDirectory(dir=target.parent) as folder:
        whole, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, whole)
        # The standard does not define the types that the runtime's own operators return.
        options = {"DefaultTensorType": TensorProto.FLOAT}
        quantize_dynamic(whole, small, weight_type=QuantType.QInt8, per_channel=True, extra_options=options)
        small.replace(target)


def _readers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the nodes that multiply an input with weights, by the input's name."""
    weights = {weight.name for weight in model.graph.initializer}
    readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            readers[node.input[0]].append(node)
    return readers


def _max_activations(
    model: onnx.ModelProto, samples: Sequence[Mapping[str, NDArray[np.generic]]]
) -> dict[str, NDArray[np.float32]]:
    """Run the samples; return the largest absolute value per input and channel."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = list(_readers(model))
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    largest: dict[str, NDArray[np.float32]] = {}
    for sample in samples:
        for name, values in zip(names, session.run(names, dict(sample)), strict=True):
            found = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
            largest[name] = np.maximum(largest.get(name, found), found)
    return largest


def _smooth(model: onnx.ModelProto, largest: Mapping[str, NDArray[np.float32]]) -> None:
    weights = {weight.name: weight for weight in model.graph.initializer}
    readers = {
        name: nodes
        for name, nodes in _readers(model).items()
        if largest[name].max() > _OUTLIER_RATIO * np.median(largest[name])
    }
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        for name in set(node.output) & readers.keys():
            factors = np.maximum(largest[name] / (_TARGET_RATIO * np.median(largest[name])), 1).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(1 / factors, f"{name}.factors"))
            nodes.append(
                helper.make_node("Mul", [name, f"{name}.factors"], [f"{name}.smoothed"], name=f"{name}.smoothed")
            )
            for reader in readers[name]:
                kernel = weights[reader.input[1]]
                smoothed = numpy_helper.to_array(kernel) * factors[:, np.newaxis]
                kernel.CopyFrom(numpy_helper.from_array(smoothed, kernel.name))
                reader.input[0] = f"{name}.smoothed"
    del model.graph.node[:]
    model.graph.node.extend(nodes)

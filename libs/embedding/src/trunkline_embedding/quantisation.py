"""From a graph in float32 to one with weights in int8, its outliers evened out first.

Inputs of a layer are quantised on one scale at run time. A few channels of a BERT encoder are ten times as large as the
rest and would leave the rest a few steps only. Dividing such a channel, and multiplying the weights that read it by the
same factor, changes no product, but the scale (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438).
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

_ORDINARY: Final = 1.5
"""Channels up to so many times the median one stay as they are: of 1 to 3 this is nearest to the float graph."""

_OUTLYING: Final = 3.0
"""Where no channel is so many times the median one, none is an outlier."""


def write_quantised(model: onnx.ModelProto, samples: Sequence[Mapping[str, NDArray[np.generic]]], target: Path) -> None:
    """Write the graph in int8; `samples` are inputs that show its outliers. In place only when it is whole."""
    _even_out(model, _largest(model, samples))
    with TemporaryDirectory(dir=target.parent) as folder:
        whole, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, whole)
        # The standard does not say what the runtime's own operators return.
        options = {"DefaultTensorType": TensorProto.FLOAT}
        quantize_dynamic(whole, small, weight_type=QuantType.QInt8, per_channel=True, extra_options=options)
        small.replace(target)


def _readers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return, by the name of what they read, the nodes that multiply it with weights."""
    weights = {weight.name for weight in model.graph.initializer}
    readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            readers[node.input[0]].append(node)
    return readers


def _largest(
    model: onnx.ModelProto, samples: Sequence[Mapping[str, NDArray[np.generic]]]
) -> dict[str, NDArray[np.float32]]:
    """Run the samples; return by what is read, channel by channel, the largest value."""
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


def _even_out(model: onnx.ModelProto, largest: Mapping[str, NDArray[np.float32]]) -> None:
    weights = {weight.name: weight for weight in model.graph.initializer}
    readers = {
        name: nodes
        for name, nodes in _readers(model).items()
        if largest[name].max() > _OUTLYING * np.median(largest[name])
    }
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        for name in set(node.output) & readers.keys():
            factors = np.maximum(largest[name] / (_ORDINARY * np.median(largest[name])), 1).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(1 / factors, f"{name}.factors"))
            nodes.append(helper.make_node("Mul", [name, f"{name}.factors"], [f"{name}.even"], name=f"{name}.even"))
            for reader in readers[name]:
                kernel = weights[reader.input[1]]
                evened = numpy_helper.to_array(kernel) * factors[:, np.newaxis]
                kernel.CopyFrom(numpy_helper.from_array(evened, kernel.name))
                reader.input[0] = f"{name}.even"
    del model.graph.node[:]
    model.graph.node.extend(nodes)

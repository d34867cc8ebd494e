"""The graph of a BERT sentence encoder, made from its safetensors: the mean of the tokens' vectors, with length one.

No training framework is needed for it: the graph is a few dozen standard ONNX operators a layer. The model's own code
is never run, its weights are read and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

_OPSET: Final = 18
_HIDDEN_FROM_MASK: Final = -10_000.0


class BertConfig(msgspec.Struct, frozen=True):
    """What config.json says of the encoder's shape."""

    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    model_type: str = "bert"
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    max_position_embeddings: int = 512


class UnsupportedModelError(ValueError):
    """The directory holds no BERT encoder of the known kind; the message says what differs."""


def encoder(weights: Path, config: BertConfig) -> onnx.ModelProto:
    """Make the graph in float32: `ids` and `mask`, of a row a text, to `embedding` and `middle`.

    `middle` is the mean of the layer half-way: less of what a text means, more of what it says.
    """
    if config.model_type != "bert" or config.hidden_act != "gelu":
        raise UnsupportedModelError(
            f"{weights.parent}: a {config.model_type} with {config.hidden_act}, not a BERT encoder"
        )
    try:
        return _Graph(load_file(weights), config).model()
    except KeyError as error:
        raise UnsupportedModelError(f"{weights}: has no tensor {error}") from error


class _Graph:
    """Collects nodes and weights; every method adds one step and returns the name of its result."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]], config: BertConfig) -> None:
        self._tensors = tensors
        self._config = config
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        hidden = self._embedded()
        blocked = self._blocked()
        for number in range(self._config.num_hidden_layers):
            if number == self._config.num_hidden_layers // 2:
                self._pool(hidden, "middle")
            hidden = self._layer(f"encoder.layer.{number}", hidden, blocked)
        self._pool(hidden, "embedding")
        graph = helper.make_graph(
            self._nodes,
            "sentence-encoder",
            [
                helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"]),
                helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", "tokens"]),
            ],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", self._config.hidden_size])
                for name in ("embedding", "middle")
            ],
            list(self._weights.values()),
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
        onnx.checker.check_model(made)
        return made

    # -- steps ---

    def _embedded(self) -> str:
        words = self._node("Gather", [self._weight("embeddings.word_embeddings.weight"), "ids"])
        # One text at a time has no second segment: its type embedding is a constant.
        kind = self._tensors["embeddings.token_type_embeddings.weight"][0]
        places = self._tensors["embeddings.position_embeddings.weight"] + kind
        length = self._node("Gather", [self._node("Shape", ["ids"]), self._constant("one", np.array(1, np.int64))])
        upto = self._node("Unsqueeze", [length, self._constant("axis0", np.array([0], np.int64))])
        start = self._constant("zero1", np.array([0], np.int64))
        place = self._node("Slice", [self._constant("places", places), start, upto, start])
        return self._norm("embeddings.LayerNorm", self._node("Add", [words, place]))

    def _blocked(self) -> str:
        """What is added to the attention of padding: so little that nothing is left."""
        axes = self._constant("axes12", np.array([1, 2], np.int64))
        mask = self._node("Unsqueeze", ["mask", axes])
        padding = self._node("Sub", [self._constant("unit", np.array(1, np.float32)), mask])
        return self._node("Mul", [padding, self._constant("far", np.array(_HIDDEN_FROM_MASK, np.float32))])

    def _layer(self, name: str, hidden: str, blocked: str) -> str:
        config = self._config
        size = config.hidden_size // config.num_attention_heads
        split = self._constant("split", np.array([0, 0, config.num_attention_heads, size], np.int64))
        joined = self._constant("joined", np.array([0, 0, config.hidden_size], np.int64))

        def heads(part: str, order: list[int]) -> str:
            projected = self._dense(f"{name}.attention.self.{part}", hidden)
            return self._node("Transpose", [self._node("Reshape", [projected, split])], perm=order)

        query, key, value = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
        scale = self._constant("scale", np.array(1 / np.sqrt(size), np.float32))
        scores = self._node("Add", [self._node("Mul", [self._node("MatMul", [query, key]), scale]), blocked])
        mixed = self._node("MatMul", [self._node("Softmax", [scores], axis=-1), value])
        merged = self._node("Reshape", [self._node("Transpose", [mixed], perm=[0, 2, 1, 3]), joined])
        attended = self._node("Add", [self._dense(f"{name}.attention.output.dense", merged), hidden])
        attended = self._norm(f"{name}.attention.output.LayerNorm", attended)
        wide = self._gelu(self._dense(f"{name}.intermediate.dense", attended))
        narrow = self._node("Add", [self._dense(f"{name}.output.dense", wide), attended])
        return self._norm(f"{name}.output.LayerNorm", narrow)

    def _gelu(self, value: str) -> str:
        root = self._constant("root2", np.array(np.sqrt(2), np.float32))
        bell = self._node("Erf", [self._node("Div", [value, root])])
        gate = self._node("Add", [bell, self._constant("unit", np.array(1, np.float32))])
        half = self._constant("half", np.array(0.5, np.float32))
        return self._node("Mul", [self._node("Mul", [value, gate]), half])

    def _pool(self, hidden: str, name: str) -> None:
        axis = self._constant("axis2", np.array([2], np.int64))
        weighted = self._node("Mul", [hidden, self._node("Unsqueeze", ["mask", axis])])
        # The mean's divisor cancels out when the length is made one.
        summed = self._node("ReduceSum", [weighted, self._constant("axis1", np.array([1], np.int64))], keepdims=0)
        self._nodes.append(helper.make_node("LpNormalization", [summed], [name], axis=-1, p=2))

    # -- parts ---

    def _dense(self, name: str, value: str) -> str:
        kernel = self._constant(f"{name}.kernel", np.ascontiguousarray(self._tensors[f"{name}.weight"].T))
        return self._node("Add", [self._node("MatMul", [value, kernel]), self._weight(f"{name}.bias")])

    def _norm(self, name: str, value: str) -> str:
        parameters = [value, self._weight(f"{name}.weight"), self._weight(f"{name}.bias")]
        return self._node("LayerNormalization", parameters, axis=-1, epsilon=self._config.layer_norm_eps)

    def _node(self, kind: str, inputs: list[str], **attributes: float | list[int]) -> str:
        result = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [result], name=result, **attributes))  # type: ignore[arg-type]
        return result

    def _weight(self, name: str) -> str:
        return self._constant(name, self._tensors[name])

    def _constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        if name not in self._weights:
            self._weights[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

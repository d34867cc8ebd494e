"""ONNX graph of a BERT sentence encoder, built from its safetensors: normalised mean of the token vectors.

No training framework is needed: the graph has eighteen operators per layer, all of the ONNX standard except one of
onnxruntime. The model's own code is never executed; only its weights are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from trunkline_embedding.model_config import BertConfig, UnsupportedModelError

_OPSET: Final = 20
_ONNXRUNTIME: Final = "com.microsoft"
"""Domain of the runtime's non-standard operators: one for all attention heads instead of a dozen."""


def encoder(weights: Path, config: BertConfig) -> onnx.ModelProto:
    """Build the graph in float32, from `ids` (one row per text, all of one length) to `embedding` and `middle`.

    `middle` is the mean of the middle layer, which is closer to the wording of a text than to its meaning.
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
    """Collector of nodes and weights; every method adds one step and returns the name of its result."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]], config: BertConfig) -> None:
        self._tensors = tensors
        self._config = config
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        hidden = self._embedded()
        for number in range(self._config.num_hidden_layers):
            if number == self._config.num_hidden_layers // 2:
                self._pool(hidden, "middle")
            hidden = self._layer(f"encoder.layer.{number}", hidden)
        self._pool(hidden, "embedding")
        graph = helper.make_graph(
            self._nodes,
            "sentence-encoder",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", self._config.hidden_size])
                for name in ("embedding", "middle")
            ],
            list(self._weights.values()),
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_ONNXRUNTIME, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        onnx.checker.check_model(model)
        return model

    # -- steps ---

    def _embedded(self) -> str:
        words = self._node("Gather", [self._weight("embeddings.word_embeddings.weight"), "ids"])
        # A single text has no second segment, so its type embedding is a constant.
        kind = self._tensors["embeddings.token_type_embeddings.weight"][0]
        positions = self._tensors["embeddings.position_embeddings.weight"] + kind
        length = self._node("Gather", [self._node("Shape", ["ids"]), self._constant("one", np.array(1, np.int64))])
        upto = self._node("Unsqueeze", [length, self._constant("axis0", np.array([0], np.int64))])
        start = self._constant("zero1", np.array([0], np.int64))
        sliced = self._node("Slice", [self._constant("positions", positions), start, upto, start])
        return self._norm("embeddings.LayerNorm", self._node("Add", [words, sliced]))

    def _layer(self, name: str, hidden: str) -> str:
        parts = [self._dense(f"{name}.attention.self.{part}", hidden) for part in ("query", "key", "value")]
        heads = self._config.num_attention_heads
        mixed = self._node("MultiHeadAttention", parts, domain=_ONNXRUNTIME, num_heads=heads)
        attended = self._node("Add", [self._dense(f"{name}.attention.output.dense", mixed), hidden])
        attended = self._norm(f"{name}.attention.output.LayerNorm", attended)
        wide = self._node("Gelu", [self._dense(f"{name}.intermediate.dense", attended)])
        narrow = self._node("Add", [self._dense(f"{name}.output.dense", wide), attended])
        return self._norm(f"{name}.output.LayerNorm", narrow)

    def _pool(self, hidden: str, name: str) -> None:
        # The divisor of the mean cancels out in the normalisation.
        summed = self._node("ReduceSum", [hidden, self._constant("axis1", np.array([1], np.int64))], keepdims=0)
        self._nodes.append(helper.make_node("LpNormalization", [summed], [name], axis=-1, p=2))

    # -- parts ---

    def _dense(self, name: str, value: str) -> str:
        kernel = self._constant(f"{name}.kernel", np.ascontiguousarray(self._tensors[f"{name}.weight"].T))
        return self._node("Add", [self._node("MatMul", [value, kernel]), self._weight(f"{name}.bias")])

    def _norm(self, name: str, value: str) -> str:
        parameters = [value, self._weight(f"{name}.weight"), self._weight(f"{name}.bias")]
        return self._node("LayerNormalization", parameters, axis=-1, epsilon=self._config.layer_norm_eps)

    def _node(self, kind: str, inputs: list[str], domain: str = "", **attributes: float) -> str:
        result = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [result], name=result, domain=domain, **attributes))  # type: ignore[arg-type]
        return result

    def _weight(self, name: str) -> str:
        return self._constant(name, self._tensors[name])

    def _constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        if name not in self._weights:
            self._weights[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

"""Shape of a sentence encoder, read from its config.json."""

from __future__ import annotations

import msgspec


class BertConfig(msgspec.Struct, frozen=True):
    """Shape of the encoder, read from config.json."""

    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    model_type: str = "bert"
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    max_position_embeddings: int = 512


class UnsupportedModelError(ValueError):
    """The directory contains no supported BERT encoder; the message names the difference."""

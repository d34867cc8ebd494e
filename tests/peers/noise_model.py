"""Write a model of two layers of noise as GGUF: `python noise_model.py FILE`, in the environment of `./just peers`.

It accepts any text and generates ASCII only, because the server rejects bytes that are not text: one component of the
hidden state is a large constant, to which tokens that must not be generated have a large negative weight.
"""

from __future__ import annotations

import sys

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, HIDDEN = 64, 4, 2, 128
WORDS = ("the", "refund", "card", "days", "order", "money")
UNKNOWN, CONTROL, BYTE, NORMAL = 2, 3, 6, 1
SPECIAL = [b"<unk>", b"<s>", b"</s>"]


def write(file: str) -> None:
    """Write a model of the Llama architecture with every byte as a token."""
    tokens = [*SPECIAL, *(b"<0x%02X>" % byte for byte in range(256))]
    tokens += [f"\u2581{word}".encode() for word in WORDS]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(WORDS)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    rng = np.random.default_rng(1)
    for name, shape in _shapes(len(tokens)).items():
        noise = (rng.standard_normal(shape) * 0.1).astype(np.float32)
        if name == "token_embd":
            noise[:, 0] = 20.0
        elif name == "output":
            noise[:, 0] = [-10.0 if not _is_writable(number) else 0.0 for number in range(len(tokens))]
        writer.add_tensor(f"{name}.weight", np.ones(shape, np.float32) if "norm" in name else noise)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _is_writable(token: int) -> bool:
    byte = token - len(SPECIAL)
    return byte >= 256 or ord(" ") <= byte < 127


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (vocabulary, WIDTH),
        "output": (vocabulary, WIDTH),
        "output_norm": (WIDTH,),
    }
    for number in range(LAYERS):
        block = f"blk.{number}"
        shapes |= {f"{block}.{name}": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"{block}.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        shapes |= {f"{block}.ffn_gate": (HIDDEN, WIDTH), f"{block}.ffn_up": (HIDDEN, WIDTH)}
        shapes[f"{block}.ffn_down"] = (WIDTH, HIDDEN)
    return shapes


if __name__ == "__main__":
    write(sys.argv[1])

"""MiniLM in this process with real weights: the int8 graph agrees with the float32 model."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer
from trunkline_embedding import EmbedderChoice, EmbeddingError, message_embedder, open_embedder
from trunkline_embedding.minilm import MinilmEmbedder
from trunkline_protocols.knowledge import ArticleFile, ArticlesImported, ImportArticles, SearchKnowledge
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.knowledge_base import KnowledgeBase

from tests.support.embedders import LetterEmbedder
from tests.support.parsers import InProcessParser
from tests.support.weights import minilm_weights

pytestmark = pytest.mark.processes

PARAPHRASES = [
    ("I was charged twice for one order.", "My card has been debited two times for the same purchase."),
    ("How do I reset my password?", "I forgot my login code and need a new one."),
    ("The speaker does not turn on.", "My loudspeaker won't power up."),
    ("When will my parcel arrive?", "What is the delivery date of my package?"),
    ("I want to cancel my subscription.", "Please end my membership."),
]
TEXTS = [text for pair in PARAPHRASES for text in pair] + ["ok", "Überweisung 100 € — сколько?", "word " * 700]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the model's files."""
    return minilm_weights(tmp_path_factory.mktemp("minilm"))


@pytest.fixture(scope="module")
def embedder(directory: Path) -> MinilmEmbedder:
    """Return the embedder; the conversion takes some seconds, so it is done once per module."""
    return MinilmEmbedder(directory)


def test_int8_graph_is_close_to_the_float32_model(directory: Path, embedder: MinilmEmbedder) -> None:
    """The reference is a BERT encoder implemented in numpy."""
    actual, expected = embedder.embed(TEXTS), np.array([encoded(directory, text)[0] for text in TEXTS])
    assert np.allclose(np.linalg.norm(actual, axis=1), 1, atol=1e-4)
    cosines = (actual * expected).sum(axis=1)
    print(f"cosine of int8 to float32: lowest {cosines.min():.4f}, mean {cosines.mean():.4f}")
    # Without smoothing of the outliers the values are .977 and .993.
    assert cosines.min() > 0.97
    assert cosines.mean() > 0.995


def test_middle_layer_is_appended_on_request(directory: Path, embedder: MinilmEmbedder) -> None:
    """The vector is normalised as a whole, and the name differs, since the two kinds are not comparable."""
    both = message_embedder(embedder)
    actual = both.embed(TEXTS)
    assert both.name == f"{embedder.name}-middle"
    assert actual.shape == (len(TEXTS), both.dimensions) == (len(TEXTS), 2 * embedder.dimensions)
    expected = np.array([np.concatenate(encoded(directory, text)) / np.sqrt(2) for text in TEXTS])
    assert np.allclose(np.linalg.norm(actual, axis=1), 1, atol=1e-4)
    assert (actual * expected).sum(axis=1).min() > 0.985
    assert np.allclose(actual[:, : embedder.dimensions] * np.sqrt(2), embedder.embed(TEXTS), atol=1e-6)


def test_paraphrases_are_nearest_neighbours(embedder: MinilmEmbedder) -> None:
    """Each text's nearest neighbour is its paraphrase, although they share hardly any words."""
    ones, others = (embedder.embed(side) for side in zip(*PARAPHRASES, strict=True))
    similarity = ones @ others.T
    assert similarity.argmax(axis=0).tolist() == similarity.argmax(axis=1).tolist() == list(range(len(PARAPHRASES)))
    unrelated = similarity[~np.eye(len(PARAPHRASES), dtype=bool)]
    assert np.diag(similarity).min() > unrelated.max()


def test_graph_is_converted_again_if_its_hash_differs(directory: Path, embedder: MinilmEmbedder) -> None:
    """The name identifies the weights; a modified graph is never run."""
    weights = hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
    assert embedder.name == f"minilm-{weights[:16]}-2"
    graph = directory / f"model-int8-{weights[:16]}-2.onnx"
    record = msgspec.json.decode(graph.with_suffix(".json").read_bytes())
    assert record == {"weights_sha256": weights, "graph_sha256": hashlib.sha256(graph.read_bytes()).hexdigest()}
    before = graph.stat()
    MinilmEmbedder(directory)
    assert graph.stat().st_mtime_ns == before.st_mtime_ns
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    again = MinilmEmbedder(directory)
    assert hashlib.sha256(graph.read_bytes()).hexdigest() == record["graph_sha256"]
    assert (again.embed(TEXTS[:2]) == embedder.embed(TEXTS[:2])).all()


def test_invalid_model_directory_is_reported(directory: Path, tmp_path: Path) -> None:
    """The error names the missing file or the difference."""
    with pytest.raises(EmbeddingError, match=r"no folder with model\.safetensors"):
        open_embedder(EmbedderChoice("minilm", tmp_path))
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).symlink_to(directory / name)
    config = msgspec.json.decode((directory / "config.json").read_bytes())
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config | {"model_type": "roberta"}))
    with pytest.raises(EmbeddingError, match="a roberta with gelu, not a BERT encoder"):
        open_embedder(EmbedderChoice("minilm", tmp_path))


FILES = [
    ArticleFile(name=f"{name}.md", content=f"---\nid: {name}\n---\n{text}")
    for name, text in {
        "double": "When a card has been debited two times for the same purchase, the second amount is returned.",
        "password": "A forgotten code is replaced by following the link in the e-mail.",
        "power": "A device that stays dark wants its battery charged for an hour.",
        **{f"other-{number}": f"Warehouse {number} opens at {number % 12} o'clock." for number in range(60)},
    }.items()
]


async def test_searches_are_served_while_passages_are_embedded_again(tmp_path: Path, embedder: MinilmEmbedder) -> None:
    """After a change of the embedder, searches always succeed, and vectors of the two models are never mixed."""
    folder = str(tmp_path / "milvus")
    letters = LetterEmbedder()
    first = MilvusStore(folder, embedder=letters.name, dimensions=letters.dimensions)
    knowledge_base = KnowledgeBase(first, letters, parser=InProcessParser())
    request = ImportArticles(tenant="default", files=FILES)
    assert isinstance(await knowledge_base.import_articles(request), ArticlesImported)
    first.close()
    store = MilvusStore(folder, embedder=embedder.name, dimensions=embedder.dimensions)
    knowledge_base = KnowledgeBase(store, embedder, parser=InProcessParser())
    await knowledge_base.open()
    assert store.needs_vectors
    async with asyncio.TaskGroup() as tasks:
        embedding = tasks.create_task(knowledge_base.reembed())
        searches = 0
        while not embedding.done():
            found = await knowledge_base.search(SearchKnowledge(query="when does warehouse 7 open", tenant="default"))
            assert found.passages[0].document == "other-7"
            searches += 1
            await asyncio.sleep(0)
    assert searches > 1
    assert not store.needs_vectors
    passages = store.read_passages()
    assert passages.vectors is not None
    assert passages.vectors.shape == (len(FILES), embedder.dimensions)
    expected = embedder.embed([row.embedding_text for row in passages.rows])
    assert np.allclose(passages.vectors, expected, atol=1e-6)
    # Query and article share hardly any words, so only the vectors match.
    query = SearchKnowledge(query="I was billed twice", tenant="default", limit=1)
    assert (await knowledge_base.search(query)).passages[0].document == "double"
    store.close()


# -- the model in float32 ---


def encoded(directory: Path, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embed one text as in the paper, by the last layer and by the middle one."""
    config = msgspec.json.decode((directory / "config.json").read_bytes())
    weights = load_file(directory / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    ids = tokenizer.encode(text).ids

    def dense(name: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        return result

    def norm(name: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = value - value.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + config["layer_norm_eps"])
        result: NDArray[np.float32] = centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        return result

    tables = (f"embeddings.{table}_embeddings.weight" for table in ("word", "position", "token_type"))
    words, positions, kinds = (weights[table] for table in tables)
    hidden = norm("embeddings.LayerNorm", words[ids] + positions[: len(ids)] + kinds[0])
    heads = config["num_attention_heads"]
    size = config["hidden_size"] // heads
    layers = [hidden]
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            dense(f"{layer}.attention.self.{part}", hidden).reshape(-1, heads, size).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.sqrt(size)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ value).swapaxes(0, 1).reshape(len(ids), -1)
        attention = f"{layer}.attention.output"
        hidden = norm(f"{attention}.LayerNorm", dense(f"{attention}.dense", mixed) + hidden)
        wide = dense(f"{layer}.intermediate.dense", hidden)
        activated = wide * (1 + erf(wide / np.sqrt(2))) / 2
        hidden = norm(f"{layer}.output.LayerNorm", dense(f"{layer}.output.dense", activated) + hidden)
        layers.append(hidden)
    last, middle = (layers[number].mean(axis=0) for number in (-1, len(layers) // 2))
    return last / np.linalg.norm(last), middle / np.linalg.norm(middle)

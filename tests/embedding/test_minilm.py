"""MiniLM in this process, from real weights: what the int8 graph says is what the model means."""

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
from trunkline_embedding import EmbedderChoice, EmbeddingError, open_embedder
from trunkline_embedding.minilm import MinilmEmbedder
from trunkline_protocols.knowledge import ArticleFile, ArticlesImported, ImportArticles, SearchKnowledge
from trunkline_rag.adapters.milvus import MilvusStore
from trunkline_rag.application.knowledge_base import KnowledgeBase

from tests.support.embedders import LetterEmbedder
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
    """The model as a user has it."""
    return minilm_weights(tmp_path_factory.mktemp("minilm"))


@pytest.fixture(scope="module")
def embedder(directory: Path) -> MinilmEmbedder:
    """Made once: that takes some seconds."""
    return MinilmEmbedder(directory)


def test_int8_graph_is_near_the_model_in_float32(directory: Path, embedder: MinilmEmbedder) -> None:
    """The same texts through the plain formulas of a BERT encoder, written down once more in numpy."""
    made, exact = embedder.embed(TEXTS), np.array([encoded(directory, text)[0] for text in TEXTS])
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-4)
    nearness = (made * exact).sum(axis=1)
    print(f"cosine of int8 to float32: lowest {nearness.min():.4f}, mean {nearness.mean():.4f}")
    # With the outliers left in it is .977 and .993.
    assert nearness.min() > 0.97
    assert nearness.mean() > 0.995


def test_vector_of_the_middle_layer_follows_where_it_is_wanted(directory: Path, embedder: MinilmEmbedder) -> None:
    """Length one together, and another name: the two kinds never compare."""
    both = open_embedder(EmbedderChoice("minilm", directory), middle_layer=True)
    assert both is not None
    made = both.embed(TEXTS)
    assert both.name == f"{embedder.name}-middle"
    assert made.shape == (len(TEXTS), both.dimensions) == (len(TEXTS), 2 * embedder.dimensions)
    exact = np.array([np.concatenate(encoded(directory, text)) / np.sqrt(2) for text in TEXTS])
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-4)
    assert (made * exact).sum(axis=1).min() > 0.985
    assert np.allclose(made[:, : embedder.dimensions] * np.sqrt(2), embedder.embed(TEXTS), atol=1e-6)


def test_paraphrases_are_nearer_than_strangers(embedder: MinilmEmbedder) -> None:
    """Each text's nearest neighbour is what means the same, though hardly a word is shared."""
    ones, others = (embedder.embed(side) for side in zip(*PARAPHRASES, strict=True))
    likeness = ones @ others.T
    assert likeness.argmax(axis=0).tolist() == likeness.argmax(axis=1).tolist() == list(range(len(PARAPHRASES)))
    strangers = likeness[~np.eye(len(PARAPHRASES), dtype=bool)]
    assert np.diag(likeness).min() > strangers.max()


def test_graph_is_kept_with_its_hash_and_made_anew_when_it_is_not_that_any_more(
    directory: Path, embedder: MinilmEmbedder
) -> None:
    """The name tells the weights; a changed graph is never run."""
    weights = hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
    assert embedder.name == f"minilm-{weights[:16]}-2"
    graph = directory / f"model-int8-{weights[:16]}-2.onnx"
    note = msgspec.json.decode(graph.with_suffix(".json").read_bytes())
    assert note == {"weights_sha256": weights, "graph_sha256": hashlib.sha256(graph.read_bytes()).hexdigest()}
    before = graph.stat()
    MinilmEmbedder(directory)
    assert graph.stat().st_mtime_ns == before.st_mtime_ns
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    again = MinilmEmbedder(directory)
    assert hashlib.sha256(graph.read_bytes()).hexdigest() == note["graph_sha256"]
    assert (again.embed(TEXTS[:2]) == embedder.embed(TEXTS[:2])).all()


def test_directory_that_holds_no_such_model_is_told(directory: Path, tmp_path: Path) -> None:
    """Which file is missing, or what differs."""
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


async def test_passages_are_embedded_into_a_collection_of_their_own_while_the_old_one_serves(
    tmp_path: Path, embedder: MinilmEmbedder
) -> None:
    """From another model to this one: never a moment without answers, never a vector of the other."""
    folder = str(tmp_path / "milvus")
    letters = LetterEmbedder()
    first = MilvusStore(folder, embedder=letters.name, dimensions=letters.dimensions)
    knowledge_base = KnowledgeBase(first, letters)
    order = ImportArticles(tenant="default", files=FILES)
    assert isinstance(await knowledge_base.import_articles(order), ArticlesImported)
    first.close()
    store = MilvusStore(folder, embedder=embedder.name, dimensions=embedder.dimensions)
    knowledge_base = KnowledgeBase(store, embedder)
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
    holdings = store.holdings()
    assert holdings.vectors is not None
    assert holdings.vectors.shape == (len(FILES), embedder.dimensions)
    expected = embedder.embed([row.embedded for row in holdings.rows])
    assert np.allclose(holdings.vectors, expected, atol=1e-6)
    # Hardly a word in common: only the meaning finds it.
    asked = SearchKnowledge(query="I was billed twice", tenant="default", limit=1)
    assert (await knowledge_base.search(asked)).passages[0].document == "double"
    store.close()


# -- the model in float32 ---


def encoded(directory: Path, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embed one text as the paper has it: by the last layer, and by the one half-way."""
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
    words, places, kinds = (weights[table] for table in tables)
    hidden = norm("embeddings.LayerNorm", words[ids] + places[: len(ids)] + kinds[0])
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
        bent = wide * (1 + erf(wide / np.sqrt(2))) / 2
        hidden = norm(f"{layer}.output.LayerNorm", dense(f"{layer}.output.dense", bent) + hidden)
        layers.append(hidden)
    last, middle = (layers[number].mean(axis=0) for number in (-1, len(layers) // 2))
    return last / np.linalg.norm(last), middle / np.linalg.norm(middle)

"""The sub-commands of `trunkline bench`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop
from trunkline_embedding.settings import EmbedderSettings

from trunkline_cli.bench.load import LoadPlan, run_load
from trunkline_cli.bench.texts import read_texts
from trunkline_cli.settings import ClientSettings

bench = typer.Typer(
    help="Measure a running suite, or triage and search on data of your own; prints one JSON object.",
    no_args_is_help=True,
)


@bench.callback()
def _group() -> None:
    pass


@bench.command()
def load(
    conversations: Annotated[int, typer.Option(min=1, help="Open WebSocket conversations")] = 100,
    rate: Annotated[float, typer.Option(min=0.1, help="Customer turns a second, over all conversations")] = 10.0,
    duration: Annotated[float, typer.Option(min=1, help="Seconds of load")] = 10.0,
    texts: Annotated[
        Path | None, typer.Option(help="JSON Lines with `text` or `turns`; else the examples of the fleet")
    ] = None,
    fleet: Annotated[Path, typer.Option(help="Fleet whose agents' examples are said")] = Path("fleet"),
    seed: Annotated[int, typer.Option(help="Seed of arrivals and texts")] = 1,
    url: Annotated[str | None, typer.Option(help="Address of the suite [env: TRUNKLINE_URL]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (it always is)")] = True,  # noqa: FBT002
) -> None:
    """Keep conversations open and send turns at a fixed rate, whatever comes back (open loop)."""
    del as_json
    settings = ClientSettings(url=url) if url is not None else ClientSettings()
    plan = LoadPlan(
        conversations=conversations, rate=rate, duration_s=duration, texts=read_texts(texts, fleet), seed=seed
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        typer.echo(runner.run(run_load(settings, plan)))


_Embedder = Annotated[str, typer.Option(help="lexical, minilm or remote; minilm:DIR or a model's directory")]


@bench.command()
def routing(
    train: Annotated[Path, typer.Option(help="JSONL to train on: `text`, `label` (or `conversation`, `target_agent`)")],
    test: Annotated[Path, typer.Option(help="JSONL to score; `label` null is out of scope")],
    validation: Annotated[Path | None, typer.Option(help="JSONL that the out-of-scope floor is chosen on")] = None,
    embedder: _Embedder = "lexical",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (it always is)")] = True,  # noqa: FBT002
) -> None:
    """Score triage's classifier on labelled messages."""
    # Here, because training libraries are slow to load and no other command needs them.
    from trunkline_cli.bench.routing import measure_routing  # noqa: PLC0415

    del as_json
    typer.echo(
        msgspec.json.encode(measure_routing(train, test, validation, EmbedderSettings().embedder_choice(embedder)))
    )


@bench.command()
def retrieval(
    documents: Annotated[Path, typer.Option(help="JSONL of articles: `id`, `title`, `content`")],
    queries: Annotated[Path, typer.Option(help="JSONL of questions: `query`, `documents` (ids that answer it)")],
    embedder: _Embedder = "lexical",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (it always is)")] = True,  # noqa: FBT002
) -> None:
    """Score the knowledge index on questions with known articles."""
    from trunkline_cli.bench.retrieval import measure_retrieval  # noqa: PLC0415

    del as_json
    typer.echo(msgspec.json.encode(measure_retrieval(documents, queries, EmbedderSettings().embedder_choice(embedder))))

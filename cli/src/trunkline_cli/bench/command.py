"""Sub-commands of `trunkline bench`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop
from trunkline_embedding.settings import EmbedderSettings

from trunkline_cli.bench.load.command import load
from trunkline_cli.bench.load.core.profile import constant
from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.bench.load.plot_command import plot
from trunkline_cli.bench.options import Conversations, Fleet, Rate, Seed, Texts
from trunkline_cli.bench.stages import run_stages, stages_text
from trunkline_cli.bench.texts import read_texts
from trunkline_cli.options import DataDir, Json, Url, client_settings

bench = typer.Typer(
    help="Measure a running suite, or routing and search on your own data; prints JSON, `stages` tables.",
    no_args_is_help=True,
)


@bench.callback()
def _group() -> None:
    pass


bench.command()(load)
bench.command()(plot)


@bench.command()
def stages(  # noqa: PLR0913 - one parameter per option
    conversations: Conversations = 50,
    rate: Rate = 10.0,
    duration: Annotated[float, typer.Option(min=1, help="Seconds of load, and as many idle ones before it")] = 20.0,
    texts: Texts = None,
    fleet: Fleet = Path("fleet"),
    seed: Seed = 1,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Take a turn apart: messages, wake-ups and CPU by service, appends by stream, time by stage."""
    plan = LoadPlan(
        conversations=conversations, phases=constant(rate, duration), texts=read_texts(texts, fleet), seed=seed
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run_stages(client_settings(url, data_dir), plan))
    typer.echo(msgspec.json.encode(report) if as_json else "\n".join(stages_text(report)))


_Embedder = Annotated[str, typer.Option(help="lexical, minilm or remote; also minilm:DIR or remote:URL")]


@bench.command()
def routing(
    train: Annotated[
        Path, typer.Option(help="JSON Lines to train on: `text`, `label` (or `conversation`, `target_agent`)")
    ],
    test: Annotated[Path, typer.Option(help="JSON Lines to score; a null `label` is out of scope")],
    validation: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines to set the out-of-scope threshold on; default: cross-validation of the training file"
        ),
    ] = None,
    embedder: _Embedder = "lexical",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; always on")] = True,  # noqa: FBT002
) -> None:
    """Score the classifier of triage on labelled messages."""
    # Imported here, because training libraries load slowly and no other command needs them.
    from trunkline_cli.bench.routing import measure_routing  # noqa: PLC0415

    del as_json
    typer.echo(
        msgspec.json.encode(measure_routing(train, test, validation, EmbedderSettings().embedder_choice(embedder)))
    )


@bench.command()
def retrieval(
    documents: Annotated[Path, typer.Option(help="JSON Lines of articles: `id`, `title`, `content`")],
    queries: Annotated[
        Path, typer.Option(help="JSON Lines of questions: `query`, `documents` (ids of the articles that answer it)")
    ],
    embedder: _Embedder = "lexical",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; always on")] = True,  # noqa: FBT002
) -> None:
    """Score the search index on questions with known articles."""
    from trunkline_cli.bench.retrieval import measure_retrieval  # noqa: PLC0415

    del as_json
    typer.echo(msgspec.json.encode(measure_retrieval(documents, queries, EmbedderSettings().embedder_choice(embedder))))

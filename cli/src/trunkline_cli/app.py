"""The `trunkline` command and its sub-commands."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from pydantic import ValidationError
from trunkline_chassis.fleet_folder import FleetError
from trunkline_chassis.settings import SettingsError
from trunkline_supervisor.app import run_suite
from trunkline_supervisor.core.errors import SuiteError
from trunkline_supervisor.settings import SuiteSettings

from trunkline_cli import chat as conversation, llm as completion, operate
from trunkline_cli.bench.command import bench
from trunkline_cli.errors import CommandError
from trunkline_cli.fleet.command import fleet
from trunkline_cli.knowledge.command import knowledge
from trunkline_cli.notices.command import notice, notices
from trunkline_cli.options import Json, Url, client_settings, console

app = typer.Typer(
    help="A fleet of customer-support agents on your own servers.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(knowledge, name="kb")
app.add_typer(fleet, name="fleet")
app.command()(notice)
app.add_typer(notices, name="notices")
app.add_typer(bench, name="bench")


def main() -> None:
    """Run the command; whatever is wrong is one line on stderr."""
    try:
        app()
    except (CommandError, SuiteError, SettingsError, FleetError) as error:
        print(f"trunkline: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            name = "_".join(map(str, fault["loc"])).upper()
            print(f"trunkline: TRUNKLINE_{name}: {fault['msg']}, got {fault['input']!r}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _version(value: bool) -> None:  # noqa: FBT001
    if value:
        typer.echo(version("trunkline-cli"))
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version")] = False,  # noqa: FBT002
) -> None:
    pass


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Port of the chat page; 0 takes a free one")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for everything the suite keeps")] = None,
    fleet_dir: Annotated[Path | None, typer.Option("--fleet", help="Folder of the fleet to start with")] = None,
    nodes: Annotated[
        int | None, typer.Option(help="NATS servers: 1, or 3 for a local cluster that keeps every message three times")
    ] = None,
) -> None:
    """Run the whole suite in the foreground, until Ctrl-C."""
    if nodes not in {None, 1, 3}:
        raise CommandError(f"--nodes must be 1 or 3, got {nodes}")
    given: dict[str, Any] = {"http_port": port, "data_dir": data_dir, "fleet_dir": fleet_dir, "nodes": nodes}
    settings = SuiteSettings(**{name: value for name, value in given.items() if value is not None})
    asyncio.run(run_suite(settings, lambda url: print(f"ready {url}", flush=True)))  # noqa: T201


@app.command()
def ask(text: Annotated[str, typer.Argument(help="What to ask")], url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Ask one question and print the answer as it streams."""
    answered = asyncio.run(conversation.ask(client_settings(url), text, as_json=as_json, out=sys.stdout))
    if not answered:
        raise typer.Exit(1)


@app.command()
def chat(url: Url = None) -> None:
    """Chat in the terminal; an empty line ends the conversation."""
    asyncio.run(conversation.converse(client_settings(url)))


@app.command()
def status(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the supervision tree: each process, its state, its queue, its latency."""
    suite = operate.status(client_settings(url))
    if as_json:
        typer.echo(operate.status_json(suite))
    else:
        console().print(operate.status_table(suite))
    if not suite.ready:
        raise typer.Exit(1)


@app.command()
def llm(
    prompt: Annotated[str, typer.Argument(help="What to ask the model")],
    provider: Annotated[str, typer.Option(help="Name of the provider; else the default route decides")] = "",
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """ProviderAttempt a model provider of TRUNKLINE_LLM_CONFIG, without a suite."""
    asyncio.run(completion.complete(prompt, provider=provider, as_json=as_json, out=sys.stdout))


@app.command()
def trace(
    conversation_id: Annotated[str, typer.Argument(metavar="CONVERSATION", help="Id of the conversation")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Tell a conversation's story: who sent what to whom, when, how long it took."""
    story = operate.trace(client_settings(url), conversation_id)
    if as_json:
        typer.echo(msgspec.json.encode(story))
    else:
        console().print(operate.trace_table(story))

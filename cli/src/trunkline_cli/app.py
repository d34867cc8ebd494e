"""The `trunkline` command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError as SourceError
from trunkline_chassis.fleet_folder import FleetError
from trunkline_chassis.settings import SettingsError, settings_faults
from trunkline_protocols import codec
from trunkline_supervisor.app import run_suite, secure
from trunkline_supervisor.core.errors import SuiteError
from trunkline_supervisor.settings import SuiteSettings

from trunkline_cli import chat as conversation, llm as completion, suite_status, traces
from trunkline_cli.audit.command import audit
from trunkline_cli.backup.command import backup
from trunkline_cli.bench.command import bench
from trunkline_cli.capacity.command import plan
from trunkline_cli.customers import customer
from trunkline_cli.demo_shop import READER, serve_demo_shop
from trunkline_cli.doctor.command import doctor
from trunkline_cli.erasure import erase, keys
from trunkline_cli.errors import CommandError
from trunkline_cli.fleet.command import fleet
from trunkline_cli.knowledge.command import knowledge
from trunkline_cli.notices.command import notice, notices
from trunkline_cli.operator_keys import operator_key
from trunkline_cli.options import DataDir, Json, Url, client_settings, console
from trunkline_cli.release.command import release
from trunkline_cli.retention.command import retention
from trunkline_cli.text_input import accept_any_bytes, readable_arguments

app = typer.Typer(
    help="Run, use and operate a fleet of customer-support agents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; print errors as lines on stderr and exit with status 1."""
    accept_any_bytes()
    sys.argv[1:] = readable_arguments(sys.argv[1:])
    try:
        app()
    except CommandError as error:
        print(f"trunkline: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_status)
    except (SuiteError, SettingsError, FleetError) as error:
        print(f"trunkline: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except (ValidationError, SourceError) as error:
        for fault in settings_faults(error):
            print(f"trunkline: {fault}", file=sys.stderr)  # noqa: T201
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
    host: Annotated[
        str | None, typer.Option(help="Address of the chat page, such as 127.0.0.1, ::1 or, for all, 0.0.0.0 or ::")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the chat page; 0 selects a free one")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of all stored state")] = None,
    fleet_dir: Annotated[
        Path | None, typer.Option("--fleet", help="Folder of the fleet that is published first")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Number of NATS servers: 1, or 3 for a local cluster with three replicas")
    ] = None,
    demo_shop: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--demo-shop", help="Start a stand-in shop, so that the demo fleet knows the customer's orders"),
    ] = False,
) -> None:
    """Run the whole suite in the foreground until Ctrl-C."""
    # Imported here, as in `fleet check`.
    from trunkline_embedding.settings import EmbedderSettings  # noqa: PLC0415

    from trunkline_cli.fleet.folder_warnings import find_warnings, print_warnings  # noqa: PLC0415

    if nodes not in {None, 1, 3}:
        raise CommandError(f"--nodes must be 1 or 3, got {nodes}")
    given: dict[str, Any] = {
        "http_host": host,
        "http_port": port,
        "data_dir": data_dir,
        "fleet_dir": fleet_dir,
        "nodes": nodes,
    }
    settings = SuiteSettings(**{name: value for name, value in given.items() if value is not None})
    account_line = secure(settings)
    warnings = find_warnings(settings.fleet_dir)

    def announce(url: str, console_link: str) -> None:
        if account_line:
            # Only now, so that a start that fails has one line: its error.
            print(f"trunkline: {account_line}", file=sys.stderr)  # noqa: T201
        print_warnings(warnings)
        if EmbedderSettings().embedder_choice().is_lexical:
            print("trunkline: search goes by words only; ./just weights installs the encoder", file=sys.stderr)  # noqa: T201
        print(f"ready {url}\nconsole {console_link} (works once)", flush=True)  # noqa: T201

    asyncio.run(_run_with_shop(settings, announce) if demo_shop else run_suite(settings, announce))


async def _run_with_shop(settings: SuiteSettings, announce: Callable[[str, str], None]) -> None:
    async with serve_demo_shop() as address:
        addresses = codec.encode({READER: address}).decode()
        await run_suite(settings, announce, {"TRUNKLINE_READER_ADDRESSES": addresses})


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="Message to the fleet")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send one message in a new conversation and print the answer as it streams."""
    answered = asyncio.run(conversation.ask(client_settings(url), text, as_json=as_json, out=sys.stdout))
    if not answered:
        raise typer.Exit(1)


@app.command()
def chat(url: Url = None) -> None:
    """Chat in the terminal; an empty line or /end ends the conversation, /person requests a person."""
    asyncio.run(conversation.converse(client_settings(url)))


@app.command()
def status(url: Url = None, data_dir: DataDir = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show every process with state, restarts, queue depth and latency; exit status 1 if the suite is not ready."""
    suite = suite_status.read_status(client_settings(url, data_dir))
    if as_json:
        typer.echo(suite_status.status_json(suite))
    else:
        console().print(suite_status.status_table(suite))
    if not suite.ready:
        raise typer.Exit(1)


@app.command()
def trace(
    conversation_id: Annotated[str, typer.Argument(metavar="CONVERSATION", help="Id of the conversation")],
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,  # noqa: FBT002
    details: Annotated[bool, typer.Option(help="Print the fields of each record too")] = False,  # noqa: FBT002
) -> None:
    """Show every record of a conversation, each look of an operator at it, and the proof of all."""
    found = traces.read_trace(client_settings(url, data_dir), conversation_id)
    if as_json:
        typer.echo(codec.encode(found))
    else:
        console().print(traces.trace_table(found, details=details))


app.command("operator-key")(operator_key)
app.command()(doctor)
app.command()(erase)
app.command()(plan)
app.command()(notice)
app.add_typer(notices, name="notices")
app.add_typer(customer, name="customer")
app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")
app.add_typer(backup, name="backup")
app.add_typer(retention, name="retention")
app.add_typer(knowledge, name="kb")
app.add_typer(fleet, name="fleet")
app.add_typer(release, name="release")


@app.command()
def llm(
    prompt: Annotated[str, typer.Argument(help="Prompt for the model; none with --check")] = "",
    provider: Annotated[str, typer.Option(help="Name of the provider; default: the default route")] = "",
    check: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--check", help="Find out what the provider's server takes, and print the lines to configure"),
    ] = False,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Test a model provider of TRUNKLINE_LLM_CONFIG without a running suite."""
    if check == bool(prompt):
        raise typer.BadParameter("give either a prompt or --check")
    if check:
        asyncio.run(completion.check(provider, as_json=as_json, out=sys.stdout))
    else:
        asyncio.run(completion.complete(prompt, provider=provider, as_json=as_json, out=sys.stdout))


app.add_typer(bench, name="bench")

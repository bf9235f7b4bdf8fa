"""`feedplane`: every command of the contract, each thin; the work is in the modules beside it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer
from feedplane_core.cores import CORE_NAME, problem_with
from feedplane_core.errors import FeedplaneError, UsageError
from feedplane_core.names import Feed
from feedplane_ops.version import __version__

from feedplane_cli.console import EXIT_FAILED, EXIT_USAGE, err, fail, out, seconds_of, told_plainly
from feedplane_cli.datadir import DEFAULT_ROOT, read_note
from feedplane_cli.query import Format

app = typer.Typer(
    name="feedplane",
    help="Public crypto market data: latest state in Redis, complete history in ClickHouse, every hole known.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
journal_app = typer.Typer(help="The journal, for people.", no_args_is_help=True)
ddl_app = typer.Typer(help="Tables of the history.", no_args_is_help=True)
app.add_typer(journal_app, name="journal")
app.add_typer(ddl_app, name="ddl")

FeedSetFile = Annotated[Path, typer.Option("-f", "--file", help="FeedSet YAML; - for standard input.")]
DataRoot = Annotated[Path, typer.Option("--data", help="Directory of the plane's data.")]
JournalPath = Annotated[Path, typer.Argument(help="Journal of one collector: DATA/<mode>/journal/<collector>.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


class ModeChoice(StrEnum):
    """Where frames come from."""

    AUTO = "auto"
    LIVE = "live"
    SIM = "sim"


class Books(StrEnum):
    """How `decode` shows books."""

    RAW = "raw"
    SYNCED = "synced"


def read_feedset(path: Path, option: str = "-f") -> str:
    """Raises: UsageError naming `option`."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) else "it is no text"
        raise UsageError(option, f"{path} cannot be read: {why}") from e


def _tell_version(asked: bool) -> None:
    if asked:
        out.print(f"feedplane {__version__}, {CORE_NAME} core")
        raise typer.Exit


@app.callback()
def feedplane(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Version, and which core runs.")
    ] = False,
) -> None:
    """Public crypto market data: latest state in Redis, complete history in ClickHouse, every hole known."""
    if problem := problem_with(os.environ.get("FEEDPLANE_CORE", "")):
        fail(f"FEEDPLANE_CORE: {problem}", EXIT_USAGE)


@app.command()
def up(
    file: FeedSetFile,
    data: DataRoot = DEFAULT_ROOT,
    for_: Annotated[Optional[str], typer.Option("--for", help="Stop after so long: 30s, 10m.")] = None,  # noqa: UP045
    as_json: AsJson = False,
    mode: Annotated[
        ModeChoice, typer.Option(help="auto: live, or simulated where no venue can be reached.")
    ] = ModeChoice.AUTO,
    endpoints: Annotated[
        Optional[Path], typer.Option(help="Ready file of `feedplane simex`: use those venues.")  # noqa: UP045
    ] = None,
    rate: Annotated[Optional[int], typer.Option(min=1, help="Messages a second of simulated venues.")] = None,  # noqa: UP045
    redis_port: Annotated[int, typer.Option(help="0: a free one.")] = 0,
    clickhouse_port: Annotated[int, typer.Option(help="0: a free one.")] = 0,
    socket_library: Annotated[str, typer.Option(help="websockets, or picows (faster).")] = "websockets",
) -> None:
    """Run the whole plane on one machine, with embedded engines; Ctrl-C stops it and prints the closing account."""
    with told_plainly():
        from feedplane_feedset.validate import parse_feedset

        from feedplane_cli.adapters import known_exchanges
        from feedplane_cli.up import Up

        if socket_library not in ("websockets", "picows"):
            raise UsageError("--socket-library", f"{socket_library!r} is neither websockets nor picows")
        feedset = parse_feedset(read_feedset(file), known_exchanges())
        runner = Up(
            feedset,
            data,
            mode=mode,
            endpoints=endpoints,
            for_s=seconds_of(for_, "--for"),
            as_json=as_json,
            redis_port=redis_port,
            clickhouse_port=clickhouse_port,
            socket_library=socket_library,
            rate=rate,
        )
        raise typer.Exit(asyncio.run(runner.run()))


@app.command()
def validate(file: FeedSetFile) -> None:
    """Check a FeedSet; name every problem with its path and the nearest right spelling."""
    with told_plainly():
        from feedplane_feedset.validate import parse_feedset

        from feedplane_cli.adapters import known_exchanges

        feedset = parse_feedset(read_feedset(file), known_exchanges())
        out.print(f"{feedset.metadata.name}: good, {len(feedset.spec.exchanges)} exchanges", markup=False)


@app.command()
def plan(
    file: FeedSetFile,
    against: Annotated[Optional[Path], typer.Option(help="The FeedSet that is in force.")] = None,  # noqa: UP045
    as_json: AsJson = False,
) -> None:
    """Show what an apply would touch: sockets, subscriptions, pods. Changes nothing."""
    with told_plainly():
        from feedplane_feedset.validate import parse_feedset

        from feedplane_cli.adapters import known_exchanges
        from feedplane_cli.plans import plan_document, plan_text

        known = known_exchanges()
        after = parse_feedset(read_feedset(file), known)
        before = parse_feedset(read_feedset(against, "--against"), known) if against is not None else None
        if as_json:
            sys.stdout.write(json.dumps(plan_document(before, after)) + "\n")
        else:
            out.print(plan_text(before, after), markup=False, soft_wrap=True)


@app.command()
def status(data: DataRoot = DEFAULT_ROOT, as_json: AsJson = False) -> None:
    """Say how the running plane does, per venue and feed."""
    with told_plainly():
        from feedplane_cli.plane import read_status
        from feedplane_cli.table import Rates, render_table

        note = read_note(data)
        document = asyncio.run(read_status(note))
        if as_json:
            sys.stdout.write(json.dumps(document) + "\n")
            return
        rates = Rates()
        render_table(document, rates, [], out.width)
        document = asyncio.run(_a_second_later(note))
        footer = [f"feedset {note['feedset']}, data in {note['data']}"]
        out.print(render_table(document, rates, footer, out.width))


async def _a_second_later(note: dict[str, object]) -> dict[str, object]:
    from feedplane_cli.plane import read_status

    await asyncio.sleep(1.0)  # rates need two looks
    return await read_status(note)


@app.command()
def decode(
    exchange: Annotated[str, typer.Option(help="Venue that the frames are of.")],
    file: Annotated[str, typer.Argument(help="Frame file, gzipped or not; - for standard input.")] = "-",
    instruments: Annotated[
        Optional[list[Path]], typer.Option(help="Body of the venue's own instrument endpoint (repeatable).")  # noqa: UP045
    ] = None,
    books: Annotated[
        Books, typer.Option(help="raw: as the frames carry them; synced: through the book machine.")
    ] = Books.RAW,
    assume_contract_size: Annotated[
        Optional[str], typer.Option(help="For derivatives whose instrument is not known.")  # noqa: UP045
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Stop at the first frame that cannot be decoded, with exit code 1.")
    ] = False,
) -> None:
    """Turn frames into events, one JSON object a line: offline, with no clock and no network."""
    with told_plainly():
        from feedplane_cli.decode import build_adapter, decoded_lines, open_input

        adapter = build_adapter(exchange, instruments or [], assume_contract_size)
        failed = False
        with open_input(file) as source:
            for line in decoded_lines(adapter, source, synced=books is Books.SYNCED, strict=strict):
                sys.stdout.buffer.write(line)
                failed = line.startswith(b'{"type":"decode_error"')
        sys.stdout.buffer.flush()
        if strict and failed:
            raise typer.Exit(EXIT_FAILED)


@app.command()
def record(
    exchange: Annotated[str, typer.Option(help="Venue to record.")],
    symbols: Annotated[str, typer.Option(help="Instruments as the venue spells them, separated by commas.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Frame file; gzipped if it ends in .gz.")],
    for_: Annotated[str, typer.Option("--for", help="How long: 60s, 10m.")] = "60s",
    feeds: Annotated[str, typer.Option(help="Feeds, separated by commas; default: all that the venue offers.")] = "",
    endpoints: Annotated[
        Optional[Path], typer.Option(help="Ready file of `feedplane simex`: record from there.")  # noqa: UP045
    ] = None,
) -> None:
    """Write frames as they come, in the format that `decode` and `simex --play` read."""
    with told_plainly():
        from feedplane_cli.recording import run_recording

        names = [name for name in symbols.split(",") if name]
        if not names:
            raise UsageError("--symbols", "names no instrument")
        seconds = seconds_of(for_, "--for")
        assert seconds is not None
        run_recording(exchange, names, _feeds(feeds), seconds, output, endpoints)


def _feeds(text: str) -> frozenset[Feed] | None:
    try:
        return frozenset(Feed(name) for name in text.split(",") if name) or None
    except ValueError as e:
        raise UsageError("--feeds", str(e), f"one of {', '.join(Feed)}") from e


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def simex(context: typer.Context) -> None:
    """Run simulated venues on loopback, seeded, with a ledger of truth (`feedplane simex --help` for the knobs)."""
    from feedplane_simex.main import main

    raise typer.Exit(main(context.args))


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One statement; - reads it from standard input.")],
    data: DataRoot = DEFAULT_ROOT,
    form: Annotated[Format, typer.Option("--format", help="How the answer is printed.")] = Format.TABLE,
) -> None:
    """Run one statement against the store of the running plane."""
    with told_plainly():
        from feedplane_cli.query import as_table, print_whole, run_query

        note = read_note(data)
        if "clickhouse" not in note["stores"]:
            raise UsageError("--data", "this plane has no ClickHouse")
        body = run_query(note["stores"]["clickhouse"], note["database"], sys.stdin.read() if sql == "-" else sql, form)
        if form is not Format.TABLE:
            sys.stdout.buffer.write(body)
        elif (table := as_table(body)) is not None:
            if note["mode"] != "live":
                err.print(f"{note['mode']} data, not a market", style="yellow")
            print_whole(table)


@journal_app.command("ls")
def journal_ls(path: JournalPath, as_json: AsJson = False) -> None:
    """List segments, cursors and what each writer has still to read."""
    with told_plainly():
        from feedplane_cli.journals import list_journal

        list_journal(path, as_json=as_json)


@journal_app.command("cat")
def journal_cat(
    path: JournalPath,
    record_type: Annotated[Optional[str], typer.Option("--type", help="trade, depth, gap, ...")] = None,  # noqa: UP045
    instrument: Annotated[Optional[str], typer.Option(help="As the venue spells it.")] = None,  # noqa: UP045
    limit: Annotated[int, typer.Option(min=0, help="At most so many rows; 0: all.")] = 0,
) -> None:
    """Print rows as JSON, one a line."""
    with told_plainly():
        from feedplane_cli.journals import cat_journal

        cat_journal(path, record_type, instrument, limit)


@journal_app.command("verify")
def journal_verify(path: JournalPath, as_json: AsJson = False) -> None:
    """Check every frame; exit code 1 if something is wrong."""
    with told_plainly():
        from feedplane_cli.journals import verify_journal

        if not verify_journal(path, as_json=as_json):
            raise typer.Exit(EXIT_FAILED)


@journal_app.command("repair")
def journal_repair(
    path: JournalPath, apply: Annotated[bool, typer.Option("--apply", help="Do it; without, only tell.")] = False
) -> None:
    """Cut a torn tail and set bad frames aside in quarantine. Dry run without --apply."""
    with told_plainly():
        from feedplane_cli.journals import repair_journal

        repair_journal(path, apply=apply)


@ddl_app.command("apply")
def ddl_apply(
    url: Annotated[Optional[str], typer.Option(help="HTTP address; default: the running plane's.")] = None,  # noqa: UP045
    database: Annotated[str, typer.Option(help="Database of the tables.")] = "marketdata",
    cluster: Annotated[Optional[str], typer.Option(help="Name of the cluster: local and Distributed tables.")] = None,  # noqa: UP045
    user: Annotated[str, typer.Option(help="Who applies.")] = "default",
    password_file: Annotated[Optional[Path], typer.Option(help="File with the password.")] = None,  # noqa: UP045
    data: DataRoot = DEFAULT_ROOT,
) -> None:
    """Bring all tables to the newest form; safe to repeat."""
    with told_plainly():
        from feedplane_cli.tables import apply_tables

        address = url or read_note(data)["stores"]["clickhouse"]
        apply_tables(address, database, cluster, user, password_file)


def run() -> None:
    """Entry point. A bug is a traceback; wrong use and failed work never are."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except FeedplaneError as e:
        fail(str(e), EXIT_USAGE if isinstance(e, UsageError) else EXIT_FAILED)

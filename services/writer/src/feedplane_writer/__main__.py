"""`python -m feedplane_writer --sink clickhouse --config FILE (--journal DIR... | --journal-root DIR)`."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from feedplane_journal.lean import import_pyarrow

if TYPE_CHECKING:
    from feedplane_ops.signals import StopSignal

    from .runtime import Runtime
    from .settings import WriterSettings

logger = logging.getLogger(__name__)

SINKS: Final = {"clickhouse": "feedplane_writer.clickhouse_sink.main", "redis": "feedplane_writer.redis_sink.main"}

_MALLOC_OPTIONS: Final = ((-8, 1), (-3, 1 << 20), (-1, 8 << 20))
"""M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of glibc's malloc.h."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="feedplane_writer", description="Writes journals to a store until told to stop."
    )
    made.add_argument("--sink", required=True, choices=sorted(SINKS))
    made.add_argument("--config", required=True, type=Path, help="JSON or YAML file with the store's part")
    made.add_argument("--journal", action="append", default=[], type=Path, metavar="DIR", help="a journal; repeatable")
    made.add_argument(
        "--journal-root",
        type=Path,
        metavar="DIR",
        help="every journal directly under DIR, also those that appear later",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the writer; exit code 0 stopped, 1 failed, 2 wrong use."""
    args = parser().parse_args(arguments)
    if not args.journal and args.journal_root is None:
        parser().error("one of --journal and --journal-root is needed")
    spare_memory()
    import_pyarrow()
    from feedplane_ops.logging import setup_logging
    from feedplane_ops.settings import fail_usage
    from feedplane_ops.signals import run_service
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from .settings import WriterSettings

    try:
        settings = WriterSettings()
    except (ValidationError, SettingsError) as e:
        fail_usage(e)
    setup_logging(f"writer-{args.sink}", settings.log_level, instance=settings.instance)
    return run_service(lambda stop: serve(args, settings, stop))


def spare_memory() -> None:
    """Have memory given back: one heap for all threads, the largest blocks mapped by themselves, Arrow on the same allocator.

    Measured on a backlog with the store away: 98 MiB resident instead of 120. Smaller thresholds save nothing there, and
    cost half of the writer's CPU in page faults. Without glibc's `mallopt` nothing changes.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _MALLOC_OPTIONS:
            mallopt(option, value)


def leave_word(path: Path, status: object) -> None:
    """The last status, for whoever asks after the process has gone."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(status, default=str))
    temporary.replace(path)


def leave_termination_word(path: Path | None, word: Mapping[str, Any]) -> None:
    """Written in place: a container's termination file is a mount of its own."""
    from .words import fitted

    if path is None:
        return
    try:
        path.write_text(fitted(word))
    except OSError as e:
        logger.error("termination word not written", extra={"error": str(e), "word": fitted(word)})


async def serve(args: argparse.Namespace, settings: WriterSettings, stop: StopSignal) -> int:
    """Set up health, metrics and status, print the port as one JSON line, and run the sink."""
    from feedplane_ops.health import Health
    from feedplane_ops.http import HealthServer
    from feedplane_ops.metrics import Metrics

    from .config import load_config
    from .runtime import Runtime

    config = load_config(args.config)
    run: Callable[[Runtime], Awaitable[int]] = importlib.import_module(SINKS[args.sink]).run
    metrics = Metrics(
        "writer",
        settings.instance,
        otlp_endpoint=settings.otlp_endpoint,
        otlp_headers=settings.otlp_headers(),
        otlp_interval_s=settings.otlp_interval_s,
    )
    health = Health()
    server = HealthServer(health, metrics.render)
    answers: list[Callable[[], object]] = []
    server.route("/status", lambda: answers[-1]() if answers else {})
    runtime = Runtime(
        config=config,
        stop=stop,
        metrics=metrics,
        health=health,
        set_status=answers.append,
        journal_paths=tuple(args.journal),
        journal_root=args.journal_root,
        leave_word=lambda word: leave_termination_word(settings.termination_file, word),
        spool_dies=settings.spool_dies,
    )
    port = await server.start(settings.metrics_host, settings.metrics_port)
    print(json.dumps({"event": "listening", "port": port, "sink": args.sink}), flush=True)
    gc.collect()
    gc.freeze()  # modules and settings are never looked at again; what comes now is short-lived and has few cycles
    try:
        return await run(runtime)
    finally:
        if settings.status_file is not None and answers:
            leave_word(settings.status_file, answers[-1]())
        await server.stop()
        metrics.close()


if __name__ == "__main__":
    sys.exit(main())

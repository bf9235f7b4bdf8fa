"""`python -m feedplane_clickhouse_lite`: bind, start the engine, say where, serve until told to stop."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import IO, Final

from aiohttp import web
from feedplane_core.errors import UsageError
from feedplane_ops.logging import setup_logging
from feedplane_ops.signals import EXIT_OK, EXIT_USAGE, StopSignal, run_service
from pydantic import ValidationError
from pydantic_settings import SettingsError

from feedplane_clickhouse_lite.app import Front, Served
from feedplane_clickhouse_lite.engine import Engine
from feedplane_clickhouse_lite.executor import Executor
from feedplane_clickhouse_lite.settings import ENV_PREFIX, Settings, setting_lines
from feedplane_clickhouse_lite.telemetry import Telemetry
from feedplane_clickhouse_lite.users import load_users

logger = logging.getLogger(__name__)

_BACKLOG: Final = 512
_READ_BUFFER_BYTES: Final = 1 << 20
_SWEEP_S: Final = 5.0
_SHUTDOWN_S: Final = 0.2


def main() -> int:
    """Run the service and return its exit code: 0 stopped, 1 failed, 2 wrong settings or a directory or port in use."""
    try:
        settings = Settings()  # type: ignore[call-arg]  # from the environment
    except (ValidationError, SettingsError) as e:
        print("\n".join(setting_lines(e)), file=sys.stderr)
        return EXIT_USAGE
    setup_logging("clickhouse-lite", settings.log_level)
    try:
        return run_service(lambda stop: serve(settings, stop))
    finally:
        logging.shutdown()


async def serve(settings: Settings, stop: StopSignal) -> int:
    """Serve until `stop`.

    Raises:
        UsageError: the directory or the port is in use, or settings contradict each other.
    """
    users = load_users(settings.users_file, settings.password_file)
    if not settings.is_loopback and not users.need_password:
        raise UsageError("host", f"{settings.host} is not loopback, and a user has no password", "set a password_file")
    with lock(settings.data_dir), bound(settings.host, settings.port) as listener:
        engine = Engine(settings.data_dir / "db")
        engine.open(settings, users)
        executor = Executor(engine, settings)
        telemetry = Telemetry(executor)
        served = Served(engine.version, engine.timezone, socket.gethostname())
        front = Front(settings, users, executor, telemetry, served)
        runner = web.AppRunner(
            front.application(),
            access_log=None,
            handler_cancellation=True,  # a client that goes cancels its query
            auto_decompress=False,  # all encodings are ours, and bounded
            shutdown_timeout=_SHUTDOWN_S,
            read_bufsize=_READ_BUFFER_BYTES,
        )
        await runner.setup()
        site = web.SockSite(runner, listener, backlog=_BACKLOG)
        await site.start()
        announce(settings, listener)
        try:
            while not await stop.sleep(_SWEEP_S):
                executor.close_idle_sessions()
        finally:
            (settings.data_dir / "http.port").unlink(missing_ok=True)
            await site.stop()
            await executor.stop(settings.stop_timeout_s)
            await runner.cleanup()
            telemetry.close()
    return EXIT_OK


def announce(settings: Settings, listener: socket.socket) -> None:
    """Write the port where others look for it, and one JSON line to stdout."""
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    draft = settings.data_dir / "http.port.tmp"
    draft.write_text(f"{port}\n", encoding="ascii")
    draft.replace(settings.data_dir / "http.port")
    print(json.dumps({"event": "listening", "url": f"http://{host}:{port}", "port": port}), flush=True)


def lock(data_dir: Path) -> IO[str]:
    """The data directory, ours until the file returned is closed or the process ends, however it ends.

    Raises:
        UsageError: another process has it, or it cannot be written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (data_dir / "lock").open("a+", encoding="ascii")
    except OSError as e:
        raise UsageError("data_dir", f"{data_dir} cannot be used: {e.strerror}") from e
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read(32).strip() or "unknown"
        file.close()
        raise UsageError("data_dir", f"{data_dir} is in use by process {owner}") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not yet listening: a port in use is told before the engine starts.

    Raises:
        UsageError: the port is in use or the address is not ours.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except OSError as e:
        raise UsageError("host", f"{host} cannot be resolved: {e.strerror}") from e
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setblocking(False)
    try:
        listener.bind(address)
    except OSError as e:
        listener.close()
        raise UsageError("port", f"{host}:{port} cannot be bound: {e.strerror}", f"set {ENV_PREFIX}PORT") from e
    return listener


if __name__ == "__main__":
    # Not sys.exit: a thread that is still inside of the engine would be waited for. What was acknowledged is on disk.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

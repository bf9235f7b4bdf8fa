"""One node of the Redis stand-in: a redis-server with its password from a file; the first node of a cluster forms it.

Runs in the redis image with the standard library alone. Forming is level-triggered: once a second the first node looks
at all nodes and does the next step towards a cluster whose slots are all served and whose primaries have replicas,
whether nothing has been formed yet or a pod came back without its memory. It acts only while every node answers.

Environment, all FEEDPLANE_REDIS_*: DATA_DIR, HOST, PORT, PASSWORD_FILE, MAX_MEMORY; and for a cluster NODES (JSON list
of host:port, an even number from 6; the first half starts as primaries) and NODE (which of them this is).
With `--check`: exit code 0 if the server answers and its cluster, if any, is well.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SLOTS = 16_384
LOOK_EVERY_S = 1.0
TIMEOUT_S = 3.0
Reply = str | int | list["Reply"] | None
Step = tuple[int, tuple[str, ...]]
"""Index of the node that is told, and what."""


class Refusal(Exception):
    """An error that Redis answered."""


@dataclass(frozen=True)
class Line:
    """One node as another sees it."""

    id: str
    address: str
    flags: frozenset[str]
    primary: str
    slots: frozenset[int]

    @property
    def is_primary(self) -> bool:
        return "master" in self.flags


@dataclass(frozen=True)
class View:
    """What one node that answers says of the cluster: itself, and everybody by id."""

    me: Line
    lines: dict[str, Line]


def read_view(text: str) -> View:
    """The answer to CLUSTER NODES; those of a handshake have no id yet and are left out."""
    lines = [line for line in map(_read_line, text.splitlines()) if "handshake" not in line.flags]
    return View(next(line for line in lines if "myself" in line.flags), {line.id: line for line in lines})


def _read_line(text: str) -> Line:
    name, address, flags, primary, _, _, _, _, *ranges = text.split()
    slots: set[int] = set()
    for span in ranges:
        if not span.startswith("["):  # a slot on the move
            first, _, last = span.partition("-")
            slots.update(range(int(first), int(last or first) + 1))
    return Line(name, address.partition("@")[0], frozenset(flags.split(",")), primary, frozenset(slots))


def next_steps(views: Sequence[View], addresses: Sequence[str]) -> list[Step]:
    """What to tell the nodes now; nothing when all is well or only time is needed. `addresses` are ip:port."""
    alive = [view.me.id for view in views]
    if len(set(alive)) < len(alive):  # a name still leads to an address that another pod has now
        return []
    ghosts = {name: line for view in views for name, line in view.lines.items() if name not in alive}
    return (
        _inherited(views, ghosts)
        or _forgotten(views, ghosts)
        or _met(views, addresses)
        or _served(views)
        or _followed(views)
    )


def _inherited(views: Sequence[View], ghosts: dict[str, Line]) -> list[Step]:
    """A replica of a former self takes over at once. Redis would not always do it by itself: a former self whose address
    answers as somebody else counts as without address, and is then never found to have failed.
    """
    heirs = {view.me.primary: i for i, view in enumerate(views) if view.me.primary in ghosts}
    return [(i, ("CLUSTER", "FAILOVER", "TAKEOVER")) for i in heirs.values()]


def _forgotten(views: Sequence[View], ghosts: dict[str, Line]) -> list[Step]:
    """Former selves of pods that lost their memory go; what only they had is lost with them."""
    return [(i, ("CLUSTER", "FORGET", name)) for name in ghosts for i, view in enumerate(views) if name in view.lines]


def _met(views: Sequence[View], addresses: Sequence[str]) -> list[Step]:
    """The first node meets everybody whom it does not know, or who knows it under no address."""
    first = views[0]
    return [
        (0, ("CLUSTER", "MEET", *address.rsplit(":", 1)))
        for view, address in zip(views[1:], addresses[1:], strict=True)
        if view.me.id not in first.lines or first.me.id not in view.lines
    ]


def _served(views: Sequence[View]) -> list[Step]:
    """Slots that nobody serves: a third each at first, later to primaries without any, else to the smallest."""
    primaries = [i for i, view in enumerate(views) if view.me.is_primary]
    free = sorted(set(range(SLOTS)).difference(*(view.me.slots for view in views)))
    if not free:
        return []
    if len(free) == SLOTS:
        takers = list(range(len(views) // 2))
    else:
        idle = [i for i in primaries if not views[i].me.slots]
        takers = idle[:1] or [min(primaries, key=lambda i: len(views[i].me.slots))]
    shares = [free[len(free) * n // len(takers) : len(free) * (n + 1) // len(takers)] for n in range(len(takers))]
    return [(i, ("CLUSTER", "ADDSLOTS", *map(str, share))) for i, share in zip(takers, shares, strict=True)]


def _followed(views: Sequence[View]) -> list[Step]:
    """A primary without slots follows the one with the fewest replicas; one at a time."""
    serving = [view.me.id for view in views if view.me.slots]
    replicas = {name: sum(view.me.primary == name for view in views) for name in serving}
    idle = [i for i, view in enumerate(views) if view.me.is_primary and not view.me.slots]
    if not idle or not all(name in views[idle[0]].lines for name in serving):
        return []
    return [(idle[0], ("CLUSTER", "REPLICATE", min(serving, key=lambda name: replicas[name])))]


# The wire


class Connection:
    """One connection to a node, in Redis' own protocol. Raises: OSError, Refusal."""

    def __init__(self, host: str, port: int, password: str) -> None:
        self._socket = socket.create_connection((host, port), TIMEOUT_S)
        self._reader = self._socket.makefile("rb")
        if password:
            self.call("AUTH", password)

    @property
    def address(self) -> str:
        host, port = self._socket.getpeername()[:2]
        return f"{host}:{port}"

    def call(self, *words: str) -> Reply:
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            raw = word.encode()
            parts += [b"$%d\r\n" % len(raw), raw, b"\r\n"]
        self._socket.sendall(b"".join(parts))
        return self._read()

    def _read(self) -> Reply:
        line = self._reader.readline()
        if not line:
            raise ConnectionResetError("closed")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise Refusal(text)
        if kind == b"$":
            return None if text == "-1" else self._reader.read(int(text) + 2)[:-2].decode()
        if kind == b"*":
            return [self._read() for _ in range(int(text))]
        return int(text) if kind == b":" else text

    def close(self) -> None:
        self._reader.close()
        self._socket.close()


def form(nodes: Sequence[str], password: str) -> list[Step]:
    """One look at all nodes, and the next steps done. Raises: OSError while one does not answer, Refusal."""
    connections: list[Connection] = []
    try:
        for node in nodes:
            host, _, port = node.rpartition(":")
            connections.append(Connection(host, int(port), password))
        views = [read_view(str(connection.call("CLUSTER", "NODES"))) for connection in connections]
        steps = next_steps(views, [connection.address for connection in connections])
        for index, words in steps:
            connections[index].call(*words)
        return steps
    finally:
        for connection in connections:
            connection.close()


# The process


def env(name: str, default: str = "") -> str:
    return os.environ.get(f"FEEDPLANE_REDIS_{name}", default)


def read_password() -> str:
    return Path(env("PASSWORD_FILE")).read_text().rstrip("\r\n") if env("PASSWORD_FILE") else ""


def config_lines(password: str) -> Iterator[str]:
    """redis.conf. Nothing is written to disk but who is in the cluster: the stores' writers fill it again."""
    yield f"bind {env('HOST', '127.0.0.1')}"
    yield f"port {env('PORT', '6379')}"
    yield f"dir {env('DATA_DIR')}"
    yield from ('save ""', "appendonly no", "protected-mode no", "maxmemory-policy allkeys-lru")
    yield f"maxmemory {env('MAX_MEMORY', '0')}"
    if password:
        quoted = json.dumps(password, ensure_ascii=False)
        yield from (f"requirepass {quoted}", f"masterauth {quoted}")
    if env("NODES"):
        yield from ("cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 5000")
        yield from ("cluster-require-full-coverage no", "cluster-replica-validity-factor 0")
        yield from ("cluster-allow-replica-migration no", "repl-diskless-sync yes", "repl-diskless-sync-delay 0")


def is_well(password: str) -> bool:
    """Whether the server of this node answers, and its cluster serves every slot."""
    try:
        connection = Connection("127.0.0.1", int(env("PORT", "6379")), password)
        answered = connection.call("PING") == "PONG"
        info = str(connection.call("CLUSTER", "INFO")) if env("NODES") else ""
        connection.close()
    except (OSError, Refusal):
        return False
    return answered and (not info or ("cluster_state:ok" in info and f"cluster_slots_ok:{SLOTS}" in info))


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def run(password: str) -> int:
    """The server until it ends or a signal comes; its exit code."""
    config = Path(env("DATA_DIR")) / "redis.conf"
    config.touch(mode=0o600)
    config.write_text("\n".join(config_lines(password)) + "\n")
    server = subprocess.Popen(["redis-server", str(config)])  # noqa: S603, S607 - from the image's own path
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: server.send_signal(number))
    nodes = json.loads(env("NODES", "[]"))
    is_former = bool(nodes) and env("NODE") == nodes[0]
    said = ""
    while server.poll() is None:
        if is_former:
            try:
                steps = form(nodes, password)
                now = "; ".join(f"{nodes[index]} {' '.join(words[:3])}" for index, words in steps)
            except (OSError, Refusal) as e:
                now = f"waiting: {e}"
            if now != said:
                say("cluster", state=now or "formed")
                said = now
        time.sleep(LOOK_EVERY_S)
    return server.returncode


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 stopped or well, 1 not well, 2 wrong settings."""
    password = read_password()
    if "--check" in arguments:
        return 0 if is_well(password) else 1
    if not password and env("HOST", "127.0.0.1") != "127.0.0.1":
        print("FEEDPLANE_REDIS_HOST: is not loopback, and there is no PASSWORD_FILE", file=sys.stderr)
        return 2
    if "\n" in password:
        print("FEEDPLANE_REDIS_PASSWORD_FILE: has more than one line", file=sys.stderr)
        return 2
    return run(password)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Commands as the bytes that go over the wire. Everything that does not change from one write to the next is made once. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .kinds import HEAD_FIELDS, Kind
from .scripts import MARK_SHA, VALUE_SHAS


def bulk(value: bytes) -> bytes:
    """One argument."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def command(*args: bytes) -> bytes:
    """A whole command."""
    return b"*%d\r\n%b" % (len(args), b"".join(map(bulk, args)))


ASKING = command(b"ASKING")

_VALUE_CONTROLS = 3  # limit, ttl, refresh
_LENGTHS = tuple(f"${n}\r\n" for n in range(256))


def value_prefix(kind: Kind, key: bytes) -> bytes:
    """What stands before the controls of a guarded write to `key`."""
    args = 4 + _VALUE_CONTROLS + len(HEAD_FIELDS) + len(kind.fields) + 2
    return b"*%d\r\n%b" % (args, b"".join(map(bulk, (b"EVALSHA", VALUE_SHAS[kind], b"1", key))))


def value_controls(limit_ns: int, ttl_ms: int, refresh: bool) -> bytes:
    """Stored times beyond `limit_ns` are wrong and give way; `refresh` sets the TTL also on a key that has one."""
    return bulk(b"%d" % limit_ns) + bulk(b"%d" % ttl_ms) + bulk(b"1" if refresh else b"")


def value_body(values: Sequence[str]) -> bytes:
    """The values of a write. They are ASCII and short: numbers."""
    lengths = _LENGTHS
    return ("\r\n".join([lengths[len(value)] + value for value in values]) + "\r\n").encode()


def state_tail(state: str) -> bytes:
    """The last argument of a write but for the owner."""
    return bulk(state.encode())


_TRADE_FIELDS = tuple(bulk(name) for name in (b"px", b"qty", b"side", b"trade_id", b"ts_event_ns", b"ts_recv_ns"))


def trade_body(values: Sequence[str]) -> bytes:
    """The fields of a trade but for its state."""
    fields = zip(_TRADE_FIELDS, values, strict=True)
    return b"".join([name + bulk(value.encode()) for name, value in fields]) + _NO_SEQ


_NO_SEQ = bulk(b"seq") + bulk(b"")
STATE_FIELD = bulk(b"state")


def mark_command(key: bytes, mark_ns: int, state: str, claim: bytes, *, release: bool) -> bytes:
    """Sets `state` alone, unless the key holds something newer than `mark_ns` or nothing, or is another's."""
    return command(b"EVALSHA", MARK_SHA, b"1", key, b"%d" % mark_ns, state.encode(), claim, b"1" if release else b"")


def xadd_prefix(key: bytes, max_length: int) -> bytes:
    """What stands before the id of a trade: `XADD key MAXLEN ~ n`, then an id and 8 fields."""
    head = (b"XADD", key, b"MAXLEN", b"~", b"%d" % max_length)
    return b"*%d\r\n%b" % (len(head) + 1 + 16, b"".join(map(bulk, head)))


def heal_command(sha: bytes, key: bytes, limit_ms: int) -> bytes:
    """Deletes a stream whose last id lies beyond `limit_ms`."""
    return command(b"EVALSHA", sha, b"1", key, b"%d" % limit_ms)

"""Fault knobs: what they are called, how they are written, which of them is to strike now.

A fault is written `name[:key=value,...]`: `drop:p=0.1,feed=trades`, `cut:exchange=coinbase,after=5s`. Every one is seeded, so that a run repeats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from feedplane_core.errors import UsageError
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

if TYPE_CHECKING:
    from .sockets import Socket


class Scope(Enum):
    """Where a fault strikes."""

    MESSAGE = "message"  # judged for every message
    REST = "rest"  # judged for every request
    CONNECT = "connect"  # judged for every new socket
    ACT = "act"  # done once, when its time comes


class Kind(msgspec.Struct, frozen=True):
    """One knob: its scope, its own parameters with their defaults, and what it does."""

    scope: Scope
    params: Mapping[str, str]
    does: str
    once: bool = False  # strikes a single time unless `count` says otherwise


KINDS: dict[str, Kind] = {
    "stall": Kind(Scope.MESSAGE, {}, "withholds messages; sockets stay open and answer pings"),
    "drop": Kind(Scope.MESSAGE, {}, "withholds single messages (p=, every=, count=)"),
    "duplicate": Kind(Scope.MESSAGE, {}, "sends messages twice"),
    "reorder": Kind(Scope.MESSAGE, {"every": "2"}, "swaps a message with the next one of its channel"),
    "bad_checksum": Kind(Scope.MESSAGE, {}, "gives book messages a checksum that does not fit", once=True),
    "malformed": Kind(
        Scope.MESSAGE, {"how": "json"}, "breaks a message: json utf8 nan huge negzero dupkeys deep unknown", once=True
    ),
    "drift": Kind(Scope.MESSAGE, {"how": "extra"}, "changes a message's schema: extra missing type"),
    "status": Kind(Scope.REST, {"code": "429", "retry_after": "5"}, "answers requests with 429 or 418 and Retry-After"),
    "rest_fail": Kind(Scope.REST, {"code": "503"}, "answers requests with a server error"),
    "rest_slow": Kind(Scope.REST, {"delay": "3s"}, "answers requests late"),
    "stale_snapshot": Kind(Scope.REST, {}, "answers from the books as they stood when the simulation began"),
    "refuse": Kind(
        Scope.CONNECT, {"code": "0"}, "refuses new sockets: code=0 resets the connection, else that HTTP status"
    ),
    "cut": Kind(
        Scope.ACT,
        {"code": "0", "age": "0"},
        "closes sockets now (code=0: without a closing frame), or each at an age, for as long as it stands",
    ),
    "half_open": Kind(Scope.ACT, {}, "stops answering on open sockets: no data, no pongs, no FIN"),
    "notice": Kind(Scope.ACT, {"grace": "2s"}, "sends the venue's shutdown notice, then closes after the grace"),
    "resend": Kind(Scope.ACT, {"n": "500"}, "sends the last n messages of a venue again"),
    "giant": Kind(Scope.ACT, {"bytes": "67108864"}, "sends one frame of so many bytes"),
    "fragments": Kind(Scope.ACT, {"n": "100000"}, "sends one message in so many fragments"),
    "deflate_bomb": Kind(Scope.ACT, {"bytes": "67108864"}, "sends one compressed frame that inflates to so many bytes"),
    "seq_jump": Kind(Scope.ACT, {"n": "100"}, "lets book numbers and trade ids jump ahead by n, as if n were lost"),
    "seq_reset": Kind(Scope.ACT, {"to": "0"}, "lets book numbers start again"),
    "list": Kind(Scope.ACT, {}, "lists a new instrument (symbol=, else the next made-up one)"),
    "delist": Kind(Scope.ACT, {}, "ends an instrument (symbol=)"),
    "halt": Kind(Scope.ACT, {}, "halts an instrument (symbol=), until for= has passed or for good"),
    "resume": Kind(Scope.ACT, {}, "resumes a halted instrument (symbol=)"),
    "flood": Kind(Scope.ACT, {"x": "10"}, "multiplies the rate by x, for as long as it stands"),
    "skew": Kind(Scope.ACT, {"by": "1h"}, "moves the venue's clock by so much, for as long as it stands"),
}
_COMMON = {"exchange", "instrument", "symbol", "feed", "socket", "p", "every", "count", "after", "for"}
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)(ns|us|ms|s|m|h)?")
_UNIT_NS = {
    "ns": 1,
    "us": 1000,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
    None: NS_PER_S,
}


def duration_ns(text: str, field: str) -> int:
    """`250ms`, `5s`, `1h`; a bare number is seconds. Raises: UsageError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(field, f"{text!r} is no duration", "write 250ms, 5s or 1h")
    whole, _, fraction = match[1].partition(".")
    unit_ns = _UNIT_NS[match[2]]
    sign = -1 if whole.startswith("-") else 1
    return int(whole) * unit_ns + sign * (int(fraction) * unit_ns // 10 ** len(fraction) if fraction else 0)


class Fault:
    """One knob as it was set, and how often it has struck."""

    def __init__(self, number: int, spec: str, name: str, values: Mapping[str, str], seed: str, now_ns: int) -> None:
        self.number = number
        self.spec = spec
        self.name = name
        self.kind = KINDS[name]
        self.values = {**self.kind.params, **values}
        self.exchange = values.get("exchange", "")
        self.instrument = values.get("symbol", values.get("instrument", ""))
        self.feed = Feed(values["feed"]) if "feed" in values else None
        self.socket = int(values["socket"]) if "socket" in values else None
        self.every = int(self.values.get("every", "1"))
        self.left = int(values["count"]) if "count" in values else (1 if self.kind.once else -1)
        self.from_ns = now_ns + duration_ns(values.get("after", "0"), "after")
        self.until_ns = self.from_ns + duration_ns(values["for"], "for") if "for" in values else None
        self.hits = 0
        self.is_done = False  # an act that was performed
        self.warned: list[Socket] = []  # by a notice, to be closed after its grace
        self._per_mille_million = int(float(values.get("p", "1")) * 1_000_000)
        self._random = Random(f"{seed}:{number}:{spec}")  # noqa: S311 - to be repeated, not to be secret
        self._seen = 0

    def is_live(self, now_ns: int) -> bool:
        return self.left != 0 and now_ns >= self.from_ns and (self.until_ns is None or now_ns < self.until_ns)

    def is_over(self, now_ns: int) -> bool:
        return self.left == 0 or (self.until_ns is not None and now_ns >= self.until_ns)

    def concerns(self, exchange: str, instrument: str, feeds: frozenset[Feed]) -> bool:
        return (
            (not self.exchange or self.exchange == exchange)
            and (not self.instrument or self.names(instrument))
            and (self.feed is None or self.feed in feeds)
        )

    def names(self, instrument: str) -> bool:
        """Whether it is meant: by its name in the world, or by its spelling where the venue spells two markets' alike (`linear/BTCUSDT`)."""
        return self.instrument in ("", instrument, instrument.rpartition("/")[2])

    def strikes(self) -> bool:
        """Whether this is one of those hit; counts."""
        self._seen += 1
        if self.every > 1 and self._seen % self.every:
            return False
        if self._per_mille_million < 1_000_000 and self._random.randrange(1_000_000) >= self._per_mille_million:
            return False
        self.hits += 1
        if self.left > 0:
            self.left -= 1
        return True

    def take_back(self) -> None:
        """The last strike found nothing to break."""
        self.hits -= 1
        if self.left >= 0:
            self.left += 1

    def number_of(self, key: str) -> int:
        """An integer parameter. Raises: UsageError."""
        try:
            return int(self.values[key])
        except ValueError:
            raise UsageError(f"fault {self.name}", f"{key}={self.values[key]!r} is no integer") from None

    def span_ns(self, key: str) -> int:
        return duration_ns(self.values[key], f"fault {self.name}: {key}")

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.number, "fault": self.spec, "hits": self.hits}


class FaultBoard:
    """All faults in force."""

    def __init__(self, seed: str) -> None:
        self.faults: list[Fault] = []
        self._seed = seed
        self._numbers = 0

    def add(self, spec: str, now_ns: int) -> Fault:
        """Raises: UsageError for an unknown name, key or value."""
        name, _, tail = spec.partition(":")
        kind = KINDS.get(name)
        if kind is None:
            raise UsageError("fault", f"{name!r} is not known", f"one of {' '.join(KINDS)}")
        values: dict[str, str] = {}
        for pair in filter(None, tail.split(",")):
            key, equals, value = pair.partition("=")
            if not equals or (key not in _COMMON and key not in kind.params):
                raise UsageError(
                    f"fault {name}",
                    f"{pair!r} is not understood",
                    f"keys: {' '.join(sorted(_COMMON | set(kind.params)))}",
                )
            values[key] = value
        self._numbers += 1
        try:
            fault = Fault(self._numbers, spec, name, values, self._seed, now_ns)
        except ValueError as error:
            raise UsageError(f"fault {name}", str(error)) from None
        for key in kind.params:
            self._check(fault, key)
        self.faults.append(fault)
        return fault

    @staticmethod
    def _check(fault: Fault, key: str) -> None:
        if key in ("code", "n", "bytes", "to", "x"):
            fault.number_of(key)
        elif key in ("age", "grace", "delay", "by", "retry_after"):
            fault.span_ns(key)

    def remove(self, number: int | None = None) -> int:
        """One fault, or all; returns how many are gone."""
        kept = [f for f in self.faults if number is not None and f.number != number]
        gone, self.faults = len(self.faults) - len(kept), kept
        return gone

    def expire(self, now_ns: int) -> list[Fault]:
        """Forget those that are over; returns them."""
        over = [f for f in self.faults if f.is_over(now_ns)]
        if over:
            self.faults = [f for f in self.faults if f not in over]
        return over

    def live(self, scope: Scope, now_ns: int) -> list[Fault]:
        return [f for f in self.faults if f.kind.scope is scope and f.is_live(now_ns)]

    def hit(
        self, exchange: str, instrument: str, feeds: frozenset[Feed], now_ns: int, *, is_data: bool
    ) -> Fault | None:
        """The first message fault that strikes this message. What carries no data (heartbeats) can be stalled and nothing else."""
        for fault in self.faults:
            if (
                fault.kind.scope is Scope.MESSAGE
                and (is_data or fault.name == "stall")
                and fault.is_live(now_ns)
                and fault.concerns(exchange, instrument, feeds)
                and fault.strikes()
            ):
                return fault
        return None

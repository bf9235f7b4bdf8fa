"""Who collected a shard, and until when: what collectors say of themselves now and then, and what a successor concludes from it. Pure.

A journal that survives knows where it ended. One that is lost with its pod does not, and its successor's journal knows nothing of it; but what the lost one
said of itself is in the store. The same is said by every copy of a shard, so two that ran side by side can be told from two with a hole between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from .names import NS_PER_S, Feed

HEARTBEAT_NS: Final = 5 * NS_PER_S
ALIVE: Final = "alive"
ENDED: Final = "ended"
WHOLE_SHARD: Final = ""
"""The instrument of these rows: they speak of all."""
MARGIN_NS: Final = 2 * HEARTBEAT_NS
"""How much earlier than the last word a hole begins: what its venue had sent by then need not have arrived, and rows of other tables may have been on their way."""
SETTLED_NS: Final = 4 * HEARTBEAT_NS
"""A life that was shorter and did not end by itself may have been lost before the hole in front of it was declared."""
LOOK_BACK_NS: Final = 30 * 86_400 * NS_PER_S

_DETAIL: Final = re.compile(r"(?P<source>\S+)-(?P<shard>\d+)/(?P<shards>\d+) (?P<journal>\S+) (?P<feeds>\S*)").fullmatch


class Speaker(NamedTuple):
    """One journal of one shard. `source` is `<feedset>/<entry>`; `shards` how many the entry had."""

    source: str
    shard: int
    shards: int
    journal: str
    feeds: tuple[Feed, ...]

    def detail(self) -> str:
        """The `detail` of its rows: `majors/okx-0/2 5f0c81aa3b21 l1,trades`."""
        return f"{self.prefix}{self.shard}/{self.shards} {self.journal} {','.join(self.feeds)}"

    @property
    def prefix(self) -> str:
        """What the details of all shards of the source begin with."""
        return f"{self.source}-"


def speaker_of(detail: str) -> Speaker | None:
    """Inverse of `Speaker.detail`; `None` for any other text. Feeds that this version does not know are left out."""
    found = _DETAIL(detail)
    if found is None:
        return None
    feeds = tuple(Feed(name) for name in found["feeds"].split(",") if name in Feed.__members__.values())
    return Speaker(found["source"], int(found["shard"]), int(found["shards"]), found["journal"], feeds)


class Life(NamedTuple):
    """When a journal spoke first and last; `has_ended`: its last word was that it ends."""

    speaker: Speaker
    first_ns: int
    last_ns: int
    has_ended: bool

    @property
    def is_settled(self) -> bool:
        return self.has_ended or self.last_ns - self.first_ns >= SETTLED_NS


def hole_before(own: Speaker, arrived_ns: int, lives: Iterable[Life]) -> int | None:
    """Where the hole begins that ends with the first word of `own` at `arrived_ns`; `None` where there is none.

    There is none where nobody was before it, and where a predecessor was still heard at `arrived_ns`: both followed the shard then. How recent the last word is
    proves nothing: a pod can be replaced within seconds. After another number of shards all of the old ones are predecessors, and the first that fell silent counts.
    """
    before = [
        life
        for life in _by_journal(lives)
        if life.speaker.source == own.source and life.speaker.journal != own.journal and life.first_ns < arrived_ns
    ]
    if not before:
        return None
    shards = max(before, key=lambda life: life.last_ns).speaker.shards
    by_shard: dict[int, list[Life]] = {}
    for life in before:
        if life.speaker.shards == shards and (shards != own.shards or life.speaker.shard == own.shard):
            by_shard.setdefault(life.speaker.shard, []).append(life)
    reached_ns = min((_reached_ns(of_shard, arrived_ns) for of_shard in by_shard.values()), default=arrived_ns)
    return None if reached_ns >= arrived_ns else reached_ns - MARGIN_NS


def _by_journal(lives: Iterable[Life]) -> list[Life]:
    """One a journal: its words may lie on several shards of the store, and name other feeds from some time on."""
    merged: dict[str, Life] = {}
    for life in lives:
        held = merged.setdefault(life.speaker.journal, life)
        later = max(held, life, key=lambda one: one.last_ns)
        merged[life.speaker.journal] = later._replace(first_ns=min(held.first_ns, life.first_ns))
    return list(merged.values())


def _reached_ns(lives: list[Life], arrived_ns: int) -> int:
    """Up to when these journals of one shard leave no hole that is not declared."""
    newest_ns = max(life.last_ns for life in lives)
    if newest_ns >= arrived_ns:
        return newest_ns
    settled = [life.last_ns for life in lives if life.is_settled]
    return max(settled, default=min(life.last_ns for life in lives))

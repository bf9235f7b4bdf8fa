"""What no field shows alone: names that collide, sinks that are not there, one stream collected twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from .exchanges import ExchangeEntry
from .loader import Path
from .model import FeedSet
from .sinks import SinkName
from .suggest import nearest

Finding = tuple[Path, str, str | None]


def cross_problems(feedset: FeedSet) -> list[Finding]:
    """Path, message and suggestion of each problem between the parts of a well-formed FeedSet."""
    return [*_names(feedset), *_sinks(feedset), *_overlaps(feedset)]


def _names(feedset: FeedSet) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    taken = {entry.name for entry in feedset.spec.exchanges}
    for index, entry in enumerate(feedset.spec.exchanges):
        if entry.name in seen:
            free = next(name for n in range(2, len(taken) + 3) if (name := f"{entry.name}-{n}") not in taken)
            yield (
                ("spec", "exchanges", index, "name"),
                f"{entry.name} is already the name of exchanges[{seen[entry.name]}]",
                free,
            )
        seen.setdefault(entry.name, index)


def _sinks(feedset: FeedSet) -> Iterator[Finding]:
    named = feedset.spec.sinks.named
    for index, entry in enumerate(feedset.spec.exchanges):
        for position, sink in enumerate(entry.sinks):
            if sink not in named:
                path: Path = ("spec", "exchanges", index, "sinks", position)
                yield path, f"spec.sinks does not name {sink.value}; it names {_listed(named)}", nearest(sink, named)


def _overlaps(feedset: FeedSet) -> Iterator[Finding]:
    """One stream in two entries would be sampled, sent and stored twice; the later entry is told which one already has
    it.
    """
    for (i, first), (j, second) in combinations(enumerate(feedset.spec.exchanges), 2):
        feeds = [feed.value for feed in second.feeds if feed in first.feeds]
        shared = _shared_symbols(first, second)
        if first.exchange == second.exchange and feeds and _markets_meet(first, second) and shared is not None:
            path: Path = ("spec", "exchanges", j)
            yield path, f"{', '.join(feeds)} of {shared} is already collected by exchanges[{i}] ({first.name})", None


def _markets_meet(first: ExchangeEntry, second: ExchangeEntry) -> bool:
    return not first.markets or not second.markets or bool(set(first.markets) & set(second.markets))


def _shared_symbols(first: ExchangeEntry, second: ExchangeEntry) -> str | None:
    """What both entries surely select, for people; None where they may be apart (discovery by quotes)."""
    a, b = first.symbols, second.symbols
    if a.is_discovered and b.is_discovered:
        meet = not a.quotes or not b.quotes or bool(set(a.quotes) & set(b.quotes))
        return "discovered symbols" if meet else None
    if not a.is_discovered and not b.is_discovered:
        return next((symbol for symbol in b.include if symbol in set(a.include)), None)
    listed, discovered = (b, a) if a.is_discovered else (a, b)
    if discovered.quotes:
        return None
    return next((symbol for symbol in listed.include if symbol not in set(discovered.exclude)), None)


def _listed(names: tuple[SinkName, ...]) -> str:
    return ", ".join(name.value for name in names)

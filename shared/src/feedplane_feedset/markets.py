"""Markets of one venue that spell instruments alike (`BTCUSDT`, spot and perpetual): apart in collectors and in Redis.

A collector keeps books and tapes by name, so an entry that follows several such markets is read as one entry for each.
History tells them apart by `market_type`; a hot key has no place for it, so that the key of the first market stays plain
(`last:l1:bybit:BTCUSDT`, what a script expects where one market is followed) and those of the others end in theirs
(`last:l1:bybit:BTCUSDT:perp_linear`). The order is that of the file: an entry that is appended changes no key that exists.
"""

from __future__ import annotations

from collections.abc import Iterator

from feedplane_core.names import MarketType

from .base import NAME_MAX_CHARS
from .crosschecks import Finding
from .exchanges import ExchangeEntry, RedisKeys
from .known import KnownExchange, KnownExchanges
from .model import FeedSet
from .sinks import SinkName


def markets_apart(feedset: FeedSet, known: KnownExchanges) -> FeedSet:
    """Entries of several markets with names in common, taken apart. What is split off stands behind all that is written, so that
    the places of written entries stay.
    """
    names = {entry.name for entry in feedset.spec.exchanges}
    written: list[ExchangeEntry] = []
    derived: list[ExchangeEntry] = []
    for entry in feedset.spec.exchanges:
        further = _alike(entry, known[entry.exchange])[1:]
        kept = [market for market in MarketType if market in _markets(entry, known[entry.exchange])]
        rest = tuple(market for market in kept if market not in further)
        written.append(entry.part(rest, further) if further else entry)
        for market in further:
            name = _free_name(entry.name, market, names)
            names.add(name)
            derived.append(entry.part((market,), tuple(m for m in kept if m is not market), name))
    return _with_entries(feedset, [*written, *derived]) if derived else feedset


def keys_apart(feedset: FeedSet, known: KnownExchanges) -> tuple[FeedSet, list[Finding]]:
    """Every entry with the keys that keep it apart, and what contradicts itself. Takes entries of one such market each."""
    users = {
        index: (entry, alike[0])
        for index, entry in enumerate(feedset.spec.exchanges)
        if SinkName.REDIS in feedset.spec.sinks_of(entry) and (alike := _alike(entry, known[entry.exchange]))
    }
    findings = list(_contradictions(users))
    asked = [(e.exchange, market, e.redis_keys) for e, market in users.values()]
    named = {(exchange, market) for exchange, market, keys in asked if keys is RedisKeys.WITH_MARKET}
    plain = {exchange: market for exchange, market, keys in asked if keys is RedisKeys.PLAIN}
    for exchange, market, _ in asked:
        if (exchange, market) not in named:
            plain.setdefault(exchange, market)
    entries = list(feedset.spec.exchanges)
    for index, (entry, market) in users.items():
        if plain.get(entry.exchange) is not market:
            entries[index] = entry.spelled(RedisKeys.WITH_MARKET)
    return _with_entries(feedset, entries), findings


def _contradictions(users: dict[int, tuple[ExchangeEntry, MarketType]]) -> Iterator[Finding]:
    """Keys that were asked for and would merge two markets, or spell one market in two ways."""
    said: dict[tuple[str, MarketType], tuple[RedisKeys, str]] = {}
    plain: dict[str, tuple[MarketType, str]] = {}
    for index, (entry, market) in users.items():
        keys = entry.redis_keys
        if keys is None:
            continue
        path = ("spec", "exchanges", index, "redisKeys")
        before, by = said.setdefault((entry.exchange, market), (keys, entry.name))
        if before is not keys:
            yield path, f"{by} has {before} keys for {market} of {entry.exchange}: one market has one spelling", before
        if keys is RedisKeys.PLAIN:
            first, by = plain.setdefault(entry.exchange, (market, entry.name))
            if first is not market:
                message = (
                    f"{market} of {entry.exchange} spells instruments as {first} does, whose keys are Plain in {by}"
                )
                yield path, message, RedisKeys.WITH_MARKET


def _markets(entry: ExchangeEntry, known: KnownExchange) -> frozenset[MarketType]:
    return frozenset(entry.markets) or known.markets


def _alike(entry: ExchangeEntry, known: KnownExchange) -> tuple[MarketType, ...]:
    """The markets of an entry that spell instruments alike, in the order of the venue."""
    markets = _markets(entry, known)
    return tuple(market for market in known.same_names if market in markets)


def _free_name(name: str, market: MarketType, taken: set[str]) -> str:
    """`bybit-perp-linear`, within the length of a name and unlike all others."""
    tail = f"-{market.replace('_', '-')}"
    for number in range(2, len(taken) + 4):
        found = name[: NAME_MAX_CHARS - len(tail)].rstrip("-") + tail
        if found not in taken:
            return found
        tail = f"-{market.replace('_', '-')}-{number}"
    raise AssertionError("more names than entries")


def _with_entries(feedset: FeedSet, entries: list[ExchangeEntry]) -> FeedSet:
    spec = feedset.spec.model_copy(update={"exchanges": tuple(entries)})
    return feedset.model_copy(update={"spec": spec})

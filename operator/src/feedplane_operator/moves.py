"""Symbols that change hands while pods run: whoever has one keeps it until another collector of the exchange follows it."""

from __future__ import annotations

from collections.abc import Iterator

from feedplane_feedset.config import SymbolSelection, read_symbols, symbols_hash, write_symbols

from feedplane_operator.configs import SYMBOLS_FILE
from feedplane_operator.desired import Collector, Desired
from feedplane_operator.health import Health
from feedplane_operator.observed import Observed, Place
from feedplane_operator.surroundings import Object


class Moves:
    """Who follows what now, and who is to."""

    def __init__(self, desired: Desired, observed: Observed, health: Health, complete: frozenset[str]) -> None:
        """`complete` are the bases of collectors whose pods all run the newest template."""
        self._observed = observed
        self._health = health
        self._complete = complete
        self._wanted = {collector.base: _selection(collector) for collector in desired.collectors}
        self._heirs: dict[tuple[str, str], list[Collector]] = {}
        for collector in desired.collectors:
            for symbol in self._wanted[collector.base].include:
                self._heirs.setdefault((collector.exchange, symbol), []).append(collector)

    def selection(self, collector: Collector) -> SymbolSelection:
        """What the collector is to follow for now: all that is wanted, and what it still has to keep for another."""
        wanted = self._wanted[collector.base]
        if wanted.mode != "include":
            return wanted
        dropped = set(self._live(collector.place)) - set(wanted.include)
        kept = [symbol for symbol in dropped if self._is_awaited(collector.exchange, symbol)]
        return wanted.model_copy(update={"include": tuple(sorted({*wanted.include, *kept}))})

    def awaited(self, exchange: str, place: Place) -> list[str]:
        """Symbols of a collector that is to go which another one has not taken over yet."""
        return sorted(symbol for symbol in self._live(place) if self._is_awaited(exchange, symbol))

    def _is_awaited(self, exchange: str, symbol: str) -> bool:
        heirs = self._heirs.get((exchange, symbol), [])
        return bool(heirs) and not any(self._follows(heir, symbol) for heir in heirs)

    def _follows(self, heir: Collector, symbol: str) -> bool:
        """By its file and, where its pods tell, by their own words."""
        if heir.base not in self._complete or symbol not in self._live(heir.place):
            return False
        told = symbols_hash(self._observed.symbols[heir.place])
        pods = (pod for pod in self._observed.pods if (pod.entry, str(pod.shard)) == heir.place and not pod.is_ending)
        return all(word.symbols_hash == told for pod in pods if (word := self._health.words.get(pod.uid)) is not None)

    def _live(self, place: Place) -> tuple[str, ...]:
        live = self._observed.symbols.get(place)
        return () if live is None else live.include


def with_selection(symbols_map: Object, selection: SymbolSelection) -> Object:
    """The ConfigMap of a collector's symbols with others in it."""
    return symbols_map | {"data": {SYMBOLS_FILE: write_symbols(selection)}}


def _selection(collector: Collector) -> SymbolSelection:
    return read_symbols(next(_texts(collector)))


def _texts(collector: Collector) -> Iterator[str]:
    for each in collector.objects:
        if each["metadata"]["name"] == collector.symbols_map:
            yield each["data"][SYMBOLS_FILE]

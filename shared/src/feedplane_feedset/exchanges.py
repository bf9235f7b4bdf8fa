"""One entry of `spec.exchanges`: what is collected from one exchange, and how."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from feedplane_core.names import Feed, MarketType
from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from .base import Count, DnsLabel, Quote, Spec, Symbol, is_dns_label, unique
from .sinks import SinkName
from .units import CadenceNs, Duration
from .workload import Resources

MAX_SHARDS = 64
MAX_SYMBOLS = 2_000


class KlineInterval(StrEnum):
    """Lengths of a candle."""

    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"


SymbolList = Annotated[tuple[Symbol, ...], Field(max_length=MAX_SYMBOLS), AfterValidator(unique)]


class RedisKeys(StrEnum):
    """How hot keys spell the instruments of an entry."""

    PLAIN = "Plain"
    WITH_MARKET = "WithMarket"


class Symbols(Spec):
    """Which instruments: a list, or with an empty `include` all that the exchange lists and the rest lets through."""

    include: SymbolList = Field(
        default=(), description="Exactly these instruments, as the exchange spells them. Empty: discover them."
    )
    exclude: SymbolList = Field(default=(), description="Never these instruments.")
    quotes: Annotated[tuple[Quote, ...], Field(max_length=32), AfterValidator(unique)] = Field(
        default=(), description="Discovery: only instruments quoted in these currencies. Empty: any."
    )
    max_symbols: Annotated[Count, Field(ge=1, le=MAX_SYMBOLS)] = Field(
        default=200,
        description="Discovery: at most this many instruments, the first by name. An include list is not cut by it.",
    )
    refresh_ns: Annotated[int, Duration("10s", "1d")] = Field(
        default=600_000_000_000, description="How often the exchange's list of instruments is read again."
    )

    @property
    def is_discovered(self) -> bool:
        return not self.include

    @model_validator(mode="after")
    def _list_or_discovery(self) -> Self:
        if self.include and self.quotes:
            raise PydanticCustomError(
                "quotes", "quotes belongs to discovery and says nothing about an include list", {"key": "quotes"}
            )
        if both := sorted(set(self.include) & set(self.exclude)):
            raise PydanticCustomError(
                "included_and_excluded", "{got} is both included and excluded", {"got": both[0], "key": "exclude"}
            )
        return self


class Cadence(Spec):
    """How often each sampled or polled feed is written. Keys are spelled as the feeds."""

    model_config = ConfigDict(alias_generator=lambda field: field.removesuffix("_ns"))

    l1_ns: CadenceNs = Field(
        default=200_000_000, description="Sampling of the best quotes in history; the hot state follows every change."
    )
    ob_top5_ns: CadenceNs = Field(default=100_000_000, description="Sampling of the five best levels.")
    ob_top20_ns: CadenceNs = Field(default=1_000_000_000, description="Sampling of the twenty best levels.")
    advanced_ns: CadenceNs = Field(default=1_000_000_000, description="Sampling of spread, microprice and imbalances.")
    open_interest_ns: Annotated[int, Duration("1s", "1h")] = Field(
        default=10_000_000_000, description="Polling of open interest where the exchange does not push it."
    )


class Connection(Spec):
    """How sockets are kept alive and replaced."""

    stale_after_ns: Annotated[int, Duration("1s", "10m")] = Field(
        default=10_000_000_000,
        description="A socket without any frame for this long is replaced and its feeds are flagged stale.",
    )
    rotate_before_ns: Annotated[int, Duration("15m", "7d")] = Field(
        default=82_800_000_000_000,
        description="A socket is replaced before it reaches this age (exchanges cut at 24h).",
    )
    overlap_ns: Annotated[int, Duration("1s", "10m")] = Field(
        default=30_000_000_000,
        description="How long the old and the new socket run side by side when one replaces the other.",
    )


class ExchangeEntry(Spec):
    """What is collected from one exchange. One collector runs per entry and shard, and one more for each further market whose
    instruments are spelled as those of another (`markets.py`).
    """

    name: DnsLabel = Field(
        default="", description='Name of this entry, unique in the FeedSet. Default: the exchange with "-" for "_".'
    )
    exchange: str = Field(description="Exchange, spelled as in the data; one that has an adapter.")
    markets: Annotated[tuple[MarketType, ...], Field(max_length=4), AfterValidator(unique)] = Field(
        default=(), description="Market types, where the exchange has several. Empty: all of them."
    )
    feeds: Annotated[tuple[Feed, ...], Field(min_length=1, max_length=16), AfterValidator(unique)] = Field(
        description="Feeds to collect, spelled as in the data."
    )
    symbols: Symbols = Field(
        default_factory=Symbols, description="Which instruments. Absent or empty: all that the exchange lists."
    )
    cadence: Cadence = Field(default_factory=Cadence, description="How often sampled and polled feeds are written.")
    kline_intervals: Annotated[
        tuple[KlineInterval, ...], Field(min_length=1, max_length=12), AfterValidator(unique)
    ] = Field(default=(KlineInterval.M1,), description="Lengths of the candles of feed klines.")
    shards: Annotated[Count, Field(ge=1, le=MAX_SHARDS)] = Field(
        default=1, description="Number of collectors that share the instruments."
    )
    sinks: Annotated[tuple[SinkName, ...], Field(max_length=2), AfterValidator(unique)] = Field(
        default=(), description="Sinks that store this entry's events. Empty: all that spec.sinks names."
    )
    redis_keys: RedisKeys | None = Field(
        default=None,
        description="Plain: last:l1:bybit:BTCUSDT. WithMarket: last:l1:bybit:BTCUSDT:perp_linear, for markets of a venue that spell "
        "their instruments alike. Absent: Plain for the first such market in the FeedSet, WithMarket for the others.",
    )
    connection: Connection = Field(default_factory=Connection, description="How sockets are kept alive and replaced.")
    resources: Resources = Field(
        default_factory=Resources, description="Resources of one collector container on Kubernetes."
    )

    _siblings: tuple[MarketType, ...] = PrivateAttr(default=())
    _is_derived: bool = PrivateAttr(default=False)

    @property
    def siblings(self) -> tuple[MarketType, ...]:
        """Markets of the same entry as written that another collector follows, because their names are spelled alike."""
        return self._siblings

    @property
    def is_derived(self) -> bool:
        """Made of another entry: it stands in no file."""
        return self._is_derived

    def part(self, markets: tuple[MarketType, ...], siblings: tuple[MarketType, ...], name: str = "") -> ExchangeEntry:
        """The share of this entry on `markets`; with a name, as an entry of its own."""
        part = self.model_copy(update={"markets": markets, "name": name or self.name})
        part._siblings, part._is_derived = siblings, bool(name)
        return part

    def spelled(self, keys: RedisKeys) -> ExchangeEntry:
        """The same entry with other keys."""
        return self.model_copy(update={"redis_keys": keys})

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: Any) -> Any:
        """A default that depends on another key; the CRD cannot say it, so on Kubernetes `name` is required."""
        if isinstance(data, dict) and "name" not in data and isinstance(data.get("exchange"), str):
            name = data["exchange"].replace("_", "-")
            return {"name": name, **data} if is_dns_label(name) else data  # else `exchange` itself is refused
        return data

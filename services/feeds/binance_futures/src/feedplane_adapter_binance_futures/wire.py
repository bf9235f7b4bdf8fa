"""What every payload of this venue is made of: times, ids, symbols, and how JSON is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec
from feedplane_core.errors import DecodeError
from feedplane_core.names import MarketType

T = TypeVar("T")

Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=9_223_372_036_854)]
"""Epoch milliseconds that fit an int64 of nanoseconds."""
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62) - 1)]
"""Trade and update ids."""
Symbol: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

USD_M = 1
"""`st` of USD-M payloads. Since the CM-UM integration (2026-06-30) all-market streams carry COIN-M (2) as well; older payloads have no `st`."""


class Payload(msgspec.Struct, frozen=True, gc=False, tag_field="e"):
    """What all stream payloads have. Short names are the venue's own: msgspec decodes a renamed field no faster, and documents read the same."""

    s: str
    st: int = USD_M


class Envelope(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A frame of a combined stream: `{"stream":"btcusdt@depth","data":{...}}`."""

    data: T


def decoding(channel: str, decode: Callable[[bytes], T], body: bytes) -> T:
    """`decode(body)`, with every refusal of the JSON decoder as a DecodeError.

    Raises: DecodeError `schema` for JSON of another shape, `json` for what is none.
    """
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(channel, error) from None


def refusal(channel: str, error: Exception) -> DecodeError:
    """What the JSON decoder raised, as what an adapter raises."""
    code = "schema" if isinstance(error, msgspec.ValidationError) else "json"
    return DecodeError(channel, code, str(error)[:200])


class Markets(dict[str, MarketType]):
    """Symbol -> market type, learned as symbols appear.

    A live session admits only instruments that the venue has named, so that a damaged symbol cannot become an instrument of its own; offline any well-formed
    symbol will do, for on USD-M its spelling says all that decoding needs.
    """

    MAX_LEARNED = 10_000

    def __init__(self, known: dict[str, MarketType], *, is_strict: bool) -> None:
        super().__init__()
        self._known = known
        self._is_strict = is_strict

    def __missing__(self, symbol: str) -> MarketType:
        market = self._known.get(symbol)
        if market is None:
            if self._is_strict and self._known:
                raise DecodeError("-", "unknown_instrument", symbol[:64])
            market = market_of(symbol)
        if len(self) < self.MAX_LEARNED:
            self[symbol] = market
        return market


def market_of(symbol: str) -> MarketType:
    """Dated contracts are spelled `BTCUSDT_260327`, all others are perpetuals; COIN-M (`BTCUSD_PERP`) is not carried here.

    Raises: DecodeError `unknown_instrument` for a symbol that this venue cannot have.
    """
    # Names outside ASCII exist, so letters are not enumerated; what would break keys and labels is.
    root, _, expiry = symbol.partition("_")
    if not root.isalnum() or len(symbol) > 64 or root != root.upper():
        raise DecodeError("-", "unknown_instrument", repr(symbol[:64]))
    if not expiry and symbol == root:
        return MarketType.PERP_LINEAR
    if len(expiry) == 6 and expiry.isascii() and expiry.isdigit():
        return MarketType.DELIVERY
    raise DecodeError("-", "unknown_instrument", repr(symbol[:64]))

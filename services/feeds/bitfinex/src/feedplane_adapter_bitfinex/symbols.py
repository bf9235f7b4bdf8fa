"""Symbols: what a spelling tells, and instruments from the configuration lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from feedplane_core.errors import DecodeError
from feedplane_core.instruments import Instrument, pair_name
from feedplane_core.names import MarketType

from .derivatives import FUNDING_INTERVAL_S
from .wire import EXCHANGE, Value, decoded, row_of

CHANNEL = "conf"
LABELS = (
    "pub:list:pair:exchange",
    "pub:list:pair:futures",
    "pub:info:pair",
    "pub:info:pair:futures",
    "pub:map:currency:sym",
)
"""One answer has one element for each, in this order."""
STEP = "0.00000001"
"""Eight decimals everywhere. There is no tick: a price has five significant digits, so its step changes with it."""

_SPOT = re.compile(r"t(?:[A-Z0-9]{6}|[A-Z0-9]{2,24}:[A-Z0-9]{2,24})").fullmatch
_PERPETUAL = re.compile(r"t[A-Z0-9]{1,24}F0:[A-Z0-9]{1,24}F0").fullmatch
_PAPER = "TEST"
_LETTERS_OF_THREE = 6


class Directory:
    """The symbols that are known, and what the spelling of others tells."""

    def __init__(self) -> None:
        self._markets: dict[str, MarketType] = {}

    def add(self, instruments: Iterable[Instrument]) -> None:
        self._markets |= {instrument.instrument: instrument.market_type for instrument in instruments}

    def market_of(self, symbol: str) -> MarketType:
        """Raises: DecodeError `unknown_instrument` for what is no trading pair."""
        market = self._markets.get(symbol)
        if market is not None:
            return market
        if _PERPETUAL(symbol):
            return MarketType.PERP_LINEAR
        if _SPOT(symbol):
            return MarketType.SPOT
        raise DecodeError("-", "unknown_instrument", repr(symbol[:64]))


def decode_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Every pair of the lists, derivatives first, without the paper ones.

    Raises: DecodeError if a body is no answer to `LABELS`.
    """
    found: dict[str, Instrument] = {}
    for body in bodies:
        answer = row_of(refused(decoded(CHANNEL, body), CHANNEL), CHANNEL, len(LABELS))
        spot, futures, _, _, renamed = answer[: len(LABELS)]
        names = _renamed(renamed)
        for pairs, market in ((futures, MarketType.PERP_LINEAR), (spot, MarketType.SPOT)):
            for pair in row_of(pairs, CHANNEL, 0):
                if type(pair) is not str or not pair:
                    raise DecodeError(CHANNEL, "schema", "a pair without its name")
                if not pair.startswith(_PAPER) and (":" in pair or len(pair) == _LETTERS_OF_THREE):
                    found.setdefault(f"t{pair}", _instrument(pair, market, names))
    return list(found.values())


def refused(body: Value, channel: str) -> Value:
    """The body, unless it is a refusal: `["error", CODE, TEXT]` or `{"error":"ERR_RATE_LIMIT"}`.

    Raises: DecodeError `venue_error`.
    """
    if type(body) is dict and "error" in body:
        raise DecodeError(channel, "venue_error", str(body["error"])[:200])
    if type(body) is list and body and body[0] == "error":
        raise DecodeError(channel, "venue_error", " ".join(map(str, body[1:3]))[:200])
    return body


def _renamed(rows: Value) -> Mapping[str, str]:
    """`[["UST","USDt"],["DSH","DASH"],...]`: the venue's code and the name the rest of the world uses."""
    names: dict[str, str] = {}
    for entry in row_of(rows, CHANNEL, 0):
        code, name = row_of(entry, CHANNEL, 2)[:2]
        if type(code) is not str or type(name) is not str:
            raise DecodeError(CHANNEL, "schema", "a currency without its name")
        if name:
            names[code] = name.upper()
    return names


def _instrument(pair: str, market: MarketType, names: Mapping[str, str]) -> Instrument:
    """`BTCUSD`, `AAVE:USD`, `BTCF0:USTF0`."""
    left, _, right = pair.partition(":") if ":" in pair else (pair[:3], "", pair[3:])
    is_perpetual = market is MarketType.PERP_LINEAR
    base, quote = (_name(code, names, is_perpetual=is_perpetual) for code in (left, right))
    if not base or not quote:
        raise DecodeError(CHANNEL, "schema", f"a pair without base or quote: {pair[:64]!r}")
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=f"t{pair}",
        pair=pair_name(base, quote, market),
        base=base,
        quote=quote,
        settle=quote if is_perpetual else "",
        step=STEP,
        contract_size="1" if is_perpetual else None,
        funding_interval_s=FUNDING_INTERVAL_S if is_perpetual else None,
    )


def _name(code: str, names: Mapping[str, str], *, is_perpetual: bool) -> str:
    code = code.removesuffix("F0") if is_perpetual else code
    return names.get(code, code)

"""Symbols: `GET /api/v3/exchangeInfo` -> instruments, and stream names <-> symbols (lower case in one, upper case in the other)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from feedplane_core.decimals import Dec, is_zero, plain
from feedplane_core.instruments import Instrument, InstrumentStatus, pair_name
from feedplane_core.names import MarketType

from .wire import EXCHANGE, JSON_ERRORS, Symbol, refusal

CHANNEL = "exchangeInfo"


class Filter(msgspec.Struct, gc=False):
    """One of a symbol's trading rules; all but two kinds are of no interest here."""

    filterType: str
    tickSize: str | None = None
    stepSize: str | None = None


class SymbolInfo(msgspec.Struct, gc=False):
    """`{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","quoteAsset":"BTC","isSpotTradingAllowed":true,"filters":[...]}`."""

    symbol: Symbol
    status: str
    baseAsset: str
    quoteAsset: str
    filters: list[Filter]
    isSpotTradingAllowed: bool = True


class ExchangeInfo(msgspec.Struct, gc=False):
    symbols: list[SymbolInfo]


_BODY = msgspec.json.Decoder(ExchangeInfo)


def decode_exchange_info(body: bytes) -> list[Instrument]:
    """Every symbol in the body, whatever its status.

    Raises: DecodeError. Source: REST API, "Exchange information", read 2026-11-20.
    """
    try:
        info = _BODY.decode(body)
    except JSON_ERRORS as error:
        raise refusal(CHANNEL, error) from error
    return [_instrument(symbol) for symbol in info.symbols]


def _instrument(info: SymbolInfo) -> Instrument:
    # HALT, BREAK, END_OF_DAY and CANCEL_ONLY are silent by rule; a symbol that is gone for good simply leaves the list.
    is_trading = info.status == "TRADING" and info.isSpotTradingAllowed
    return Instrument(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=info.symbol,
        pair=pair_name(info.baseAsset, info.quoteAsset, MarketType.SPOT),
        base=info.baseAsset,
        quote=info.quoteAsset,
        tick=_size(info.filters, "PRICE_FILTER"),
        step=_size(info.filters, "LOT_SIZE"),
        status=InstrumentStatus.TRADING if is_trading else InstrumentStatus.HALTED,
        stream_id=info.symbol.lower(),
    )


def _size(filters: list[Filter], kind: str) -> Dec | None:
    """`tickSize` or `stepSize`; 0 switches a rule off."""
    for rule in filters:
        if rule.filterType == kind:
            text = rule.tickSize if kind == "PRICE_FILTER" else rule.stepSize
            if text is None:
                return None
            size = plain(text, CHANNEL, kind)
            return None if is_zero(size) else size
    return None


def stream_symbol(instrument: Instrument) -> str:
    """What stands before the `@`: `BTCUSDT` -> `btcusdt`."""
    return instrument.stream_id or instrument.instrument.lower()


class StreamSymbols:
    """Stream spelling -> symbol. Known instruments answer for themselves; for others upper case is the documented rule."""

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}

    def use(self, instruments: Iterable[Instrument]) -> None:
        for instrument in instruments:
            self._symbols[stream_symbol(instrument)] = instrument.instrument

    def symbol_of(self, spelling: str) -> str:
        return self._symbols.get(spelling) or spelling.upper()

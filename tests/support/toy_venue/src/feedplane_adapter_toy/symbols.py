"""Markets: `GET /markets` -> instruments."""

from __future__ import annotations

import msgspec
from feedplane_core.decimals import positive
from feedplane_core.instruments import Instrument, InstrumentStatus, pair_name
from feedplane_core.names import MarketType

from .wire import EXCHANGE, JSON_ERRORS, Market, refusal

CHANNEL = "markets"


class MarketInfo(msgspec.Struct, gc=False):
    """`{"name":"BTC-USD","base":"BTC","quote":"USD","tick":"0.10","step":"0.001","open":true}`."""

    name: Market
    base: str
    quote: str
    tick: str
    step: str
    open: bool


class Markets(msgspec.Struct, gc=False):
    markets: list[MarketInfo]


_BODY = msgspec.json.Decoder(Markets)


def decode_markets(body: bytes) -> list[Instrument]:
    """Every market in the body, closed ones too. Raises: DecodeError. Source: README.md, "Channels"."""
    try:
        listed = _BODY.decode(body).markets
    except JSON_ERRORS as error:
        raise refusal(CHANNEL, error) from error
    return [_instrument(info) for info in listed]


def _instrument(info: MarketInfo) -> Instrument:
    return Instrument(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=info.name,
        pair=pair_name(info.base, info.quote, MarketType.SPOT),
        base=info.base,
        quote=info.quote,
        tick=positive(info.tick, CHANNEL, "tick"),
        step=positive(info.step, CHANNEL, "step"),
        status=InstrumentStatus.TRADING if info.open else InstrumentStatus.HALTED,
    )

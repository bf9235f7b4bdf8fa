"""Symbols: spot's three spellings, what a futures name tells, and instruments from AssetPairs, the `instrument` channel and the futures listing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from feedplane_core.decimals import positive
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import ContractUnit, Instrument, InstrumentStatus, pair_name
from feedplane_core.names import MarketType

from .book import Precision
from .wire import EXCHANGE, Name, Number, decoder, decoding, price_of, text_of, time_ns

PAIRS = "AssetPairs"
INSTRUMENT = "instrument"
CONTRACTS = "instruments"
FUNDING_INTERVAL_S = 3_600
"""Rates are per hour."""

_MODERN = {"XBT": "BTC", "XDG": "DOGE"}
_REST_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_MAX_DECIMALS = 18
_MARKETS = {
    "PI": MarketType.PERP_INVERSE,
    "PF": MarketType.PERP_LINEAR,
    "FI": MarketType.DELIVERY,
    "FF": MarketType.DELIVERY,
}
_CONTRACT = re.compile(r"(PI|PF|FI|FF)_([0-9A-Z]{4,40})(?:_(\d{6}))?", re.ASCII).fullmatch
_QUOTES = ("USDT", "USDC", "PYUSD", "USD", "EUR", "GBP", "CAD", "AUD", "JPY", "CHF", "DAI", "XBT", "ETH")
_SPOT_STATUS = {
    "online": InstrumentStatus.TRADING,
    "limit_only": InstrumentStatus.TRADING,
    "reduce_only": InstrumentStatus.TRADING,
    "delisted": InstrumentStatus.DELISTED,
}
"""All others (`cancel_only`, `post_only`, `maintenance`, `work_in_progress`) match nothing."""


class RestPair(msgspec.Struct, gc=False):
    """`"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","pair_decimals":1,"lot_decimals":8,"tick_size":"0.1","status":"online",...}`; bodies of 2021 lack the last two."""

    altname: Name
    pair_decimals: int
    lot_decimals: int
    wsname: str = ""
    tick_size: str = ""
    status: str = "online"


class Pair(msgspec.Struct, gc=False):
    """`{"symbol":"BTC/USD","base":"BTC","quote":"USD","status":"online","price_precision":1,"price_increment":0.1,"qty_precision":8,"qty_increment":1e-08,...}`"""

    symbol: Name
    base: Name
    quote: Name
    price_precision: int
    qty_precision: int
    price_increment: Number
    qty_increment: Number
    status: str = "online"


class Pairs(msgspec.Struct, gc=False):
    pairs: list[Pair]


class InstrumentFrame(msgspec.Struct, gc=False):
    """`{"channel":"instrument","type":"snapshot","data":{"assets":[...],"pairs":[...]}}`: `data` is one object."""

    data: Pairs


class Contract(msgspec.Struct, gc=False, kw_only=True):
    """`{"symbol":"PF_XBTUSD","type":"flexible_futures","tickSize":0.5,"contractSize":1,"tradeable":true,"contractValueTradePrecision":4,"base":"BTC","quote":"USD",...}`"""

    symbol: Name
    tickSize: Number = None
    contractSize: Number = None
    tradeable: bool = True
    contractValueTradePrecision: Number = None
    base: str = ""
    quote: str = ""
    openingDate: str = ""
    lastTradingTime: str = ""


class _Body(msgspec.Struct, gc=False):
    """Any of the three: `{"error":[],"result":{...}}`, `{"channel":"instrument",...}`, `{"result":"success","instruments":[...]}`."""

    error: msgspec.Raw = msgspec.Raw(b"")
    result: msgspec.Raw = msgspec.Raw(b"")
    channel: str = ""
    instruments: msgspec.Raw = msgspec.Raw(b"")


_body = decoder(_Body)
_pairs = decoder(dict[str, RestPair])
_contracts = decoder(list[Contract])
_frame = decoder(InstrumentFrame)


def rest_name(symbol: str) -> str:
    """`BTC/USD` -> `XBTUSD`, where AssetPairs has not told."""
    base, _, quote = symbol.partition("/")
    return _REST_NAMES.get(base, base) + _REST_NAMES.get(quote, quote)


def spot_name(wsname: str) -> str:
    """`XBT/USD` -> `BTC/USD`."""
    base, _, quote = wsname.partition("/")
    return f"{_MODERN.get(base, base)}/{_MODERN.get(quote, quote)}"


def guessed_spot_name(altname: str) -> str:
    """`XBTUSD` -> `BTC/USD` for a pair that is not known: split before a known quote. Empty where there is none."""
    for quote in _QUOTES:
        if altname.endswith(quote) and len(altname) > len(quote):
            return spot_name(f"{altname.removesuffix(quote)}/{quote}")
    return ""


def market_of(symbol: str) -> MarketType | None:
    """What a futures name tells; `None` for contracts that are not carried."""
    parsed = _CONTRACT(symbol)
    if parsed is None:
        return None
    market = _MARKETS[parsed[1]]
    return market if (market is MarketType.DELIVERY) == (parsed[3] is not None) else None


def is_inverse(symbol: str) -> bool:
    return symbol.startswith(("PI_", "FI_"))


def decode_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Every instrument of the bodies, spot first. Where the `instrument` channel names a pair as well, its word goes.

    Raises: DecodeError if a body is none of the three.
    """
    found: dict[str, Instrument] = {}
    for body in bodies:
        for instrument in _decode_body(body):
            held = found.get(instrument.instrument)
            found[instrument.instrument] = instrument if held is None else _merged(held, instrument)
    return sorted(found.values(), key=lambda instrument: instrument.market_type is not MarketType.SPOT)


def _merged(first: Instrument, second: Instrument) -> Instrument:
    """AssetPairs alone knows REST's name, so what has one comes from there."""
    newer, older = (first, second) if second.stream_id else (second, first)
    return msgspec.structs.replace(newer, stream_id=newer.stream_id or older.stream_id)


def _decode_body(body: bytes) -> list[Instrument]:
    probe = decoding(CONTRACTS, _body, body)
    if probe.channel == INSTRUMENT:
        return [spot_instrument(pair) for pair in decoding(INSTRUMENT, _frame, body).data.pairs]
    if rows_json := bytes(probe.instruments):
        rows = decoding(CONTRACTS, _contracts, rows_json)
        return [_contract(row) for row in rows if market_of(row.symbol) is not None]
    result = result_of(body, PAIRS)
    pairs = decoding(PAIRS, _pairs, result)
    return [_rest_pair(pair) for pair in pairs.values() if "/" in pair.wsname]  # dark pools have no wsname


def result_of(body: bytes, channel: str) -> bytes:
    """`result` of a REST body of either system, still JSON.

    Raises: DecodeError `venue_error` where the venue refused (spot answers HTTP 200 even then), `schema` where there is neither.
    """
    probe = decoding(channel, _body, body)
    error, result = bytes(probe.error).strip(), bytes(probe.result)
    if error not in (b"", b"[]", b"null"):
        raise DecodeError(channel, "venue_error", error[:200].decode(errors="replace"))
    if not result:
        raise DecodeError(channel, "schema", "neither result nor error")
    return result


def _rest_pair(pair: RestPair) -> Instrument:
    _check_decimals(PAIRS, pair.pair_decimals, pair.lot_decimals)
    name = spot_name(pair.wsname)
    tick = positive(pair.tick_size, PAIRS, "tick_size") if pair.tick_size else _unit(pair.pair_decimals)
    return _spot(name, _padded(tick, pair.pair_decimals), _unit(pair.lot_decimals), pair.status, pair.altname)


def spot_instrument(pair: Pair) -> Instrument:
    """A pair of the `instrument` channel. `tick_size` is deprecated and not read."""
    _check_decimals(INSTRUMENT, pair.price_precision, pair.qty_precision)
    tick = price_of(pair.price_increment, INSTRUMENT, "price_increment")
    step = price_of(pair.qty_increment, INSTRUMENT, "qty_increment")
    if "/" not in pair.symbol:
        raise DecodeError(INSTRUMENT, "schema", f"{pair.symbol[:64]!r} is no pair")
    padded = _padded(tick, pair.price_precision), _padded(step, pair.qty_precision)
    return _spot(pair.symbol, *padded, pair.status, stream_id="")


def _spot(name: str, tick: str, step: str, status: str, stream_id: str) -> Instrument:
    base, _, quote = name.partition("/")
    if not base or not quote or len(name) > 64:
        raise DecodeError(PAIRS, "schema", f"{name[:64]!r} is no pair")
    return Instrument(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=name,
        pair=pair_name(base, quote, MarketType.SPOT),
        base=base,
        quote=quote,
        tick=tick,
        step=step,
        status=_SPOT_STATUS.get(status, InstrumentStatus.HALTED),
        stream_id=stream_id,
    )


def _contract(row: Contract) -> Instrument:
    market = market_of(row.symbol)
    parsed = _CONTRACT(row.symbol)
    assert market is not None
    assert parsed is not None
    body = parsed[2]
    quote = row.quote or body[-3:]
    base = row.base or body[:-3]
    base, quote = _MODERN.get(base, base), _MODERN.get(quote, quote)
    inverse = is_inverse(row.symbol)
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.symbol,
        pair=pair_name(base, quote, market, parsed[3] or ""),
        base=base,
        quote=quote,
        settle=base if inverse else quote,
        tick=None if row.tickSize is None else price_of(row.tickSize, CONTRACTS, "tickSize"),
        step=_step(row.contractValueTradePrecision),
        contract_size=None if row.contractSize is None else price_of(row.contractSize, CONTRACTS, "contractSize"),
        contract_unit=ContractUnit.QUOTE if inverse else ContractUnit.BASE,
        status=InstrumentStatus.TRADING if row.tradeable else InstrumentStatus.HALTED,
        listed_ns=time_ns(row.openingDate, CONTRACTS),
        expiry_ns=time_ns(row.lastTradingTime, CONTRACTS) if market is MarketType.DELIVERY else None,
        funding_interval_s=None if market is MarketType.DELIVERY else FUNDING_INTERVAL_S,
    )


def _step(precision: Number) -> str | None:
    """Decimals of a quantity: 4 -> `0.0001`, 0 -> `1`, -3 -> `1000`."""
    if precision is None:
        return None
    text = text_of(precision, CONTRACTS, "contractValueTradePrecision")
    digits = text.removesuffix(".0").removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 2 or int(digits) > _MAX_DECIMALS:
        raise DecodeError(CONTRACTS, "schema", "contractValueTradePrecision is no number of decimals")
    return "1" + "0" * int(digits) if text.startswith("-") else _unit(int(digits))


def _unit(decimals: int) -> str:
    return "0." + "0" * (decimals - 1) + "1" if decimals else "1"


def decimals_of(text: str) -> int:
    return len(text.partition(".")[2])


def _padded(text: str, decimals: int) -> str:
    """`0.1` with two decimals -> `0.10`: the same value, telling the decimals as well."""
    missing = decimals - decimals_of(text)
    return text if missing <= 0 else f"{text}{'' if '.' in text else '.'}{'0' * missing}"


def _check_decimals(channel: str, *numbers: int) -> None:
    if not all(0 <= number <= _MAX_DECIMALS for number in numbers):
        raise DecodeError(channel, "schema", "no number of decimals")


def precision_of(pair: Pair) -> Precision:
    """Raises: DecodeError."""
    _check_decimals(INSTRUMENT, pair.price_precision, pair.qty_precision)
    return Precision(pair.price_precision, pair.qty_precision)

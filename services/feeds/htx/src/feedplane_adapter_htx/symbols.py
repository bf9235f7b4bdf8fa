"""Symbols: what a spelling tells, instruments from the venue's lists, and how each counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from feedplane_core.decimals import Dec, exact_product, positive
from feedplane_core.errors import DecodeError
from feedplane_core.instruments import Instrument, InstrumentStatus, pair_name
from feedplane_core.names import NS_PER_MS, MarketType

from .levels import ToBase, multiplier
from .wire import EXCHANGE, MaybeNumber, decoding, ms_of, text_of

CHANNEL = "instruments"

_MAX_SYMBOL = 64
_MAX_DECIMALS = 18
_MAX_FUNDING_HOURS = 24
_EXPIRY = re.compile(r"[0-9]{6}").fullmatch

_CONTRACT_STATUS = {
    0: InstrumentStatus.DELISTED,
    1: InstrumentStatus.TRADING,
    8: InstrumentStatus.DELISTED,
}
"""0 delisting, 1 listed, 8 delivered; 2 pending, 3 and 4 suspended, 5 in settlement, 6 delivering and 7 settled are listed but silent."""
_SPOT_STATE = {"online": InstrumentStatus.TRADING, "offline": InstrumentStatus.DELISTED}
"""All others (unknown, not-online, pre-online, suspend, transfer-board, fuse) are listed but may be silent."""


class Place(NamedTuple):
    """What decoding needs to know of one symbol. Spot counts base units already and has no factors."""

    name: str
    market: MarketType
    book_qty: ToBase | None = None  # contracts of a book or an order -> base units
    traded_qty: ToBase | None = None  # contracts traded, counted on both sides -> base units
    funding_interval_s: int | None = None


def place_of(instrument: Instrument, assumed_size: Dec | None) -> Place | None:
    """`None` for a contract without a size: it stays unknown."""
    name, market = instrument.instrument, instrument.market_type
    if market is MarketType.SPOT:
        return Place(name, market)
    size = instrument.contract_size or assumed_size
    return contract(name, market, size, instrument.funding_interval_s) if size is not None else None


def contract(name: str, market: MarketType, size: Dec, funding_interval_s: int | None = None) -> Place:
    """A contract of so many base units."""
    return Place(
        name, market, multiplier(size, "qty"), multiplier(exact_product(size, "0.5"), "qty"), funding_interval_s
    )


class Places:
    """Symbol -> place, for one session.

    `known` is the adapter's own table, which later instruments extend. A live session admits only what the venue has listed, so that a damaged symbol cannot become
    an instrument; offline any well-formed symbol will do, but a contract needs a size: `assumed_size`, or it is refused.
    """

    MAX_LEARNED = 10_000

    def __init__(self, known: Mapping[str, Place], assumed_size: Dec | None, *, is_strict: bool) -> None:
        self._known = known
        self._assumed_size = assumed_size
        self._is_strict = is_strict
        self._learned: dict[str, Place] = {}

    def __getitem__(self, symbol: str) -> Place:
        """Raises: DecodeError `unknown_instrument`, `contract_size`."""
        return self._known.get(symbol) or self._learned.get(symbol) or self._learn(symbol)

    def market(self, symbol: str) -> MarketType:
        """Of what needs no contract size: rates, prices, candles."""
        place = self._known.get(symbol) or self._learned.get(symbol)
        return place.market if place is not None else self._spelled(symbol)

    def funding_interval_s(self, symbol: str) -> int | None:
        """Where the listing was read and says it."""
        place = self._known.get(symbol)
        return place.funding_interval_s if place is not None else None

    def _spelled(self, symbol: str) -> MarketType:
        if self._is_strict and self._known:
            raise DecodeError("-", "unknown_instrument", repr(symbol[:_MAX_SYMBOL]))
        return market_of(symbol)

    def _learn(self, symbol: str) -> Place:
        market = self._spelled(symbol)
        if market is MarketType.SPOT:
            place = Place(symbol, market)
        elif self._assumed_size is None:
            raise DecodeError("-", "contract_size", symbol)
        else:
            place = contract(symbol, market, self._assumed_size)
        if len(self._learned) < self.MAX_LEARNED:
            self._learned[symbol] = place
        return place


def market_of(symbol: str) -> MarketType:
    """`btcusdt` is spot, `BTC-USDT` a perpetual, `BTC-USDT-261225` dated.

    Raises: DecodeError `unknown_instrument` for aliases of dated contracts (`BTC-USDT-CQ`), coin-margined contracts (`BTC-USD`) and what this venue cannot have.
    """
    # Names outside ASCII exist, so letters are not enumerated; what would break keys and labels is.
    parts = symbol.split("-")
    if len(symbol) <= _MAX_SYMBOL and all(part.isalnum() for part in parts):
        match parts:
            case [name] if name == name.lower():
                return MarketType.SPOT
            case [base, quote] if quote != "USD" and base == base.upper() and quote == quote.upper():
                return MarketType.PERP_LINEAR
            case [base, quote, expiry] if quote != "USD" and base == base.upper() and _EXPIRY(expiry):
                return MarketType.DELIVERY
    raise DecodeError("-", "unknown_instrument", repr(symbol[:_MAX_SYMBOL]))


def is_contract(symbol: str) -> bool:
    """Whether a symbol is spelled as a contract: the two markets share topics and differ in payloads."""
    return "-" in symbol


class SpotRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Of `/v1/settings/common/market-symbols`: `{"symbol":"btcusdt","bc":"btc","qc":"usdt","state":"online","pp":2,"ap":6,...}`."""

    symbol: str
    bc: str
    qc: str
    state: str
    pp: int
    ap: int


class SpotRowV2(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Of `/v2/settings/common/symbols`: the same under other names."""

    sc: str
    bc: str
    qc: str
    state: str
    tpp: int
    tap: int


class ContractRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Of `swap_contract_info`: `{"contract_code":"BTC-USDT","pair":"BTC-USDT","contract_size":0.001,"price_tick":0.1,"contract_status":1,"settlement_period":"8",...}`."""

    contract_code: str
    contract_size: msgspec.Raw
    price_tick: msgspec.Raw
    contract_status: int = 1
    pair: str | None = None
    delivery_time: MaybeNumber = msgspec.UNSET
    settlement_period: MaybeNumber = msgspec.UNSET


class _Head(msgspec.Struct, frozen=True, gc=False, rename={"err_msg": "err-msg"}):
    """Both answer `{"status":"ok","data":[...],"ts":...}`."""

    status: str = "ok"
    data: list[msgspec.Raw] = []
    err_msg: str = ""


class _Kind(msgspec.Struct, frozen=True, gc=False):
    """Which list a row is of."""

    contract_code: str = ""
    sc: str = ""


_head = msgspec.json.Decoder(_Head)
_kind = msgspec.json.Decoder(_Kind)
_spot = msgspec.json.Decoder(SpotRow)
_spot_v2 = msgspec.json.Decoder(SpotRowV2)
_contract = msgspec.json.Decoder(ContractRow)


def decode_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Every instrument of the bodies, whatever its status. Coin-margined codes are left out.

    Raises: DecodeError. Source: HTX documents, "Get Market Symbols Setting", "Query Contract Info", read 2026-11-20; live check 2026-09-23.
    """
    return [instrument for body in bodies for instrument in _instruments(body)]


def _instruments(body: bytes) -> Iterable[Instrument]:
    head = decoding(CHANNEL, _head.decode, body)
    if head.status != "ok":
        raise DecodeError(CHANNEL, "venue_error", head.err_msg[:200])
    for raw in head.data:
        kind = decoding(CHANNEL, _kind.decode, bytes(raw))
        if kind.contract_code:
            row = decoding(CHANNEL, _contract.decode, bytes(raw))
            if row.contract_code.split("-")[1:2] != ["USD"]:
                yield _contract_instrument(row)
        elif kind.sc:
            v2 = decoding(CHANNEL, _spot_v2.decode, bytes(raw))
            yield _spot_instrument(v2.sc, v2.bc, v2.qc, v2.state, v2.tpp, v2.tap)
        else:
            v1 = decoding(CHANNEL, _spot.decode, bytes(raw))
            yield _spot_instrument(v1.symbol, v1.bc, v1.qc, v1.state, v1.pp, v1.ap)


def _spot_instrument(
    symbol: str, base: str, quote: str, state: str, price_places: int, amount_places: int
) -> Instrument:
    if market_of(symbol) is not MarketType.SPOT:
        raise DecodeError(CHANNEL, "schema", f"{symbol[:_MAX_SYMBOL]!r} in the list of spot pairs")
    base, quote = base.upper(), quote.upper()
    return Instrument(
        exchange=EXCHANGE,
        market_type=MarketType.SPOT,
        instrument=symbol,
        pair=pair_name(base, quote, MarketType.SPOT),
        base=base,
        quote=quote,
        tick=_power_of_ten(price_places),
        step=_power_of_ten(amount_places),
        status=_SPOT_STATE.get(state, InstrumentStatus.HALTED),
    )


def _power_of_ten(places: int) -> Dec:
    """10**-places."""
    if not 0 <= places <= _MAX_DECIMALS:
        raise DecodeError(CHANNEL, "schema", f"{places} decimals")
    return f"0.{'0' * (places - 1)}1" if places else "1"


def _contract_instrument(row: ContractRow) -> Instrument:
    market = market_of(row.contract_code)
    parts = row.contract_code.split("-")
    if market is MarketType.SPOT:
        raise DecodeError(CHANNEL, "schema", f"{row.contract_code!r} in the list of contracts")
    base, quote, expiry = parts[0], parts[1], "".join(parts[2:])
    is_perpetual = market is MarketType.PERP_LINEAR
    expiry_ms = None if is_perpetual else ms_of(row.delivery_time, CHANNEL, "delivery_time")
    return Instrument(
        exchange=EXCHANGE,
        market_type=market,
        instrument=row.contract_code,
        pair=pair_name(base, quote, market, expiry),
        base=base,
        quote=quote,
        settle=quote,
        tick=_unpadded(row.price_tick, "price_tick"),
        step="1",
        contract_size=_unpadded(row.contract_size, "contract_size"),
        status=_CONTRACT_STATUS.get(row.contract_status, InstrumentStatus.HALTED),
        expiry_ns=expiry_ms * NS_PER_MS if expiry_ms is not None else None,
        funding_interval_s=_funding_interval_s(row) if is_perpetual else None,
    )


def _unpadded(raw: msgspec.Raw, field: str) -> Dec:
    """`0.001000000000000000` -> `0.001`."""
    return exact_product(positive(text_of(raw, CHANNEL), CHANNEL, field), channel=CHANNEL, field=field)


def _funding_interval_s(row: ContractRow) -> int | None:
    """`settlement_period` in hours, a text: "8", "4", "1"."""
    if row.settlement_period is msgspec.UNSET:
        return None
    text = text_of(row.settlement_period, CHANNEL)
    if text in ("", "null"):
        return None
    if not text.isdecimal() or len(text) > 2 or not 0 < int(text) <= _MAX_FUNDING_HOURS:
        raise DecodeError(CHANNEL, "schema", f"{row.contract_code[:_MAX_SYMBOL]} is funded every {text[:8]!r} hours")
    return int(text) * 3_600

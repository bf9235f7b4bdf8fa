"""REST: requests as data, and their bodies. Both hosts answer HTTP 200 even where they refuse."""

from __future__ import annotations

from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

from . import derivatives, klines, trades
from .symbols import Places
from .wire import Ms, Seq, decoding

T = TypeVar("T")

LIMITS = Limits(
    rest_weight=240,  # of contract data; all else is weighed against it
    rest_window_ns=3 * NS_PER_S,
    connects=60,  # the venue names none
    connect_window_ns=60 * NS_PER_S,
)

TRADE_ROWS = 2_000
CANDLE_ROWS = 2_000
FUNDING_ROWS = 20
_WEIGHT_SPOT_TRADES = 8  # 3,000 in 5 minutes
_WEIGHT_SPOT_CANDLES = 7  # 4,500 in 5 minutes
_POLL_SHARE = 2
"""Polls take at most this part (one half) of the budget."""

_SPOT_SYMBOLS, _SPOT_SYMBOLS_V2 = "/v1/settings/common/market-symbols", "/v2/settings/common/symbols"
_CONTRACTS = "/linear-swap-api/v1/swap_contract_info"
_OPEN_INTEREST = "/linear-swap-api/v1/swap_open_interest"
_SPOT_TRADES, _SPOT_CANDLES = "/market/history/trade", "/market/history/kline"
_LINEAR = "/linear-swap-ex"
_FUNDING = "/linear-swap-api/v1/swap_historical_funding_rate"
_LIQUIDATIONS = "/linear-swap-api/v3/swap_liquidation_orders"
_PAGED = {
    _SPOT_TRADES: Feed.TRADES,
    _SPOT_CANDLES: Feed.KLINES,
    _LINEAR + _SPOT_TRADES: Feed.TRADES,
    _LINEAR + _SPOT_CANDLES: Feed.KLINES,
    _FUNDING: Feed.FUNDING,
    _LIQUIDATIONS: Feed.LIQUIDATIONS,
}


class _Body(msgspec.Struct, frozen=True, gc=False):
    """`{"status":"ok","data":...,"ts":...}`, of `v3` `{"code":200,"msg":"","data":...}`; a refusal is `{"status":"error","err-code"|"err_code":...}`."""

    status: str = "ok"
    code: int = 200
    data: msgspec.Raw = msgspec.Raw(b"null")
    ts: Ms | None = None
    err_msg: str | None = None
    err_msg_spot: str | None = msgspec.field(default=None, name="err-msg")
    msg: str | None = None


class _TradeGroup(msgspec.Struct, frozen=True, gc=False):
    data: list[trades.Row]


class _FundingPage(msgspec.Struct, frozen=True, gc=False):
    data: list[derivatives.ChargedRow]
    total_page: Seq = 0
    current_page: Seq = 0


class Window(NamedTuple):
    """[start, end) of a whole history request; it rides in the tag. Of a recorded page it is not known."""

    start_ns: int
    end_ns: int

    def __contains__(self, at_ns: object) -> bool:
        return isinstance(at_ns, int) and self.start_ns <= at_ns < self.end_ns


_body = msgspec.json.Decoder(_Body)
_trade_groups = msgspec.json.Decoder(list[_TradeGroup])
_candles = msgspec.json.Decoder(list[klines.Candle])
_funding = msgspec.json.Decoder(_FundingPage)
_liquidations = msgspec.json.Decoder(list[derivatives.LiquidationRow])
_open_interest = msgspec.json.Decoder(list[derivatives.OpenInterestRow])


# Requests ---------------------------------------------------------------------------------------------------------------------


def _request(root: str, path: str, tag: Tag, query: dict[str, object], weight: int = 1) -> Request:
    return Request(url=f"{root}{path}?{urlencode(query)}" if query else f"{root}{path}", tag=tag, weight=weight)


def instruments_requests(spot: str, linear: str) -> list[Request]:
    return [
        _request(spot, _SPOT_SYMBOLS, Tag(kind="instruments", detail="spot"), {}, _WEIGHT_SPOT_TRADES),
        _request(linear, _CONTRACTS, Tag(kind="instruments", detail="linear"), {"business_type": "all"}),
    ]


def open_interest_request(linear: str, code: str) -> Request:
    tag = Tag(kind="poll", instrument=code, feed=Feed.OPEN_INTEREST)
    return _request(linear, _OPEN_INTEREST, tag, {"contract_code": code, "business_type": "all"})


def open_interest_every_ns(contracts: int, wanted_ns: int) -> int:
    """The wanted interval, or as much longer as the budget asks for."""
    return max(wanted_ns, -(-contracts * LIMITS.rest_window_ns * _POLL_SHARE // LIMITS.rest_weight))


def history_request(
    spot: str, linear: str, instrument: Instrument, feed: Feed, window: Window, interval: str
) -> Request | None:
    """The first page of a window; `None` where this market has no such history."""
    name = instrument.instrument
    tag = Tag(kind="history", instrument=name, feed=feed, detail=f"{window.start_ns}-{window.end_ns}")
    if instrument.market_type is MarketType.SPOT:
        return _spot_history(spot, tag, interval)
    match feed:
        case Feed.TRADES:
            return _request(linear, _LINEAR + _SPOT_TRADES, tag, {"contract_code": name, "size": TRADE_ROWS})
        case Feed.KLINES if interval in klines.PERIODS:
            return _candles_window(linear, tag, klines.PERIODS[interval], window.start_ns, window.end_ns)
        case Feed.FUNDING if instrument.market_type is not MarketType.DELIVERY:
            return _funding_page(linear, tag, 1)
        case Feed.LIQUIDATIONS:
            return _liquidations_page(linear, tag, window, 0)
    return None


def _spot_history(root: str, tag: Tag, interval: str) -> Request | None:
    """The newest rows are all there is."""
    if tag.feed is Feed.TRADES:
        query: dict[str, object] = {"symbol": tag.instrument, "size": TRADE_ROWS}
        return _request(root, _SPOT_TRADES, tag, query, _WEIGHT_SPOT_TRADES)
    if tag.feed is Feed.KLINES and interval in klines.PERIODS:
        query = {"symbol": tag.instrument, "period": klines.PERIODS[interval], "size": CANDLE_ROWS}
        return _request(root, _SPOT_CANDLES, tag, query, _WEIGHT_SPOT_CANDLES)
    return None


def _candles_window(root: str, tag: Tag, period: str, start_ns: int, end_ns: int) -> Request:
    """At most 2,000 candles that open in [start, end); the venue's `to` is inclusive, in seconds."""
    step_s = klines.PERIOD_S[period]
    first_s = -(-start_ns // NS_PER_S)
    last_s = max(first_s, min(first_s + (CANDLE_ROWS - 1) * step_s, (end_ns - 1) // NS_PER_S))
    query: dict[str, object] = {"contract_code": tag.instrument, "period": period, "from": first_s, "to": last_s}
    return _request(root, _LINEAR + _SPOT_CANDLES, tag, query)


def _funding_page(root: str, tag: Tag, number: int) -> Request:
    query: dict[str, object] = {
        "contract_code": tag.instrument,
        "page_index": number,
        "page_size": FUNDING_ROWS,
    }
    return _request(root, _FUNDING, tag, query)


def _liquidations_page(root: str, tag: Tag, window: Window, from_id: int) -> Request:
    """Oldest first, by `direct=next`; the next page begins after the last `query_id`."""
    query: dict[str, object] = {
        "contract": tag.instrument,
        "trade_type": 0,
        "start_time": -(-window.start_ns // NS_PER_MS),
        "end_time": (window.end_ns - 1) // NS_PER_MS,
        "direct": "next",
    }
    return _request(root, _LIQUIDATIONS, tag, query | ({"from_id": from_id} if from_id else {}))


def tag_of(url: str) -> Tag | None:
    """Inverse of the requests above, on any host."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    name = query.get("symbol") or query.get("contract_code") or query.get("contract") or ""
    if parts.path.endswith((_SPOT_SYMBOLS, _SPOT_SYMBOLS_V2)):
        return Tag(kind="instruments", detail="spot")
    if parts.path.endswith(_CONTRACTS):
        return Tag(kind="instruments", detail="linear")
    if parts.path.endswith(_OPEN_INTEREST):
        return Tag(kind="poll", instrument=name, feed=Feed.OPEN_INTEREST)
    # The longest path first: that of contracts ends like that of spot.
    for path in sorted(_PAGED, key=len, reverse=True):
        if name and parts.path.endswith(path):
            return Tag(kind="history", instrument=name, feed=_PAGED[path])
    return None


# Bodies -----------------------------------------------------------------------------------------------------------------------


def _data_of(body: bytes, channel: str, decoder: msgspec.json.Decoder[T]) -> tuple[T, int | None]:
    """`data` of a body, and its time. Raises: DecodeError `venue_error` for a refusal of the venue."""
    head = decoding(channel, _body.decode, body)
    if head.status != "ok" or head.code != 200:
        text = head.err_msg or head.err_msg_spot or head.msg or f"{head.status[:32]} {head.code}"
        raise DecodeError(channel, "venue_error", text[:200])
    return decoding(channel, decoder.decode, bytes(head.data)), head.ts


def decode_open_interest(tag: Tag, body: bytes, places: Places, recv_ns: int) -> list[MarketEvent]:
    """Of the contract that was asked for, or of all in the body. Raises: DecodeError."""
    rows, ts = _data_of(body, derivatives.OPEN_INTEREST, _open_interest)
    return [
        derivatives.decode_open_interest(row, ts, places[row.contract_code], recv_ns)
        for row in rows
        if tag.instrument in ("", row.contract_code)
    ]


def decode_page(request: Request, body: bytes, places: Places, recv_ns: int) -> Page:
    """A page in order of time, and the request of the next. Raises: DecodeError."""
    match request.tag.feed:
        case Feed.TRADES:
            return _trades_page(request.tag, body, places, recv_ns)
        case Feed.KLINES:
            return _candles_page(request, body, places, recv_ns)
        case Feed.FUNDING:
            return _funding_rows(request, body, places, recv_ns)
        case Feed.LIQUIDATIONS:
            return _liquidation_rows(request, body, places, recv_ns)
    raise DecodeError(str(request.tag.feed), "unknown_channel", "no history")


def _trades_page(tag: Tag, body: bytes, places: Places, recv_ns: int) -> Page:
    """The newest trades there are, newest first, in groups; what lies before the oldest of them cannot be had."""
    groups, _ = _data_of(body, trades.CHANNEL, _trade_groups)
    rows = [row for group in reversed(groups) for row in group.data]
    rows.sort(key=lambda row: row.ts)
    window, place = _window_of(tag), places[tag.instrument]
    events: list[MarketEvent] = [
        trades.decode_trade(row, place, recv_ns) for row in rows if window is None or row.ts * NS_PER_MS in window
    ]
    # The page begins somewhere inside the millisecond of its oldest row, so it is whole only from the next one on.
    return Page(events=events, reaches_back_to_ns=(rows[0].ts + 1) * NS_PER_MS if rows else recv_ns)


def _candles_page(request: Request, body: bytes, places: Places, recv_ns: int) -> Page:
    tag, query = request.tag, dict(parse_qsl(urlsplit(request.url).query))
    period = query.get("period", "")
    step_s = klines.PERIOD_S.get(period)
    if step_s is None:
        raise DecodeError(klines.CHANNEL, "unknown_channel", f"period {period[:8]!r}")
    rows, _ = _data_of(body, klines.CHANNEL, _candles)
    market = places.market(tag.instrument)
    found = [_candle(row, tag.instrument, market, step_s, recv_ns) for row in sorted(rows, key=lambda row: row.id)]
    window = _window_of(tag)
    events: list[MarketEvent] = [kline for kline in found if window is None or kline.open_ns in window]
    if "to" in query:
        return Page(events=events, next=_next_candles(request, window, query["to"], period))
    return Page(events=events, reaches_back_to_ns=found[0].open_ns if len(found) >= CANDLE_ROWS else None)


def _candle(row: klines.Candle, symbol: str, market: MarketType, step_s: int, recv_ns: int) -> Kline:
    """A row has no push time: its event time is the end of the candle."""
    end_ns = (row.id + step_s) * NS_PER_S
    kline = klines.decode_candle(row, symbol, market, step_s, end_ns, recv_ns)
    return msgspec.structs.replace(kline, is_closed=end_ns + klines.CLOSED_FOR_NS <= recv_ns)


def _next_candles(request: Request, window: Window | None, asked_to: str, period: str) -> Request | None:
    if window is None or not asked_to.isdecimal() or (int(asked_to) + 1) * NS_PER_S >= window.end_ns:
        return None
    next_ns = (int(asked_to) + 1) * NS_PER_S
    return _candles_window(_root(request.url, _LINEAR), request.tag, period, next_ns, window.end_ns)


def _funding_rows(request: Request, body: bytes, places: Places, recv_ns: int) -> Page:
    """Pages go back in time; inside a page the order is turned round."""
    tag = request.tag
    page, _ = _data_of(body, derivatives.FUNDING, _funding)
    rates = [
        derivatives.decode_charged(
            row, places.market(row.contract_code), places.funding_interval_s(row.contract_code), recv_ns
        )
        for row in page.data
    ]
    found = sorted((rate for rate in rates if rate is not None), key=lambda rate: rate.ts_event_ns or 0)
    window = _window_of(tag)
    events: list[MarketEvent] = [rate for rate in found if window is None or rate.ts_event_ns in window]
    is_last = page.current_page >= page.total_page or not found
    if window is None or is_last or (found[0].ts_event_ns or 0) < window.start_ns:
        return Page(events=events)
    return Page(events=events, next=_funding_page(_root(request.url, _FUNDING), tag, page.current_page + 1))


def _liquidation_rows(request: Request, body: bytes, places: Places, recv_ns: int) -> Page:
    tag = request.tag
    rows, _ = _data_of(body, derivatives.LIQUIDATION, _liquidations)
    rows.sort(key=lambda row: (row.created_at, row.query_id))
    window = _window_of(tag)
    events: list[MarketEvent] = [
        event
        for event in derivatives.decode_liquidations(rows, places, recv_ns)
        if window is None or event.ts_event_ns in window
    ]
    last_id = max((row.query_id for row in rows), default=0)
    if window is None or not last_id or not _is_later(request, last_id):
        return Page(events=events)
    return Page(events=events, next=_liquidations_page(_root(request.url, _LIQUIDATIONS), tag, window, last_id))


def _is_later(request: Request, query_id: int) -> bool:
    """Whether a page brought news: one that does not would be asked for without end."""
    before = dict(parse_qsl(urlsplit(request.url).query)).get("from_id", "")
    return not before.isdecimal() or query_id > int(before)


def _window_of(tag: Tag) -> Window | None:
    first, _, last = tag.detail.partition("-")
    return Window(int(first), int(last)) if first.isdecimal() and last.isdecimal() else None


def _root(url: str, path: str) -> str:
    """What stands before a path of this venue."""
    return url[: url.index(path)]

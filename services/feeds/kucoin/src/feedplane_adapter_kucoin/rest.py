"""REST: requests as data, and what their bodies say. Both books of business have hosts of their own. Weights are those of the documents (2025-11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

from . import book, derivatives, klines, trades
from .classic import TOKEN_PATH
from .klines import BY_MINUTES, BY_NAME, INTERVALS
from .plan import carries
from .symbols import data_of, trade_type_of
from .units import Lookup, Units
from .wire import TradeType, decoding

LIMITS = Limits(
    rest_weight=2_000,
    rest_window_ns=30 * NS_PER_S,
    connects=30,  # a minute on the classic system; the other takes 250 in 5 minutes
    connect_window_ns=60 * NS_PER_S,
    channels_per_connection=600,
)

TRADES_KEPT = 100
"""All that a page of trades holds, and there is no page before it."""

SYMBOLS_PATH, CONTRACTS_PATH = "/api/v2/symbols", "/api/v1/contracts/active"
_OLD_SYMBOLS_PATH = "/api/v1/symbols"
_CONTRACT_PATH = "/api/v1/contracts/"
_SPOT_BOOK, _FUTURES_BOOK = "/api/v1/market/orderbook/level2_100", "/api/v1/level2/snapshot"
_BOOK_DEPTHS: dict[str, int | None] = {
    _SPOT_BOOK: 100,
    "/api/v1/market/orderbook/level2_20": 20,
    "/api/v2/market/orderbook/level2": None,
    "/api/v3/market/orderbook/level2": None,
    _FUTURES_BOOK: None,
    "/api/v1/level2/depth20": 20,
    "/api/v1/level2/depth100": 100,
}
"""All that recordings may hold; the whole spot books need a key today."""
_SPOT_TRADES, _FUTURES_TRADES = "/api/v1/market/histories", "/api/v1/trade/history"
_SPOT_KLINES, _FUTURES_KLINES = "/api/v1/market/candles", "/api/v1/kline/query"
_FUNDING = "/api/v1/contract/funding-rates"

_SPOT_KLINE_ROWS, _FUTURES_KLINE_ROWS = 1_500, 200
"""A page; futures answer up to 500 today, 200 by older documents."""
_FUNDING_WINDOW_NS = 4 * 86_400 * NS_PER_S
"""Of one page: 96 rates of a contract that is funded hourly; no maximum is documented."""
_CONTRACT_WEIGHT = 3
_POLL_SHARE = 2
"""Polls take at most this part (one half) of the budget; the rest is for snapshots and repairs."""

T = TypeVar("T")

_spot_trades = msgspec.json.Decoder(list[trades.SpotRow])
_futures_trades = msgspec.json.Decoder(list[trades.FuturesRow])
_spot_klines = msgspec.json.Decoder(list[klines.SpotRow])
_futures_klines = msgspec.json.Decoder(list[klines.FuturesRow])
_funding_rows = msgspec.json.Decoder(list[derivatives.FundingRow])


def _request(root: str, path: str, tag: Tag, weight: int, **query: object) -> Request:
    text = f"?{urlencode(query)}" if query else ""
    return Request(url=f"{root}{path}{text}", tag=tag, weight=weight)


def instruments_requests(roots: Mapping[TradeType, str]) -> list[Request]:
    return [
        _request(roots[TradeType.SPOT], SYMBOLS_PATH, Tag(kind="instruments", detail="symbols"), 4),
        _request(roots[TradeType.FUTURES], CONTRACTS_PATH, Tag(kind="instruments", detail="contracts"), 3),
    ]


def snapshot_request(roots: Mapping[TradeType, str], instrument: Instrument) -> Request:
    """Spot: the best 100 levels, the most without a key. Futures: the whole book."""
    trade_type, symbol = trade_type_of(instrument), instrument.instrument
    path, weight = (_SPOT_BOOK, 2) if trade_type is TradeType.SPOT else (_FUTURES_BOOK, 3)
    tag = Tag(kind="book_snapshot", instrument=symbol, feed=Feed.OB_DIFFS, detail=_depth_text(path))
    return _request(roots[trade_type], path, tag, weight, symbol=symbol)


def _depth_text(path: str) -> str:
    depth = _BOOK_DEPTHS[path]
    return "" if depth is None else str(depth)


def interest_request(root: str, symbol: str) -> Request:
    tag = Tag(kind="poll", instrument=symbol, feed=Feed.OPEN_INTEREST)
    return _request(root, f"{_CONTRACT_PATH}{symbol}", tag, _CONTRACT_WEIGHT)


def klines_poll(root: str, symbol: str, interval: str) -> Request:
    """The newest candles of a contract."""
    tag = Tag(kind="poll", instrument=symbol, feed=Feed.KLINES, detail=interval)
    minutes = INTERVALS[interval].seconds // 60
    return _request(root, _FUTURES_KLINES, tag, 3, symbol=symbol, granularity=minutes)


def poll_every_ns(polls: int, wanted_ns: int) -> int:
    """The wanted interval, or as much longer as the budget asks for."""
    affordable = LIMITS.rest_weight // _POLL_SHARE
    return max(wanted_ns, -(-polls * _CONTRACT_WEIGHT * LIMITS.rest_window_ns // affordable))


def tag_of(url: str) -> Tag | None:
    """Inverse of the requests here, on any host, and of what older recordings asked."""
    parts = urlsplit(url)
    path, query = parts.path[parts.path.find("/api/") :], dict(parse_qsl(parts.query))
    symbol = query.get("symbol", "")
    if path in (SYMBOLS_PATH, _OLD_SYMBOLS_PATH):
        return Tag(kind="instruments", detail="symbols")
    if path == CONTRACTS_PATH:
        return Tag(kind="instruments", detail="contracts")
    if path == TOKEN_PATH:
        return Tag(kind="token")
    if path.startswith(_CONTRACT_PATH) and path.count("/") == 4:
        return Tag(kind="poll", instrument=unquote(path.rpartition("/")[2]), feed=Feed.OPEN_INTEREST)
    if path in _BOOK_DEPTHS and symbol:
        return Tag(kind="book_snapshot", instrument=symbol, feed=Feed.OB_DIFFS, detail=_depth_text(path))
    if path in (_SPOT_TRADES, _FUTURES_TRADES) and symbol:
        return Tag(kind="history", instrument=symbol, feed=Feed.TRADES)
    if path in (_SPOT_KLINES, _FUTURES_KLINES) and symbol:
        kind = "history" if query.keys() & {"startAt", "from"} else "poll"
        return Tag(kind=kind, instrument=symbol, feed=Feed.KLINES, detail=_interval_of(query))
    if path == _FUNDING and symbol:
        return Tag(kind="history", instrument=symbol, feed=Feed.FUNDING)
    return None


def _interval_of(query: Mapping[str, str]) -> str:
    minutes = query.get("granularity", "")
    if minutes.isdecimal() and len(minutes) < 9:
        return BY_MINUTES.get(int(minutes), "")
    return BY_NAME.get(query.get("type", ""), "")


# History


def history_request(
    roots: Mapping[TradeType, str], instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, interval: str
) -> Request | None:
    """The first page of [start_ns, end_ns). Trades: the newest 100 at any rate, cut to the window."""
    trade_type, symbol = trade_type_of(instrument), instrument.instrument
    root = roots[trade_type]
    if feed is Feed.TRADES:
        tag = Tag(kind="history", instrument=symbol, feed=feed, detail=f"{start_ns} {end_ns}")
        path, weight = (_SPOT_TRADES, 3) if trade_type is TradeType.SPOT else (_FUTURES_TRADES, 5)
        return _request(root, path, tag, weight, symbol=symbol)
    if feed is Feed.KLINES and (interval or "1m") in INTERVALS:
        return _klines_page(root, trade_type, symbol, interval or "1m", start_ns, end_ns)
    if feed is Feed.FUNDING and carries(instrument, feed):
        return _funding_page(root, symbol, start_ns, end_ns)
    return None


def _klines_page(root: str, trade_type: TradeType, symbol: str, interval: str, start_ns: int, end_ns: int) -> Request:
    """Candles that open in [start, end), or as many as a page holds; the tag carries interval and end of the whole request."""
    tag = Tag(kind="history", instrument=symbol, feed=Feed.KLINES, detail=f"{interval} {start_ns} {end_ns}")
    step_ns = INTERVALS[interval].seconds * NS_PER_S
    if trade_type is TradeType.SPOT:
        until_s = -(-min(end_ns, start_ns + _SPOT_KLINE_ROWS * step_ns) // NS_PER_S)
        window = {"type": INTERVALS[interval].name, "startAt": start_ns // NS_PER_S, "endAt": until_s}
        return _request(root, _SPOT_KLINES, tag, 3, symbol=symbol, **window)
    until_ms = -(-min(end_ns, start_ns + _FUTURES_KLINE_ROWS * step_ns) // NS_PER_MS)
    minutes = INTERVALS[interval].seconds // 60
    window = {"granularity": minutes, "from": start_ns // NS_PER_MS, "to": until_ms}
    return _request(root, _FUTURES_KLINES, tag, 3, symbol=symbol, **window)


def _funding_page(root: str, symbol: str, start_ns: int, end_ns: int) -> Request:
    tag = Tag(kind="history", instrument=symbol, feed=Feed.FUNDING, detail=f"{start_ns} {end_ns}")
    until_ms = -(-min(end_ns, start_ns + _FUNDING_WINDOW_NS) // NS_PER_MS)
    window = {"from": start_ns // NS_PER_MS, "to": until_ms}
    return _request(root, _FUNDING, tag, 5, symbol=symbol, **window)


def decode_page(request: Request, lookup: Lookup, body: bytes, recv_ns: int) -> Page:
    """A page in time order and the request of the next. A request that was recorded has no window of its own: its page is all there is.

    Raises: DecodeError.
    """
    parts = urlsplit(request.url)
    root = f"{parts.scheme}://{parts.netloc}{parts.path[: parts.path.find('/api/')]}"
    tag = request.tag
    match tag.feed:
        case Feed.TRADES:
            return _trades_page(tag, lookup(tag.instrument, "trades"), body, recv_ns)
        case Feed.KLINES:
            return _decode_klines_page(root, tag, lookup(tag.instrument, klines.CHANNEL), body, recv_ns)
        case Feed.FUNDING:
            return _decode_funding_page(root, tag, lookup(tag.instrument, "funding-rates"), body, recv_ns)
    raise DecodeError(str(tag.feed), "unknown_channel", "no history")


def _trades_page(tag: Tag, units: Units, body: bytes, recv_ns: int) -> Page:
    """The venue sends the newest first. A full page says how far back the venue answers at all."""
    data = data_of(body, "trades")
    rows: list[trades.SpotRow] | list[trades.FuturesRow]
    if units.market is MarketType.SPOT:
        rows = decoding("histories", _spot_trades.decode, data)
        found = [trades.decode_spot_row(row, units, recv_ns) for row in rows]
    else:
        rows = decoding(trades.EXECUTION, _futures_trades.decode, data)
        found = [trades.decode_execution(row, units, recv_ns) for row in rows]
    found.reverse()
    found.sort(key=lambda trade: trade.ts_event_ns or 0)
    reaches_back_to_ns = found[0].ts_event_ns if len(found) >= TRADES_KEPT else None
    start_ns, end_ns = _window(tag)
    inside: list[MarketEvent] = [t for t in found if start_ns <= (t.ts_event_ns or 0) < end_ns]
    return Page(events=inside, reaches_back_to_ns=reaches_back_to_ns)


def _decode_klines_page(root: str, tag: Tag, units: Units, body: bytes, recv_ns: int) -> Page:
    interval = tag.detail.partition(" ")[0]
    start_ns, end_ns = _window(tag)
    events: list[MarketEvent] = [
        kline for kline in decode_klines(units, interval, body, recv_ns) if start_ns <= kline.open_ns < end_ns
    ]
    is_spot = units.market is MarketType.SPOT
    rows = _SPOT_KLINE_ROWS if is_spot else _FUTURES_KLINE_ROWS
    next_ns = start_ns + rows * INTERVALS[interval].seconds * NS_PER_S
    if " " not in tag.detail or next_ns >= end_ns:
        return Page(events=events)
    trade_type = TradeType.SPOT if is_spot else TradeType.FUTURES
    return Page(events=events, next=_klines_page(root, trade_type, tag.instrument, interval, next_ns, end_ns))


def decode_klines(units: Units, interval: str, body: bytes, recv_ns: int) -> list[Kline]:
    """Candles in time order (spot sends the newest first). Raises: DecodeError."""
    known = INTERVALS.get(interval)
    if known is None:
        raise DecodeError(klines.CHANNEL, "unknown_channel", f"interval {interval[:16]!r}")
    data = data_of(body, klines.CHANNEL)
    if units.market is MarketType.SPOT:
        spot = decoding(klines.CHANNEL, _spot_klines.decode, data)
        found = [klines.decode_candle(row, units, known.seconds, None, recv_ns) for row in spot]
    else:
        futures = decoding(klines.CHANNEL, _futures_klines.decode, data)
        found = [klines.decode_futures_row(row, units, known.seconds, recv_ns) for row in futures]
    return sorted(map(klines.settled, found), key=lambda kline: kline.open_ns)


def _decode_funding_page(root: str, tag: Tag, units: Units, body: bytes, recv_ns: int) -> Page:
    rows = decoding("funding-rates", _funding_rows.decode, data_of(body, "funding-rates"))
    rates = [derivatives.decode_funding_row(row, units, recv_ns) for row in rows]
    start_ns, end_ns = _window(tag)
    inside = [rate for rate in rates if start_ns <= (rate.ts_event_ns or 0) < end_ns]
    events: list[MarketEvent] = [*sorted(inside, key=lambda rate: rate.ts_event_ns or 0)]
    next_ns = start_ns + _FUNDING_WINDOW_NS
    if not tag.detail or next_ns >= end_ns:
        return Page(events=events)
    return Page(events=events, next=_funding_page(root, tag.instrument, next_ns, end_ns))


def _window(tag: Tag) -> tuple[int, int]:
    """[start, end) from the last two words of the tag's detail; everything where it has none."""
    words = tag.detail.split()
    return (int(words[-2]), int(words[-1])) if len(words) > 1 else (0, 2**63)


def decode_body(tag: Tag, units: Units, body: bytes, recv_ns: int) -> list[MarketEvent]:
    """Events of a snapshot or poll body. Raises: DecodeError."""
    if tag.kind == "book_snapshot":
        return [book.decode_snapshot(body, units, int(tag.detail) if tag.detail else None, recv_ns)]
    if tag.kind == "poll" and tag.feed is Feed.OPEN_INTEREST:
        return derivatives.decode_open_interest(data_of(body, derivatives.INTEREST), units, recv_ns)
    if tag.kind == "poll" and tag.feed is Feed.KLINES:
        return [*decode_klines(units, tag.detail, body, recv_ns)]
    raise DecodeError(tag.kind, "unknown_channel", f"{tag.feed} {tag.instrument}"[:100])

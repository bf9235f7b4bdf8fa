"""REST: requests as data, and what their bodies say. Weights are those of the documents (read 2026-11-20)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

from .derivatives import FundingRow, decode_funding_row
from .klines import INTERVALS_S, KlineRow, decode_kline_row
from .plan import MAX_STREAMS
from .trades import AggTradeRow, decode_trade
from .wire import decoding

LIMITS = Limits(
    rest_weight=2_400,
    rest_window_ns=60 * NS_PER_S,
    connects=300,  # spot documents 300 in 5 minutes; the futures page names none
    connect_window_ns=300 * NS_PER_S,
    used_weight_header="X-MBX-USED-WEIGHT-1M",
    channels_per_connection=MAX_STREAMS,
)

PAGE_ROWS = 1_000
_TRADE_WINDOW_MS = 3_600_000 - 1  # startTime and endTime must lie less than an hour apart
_WEIGHT_TRADES, _WEIGHT_KLINES, _WEIGHT_SNAPSHOT, _WEIGHT_OPEN_INTEREST = 20, 5, 20, 1
_WEIGHT_FUNDING = 24
"""fundingRate and fundingInfo have a pool of their own, 500 in 5 minutes per IP; 24 of the common 2400 a minute can never exceed it."""
_POLL_SHARE = 2
"""Polls take at most this part (one half) of the budget; the rest is for snapshots and repairs."""

_EXCHANGE_INFO, _FUNDING_INFO = "/fapi/v1/exchangeInfo", "/fapi/v1/fundingInfo"
_DEPTH, _OPEN_INTEREST = "/fapi/v1/depth", "/fapi/v1/openInterest"
_PAGED = {"/fapi/v1/aggTrades": Feed.TRADES, "/fapi/v1/klines": Feed.KLINES, "/fapi/v1/fundingRate": Feed.FUNDING}

_trade_rows = msgspec.json.Decoder(list[AggTradeRow])
_kline_rows = msgspec.json.Decoder(list[KlineRow])
_funding_rows = msgspec.json.Decoder(list[FundingRow])


def _request(root: str, path: str, tag: Tag, weight: int, **query: object) -> Request:
    text = f"?{urlencode(query)}" if query else ""
    return Request(url=f"{root}{path}{text}", tag=tag, weight=weight)


def instruments_requests(root: str) -> list[Request]:
    return [
        _request(root, _EXCHANGE_INFO, Tag(kind="instruments", detail="exchangeInfo"), 1),
        _request(root, _FUNDING_INFO, Tag(kind="instruments", detail="fundingInfo"), _WEIGHT_FUNDING),
    ]


def snapshot_request(root: str, symbol: str, depth: int) -> Request:
    tag = Tag(kind="book_snapshot", instrument=symbol, feed=Feed.OB_DIFFS, detail=str(depth))
    return _request(root, _DEPTH, tag, _WEIGHT_SNAPSHOT, symbol=symbol, limit=depth)


def open_interest_request(root: str, symbol: str) -> Request:
    tag = Tag(kind="poll", instrument=symbol, feed=Feed.OPEN_INTEREST)
    return _request(root, _OPEN_INTEREST, tag, _WEIGHT_OPEN_INTEREST, symbol=symbol)


def open_interest_every_ns(symbols: int, wanted_ns: int) -> int:
    """The wanted interval, or as much longer as the budget asks for."""
    affordable = LIMITS.rest_weight // _POLL_SHARE
    return max(wanted_ns, -(-symbols * _WEIGHT_OPEN_INTEREST * LIMITS.rest_window_ns // affordable))


def tag_of(url: str) -> Tag | None:
    """Inverse of the requests above, on any host."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    symbol = query.get("symbol", "")
    if parts.path in (_EXCHANGE_INFO, _FUNDING_INFO):
        return Tag(kind="instruments", detail=parts.path.rpartition("/")[2])
    if not symbol:
        return None
    if parts.path == _DEPTH:
        return Tag(kind="book_snapshot", instrument=symbol, feed=Feed.OB_DIFFS, detail=query.get("limit", "500"))
    if parts.path == _OPEN_INTEREST:
        return Tag(kind="poll", instrument=symbol, feed=Feed.OPEN_INTEREST)
    if feed := _PAGED.get(parts.path):
        return Tag(kind="history", instrument=symbol, feed=feed, detail=query.get("interval", ""))
    return None


def history_request(
    root: str, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str, interval: str
) -> Request | None:
    """The first page of [start_ns, end_ns); trades after an id are paged by id. aggTrades answers for the last 48 hours only."""
    start_ms, last_ms = -(-start_ns // NS_PER_MS), (end_ns - 1) // NS_PER_MS
    symbol = instrument.instrument
    if feed is Feed.TRADES:
        return _trades_page(root, symbol, last_ms, start_ms, int(after_id) + 1 if after_id else None)
    tag = Tag(kind="history", instrument=symbol, feed=feed, detail=interval if feed is Feed.KLINES else "")
    window = {"startTime": start_ms, "endTime": last_ms, "limit": PAGE_ROWS}
    if feed is Feed.KLINES:
        return _request(
            root, "/fapi/v1/klines", tag, _WEIGHT_KLINES, symbol=symbol, interval=interval or "1m", **window
        )
    if feed is Feed.FUNDING and instrument.market_type is not MarketType.DELIVERY:
        return _request(root, "/fapi/v1/fundingRate", tag, _WEIGHT_FUNDING, symbol=symbol, **window)
    return None


def _trades_page(root: str, symbol: str, last_ms: int, start_ms: int, from_id: int | None) -> Request:
    """The tag's detail carries the end of the whole request: a page by id has no room for it in its URL."""
    tag = Tag(kind="history", instrument=symbol, feed=Feed.TRADES, detail=str(last_ms))
    path, weight = "/fapi/v1/aggTrades", _WEIGHT_TRADES
    if from_id is not None:
        return _request(root, path, tag, weight, symbol=symbol, fromId=from_id, limit=PAGE_ROWS)
    end_ms = min(last_ms, start_ms + _TRADE_WINDOW_MS)
    return _request(root, path, tag, weight, symbol=symbol, startTime=start_ms, endTime=end_ms, limit=PAGE_ROWS)


def decode_page(
    request: Request, market: MarketType, funding_interval_s: int | None, body: bytes, recv_ns: int
) -> Page:
    """A page and the request of the next.

    Raises: DecodeError.
    """
    parts = urlsplit(request.url)
    root = f"{parts.scheme}://{parts.netloc}"
    query = dict(parse_qsl(parts.query))
    symbol = request.tag.instrument
    match request.tag.feed:
        case Feed.TRADES:
            return _decode_trades_page(root, request.tag, query, market, body, recv_ns)
        case Feed.KLINES:
            interval = request.tag.detail or query.get("interval", "1m")
            klines = decoding("klines", _kline_rows.decode, body)
            events: list[MarketEvent] = [decode_kline_row(row, symbol, market, interval, recv_ns) for row in klines]
            after_ms = klines[-1][0] + INTERVALS_S[interval] * 1_000 if klines else None
        case Feed.FUNDING:
            rates = decoding("fundingRate", _funding_rows.decode, body)
            events = [decode_funding_row(row, market, recv_ns, funding_interval_s) for row in rates]
            after_ms = rates[-1].fundingTime + 1 if rates else None
        case _:
            raise DecodeError(str(request.tag.feed), "unknown_channel", "no history")
    return Page(events=events, next=_later_window(request, query, len(events), after_ms))


def _decode_trades_page(
    root: str, tag: Tag, query: Mapping[str, str], market: MarketType, body: bytes, recv_ns: int
) -> Page:
    rows = decoding("aggTrades", _trade_rows.decode, body)
    symbol = tag.instrument
    last_ms = int(tag.detail) if tag.detail else None
    events: list[MarketEvent] = [
        decode_trade(row, symbol, market, recv_ns) for row in rows if last_ms is None or last_ms >= row.T
    ]
    if last_ms is None or len(events) < len(rows):
        return Page(events=events)
    if len(rows) >= _rows_asked(query):
        return Page(events=events, next=_trades_page(root, symbol, last_ms, 0, rows[-1].a + 1))
    window_end = query.get("endTime")
    if window_end is None or int(window_end) >= last_ms:
        return Page(events=events)  # by id: a short page has reached the present
    return Page(events=events, next=_trades_page(root, symbol, last_ms, int(window_end) + 1, None))


def _later_window(request: Request, query: Mapping[str, str], rows: int, after_ms: int | None) -> Request | None:
    end = query.get("endTime")
    if after_ms is None or end is None or rows < _rows_asked(query) or after_ms > int(end):
        return None
    parts = urlsplit(request.url)
    url = parts._replace(query=urlencode({**query, "startTime": after_ms})).geturl()
    return msgspec.structs.replace(request, url=url)


def _rows_asked(query: Mapping[str, str]) -> int:
    return int(query.get("limit", "500"))

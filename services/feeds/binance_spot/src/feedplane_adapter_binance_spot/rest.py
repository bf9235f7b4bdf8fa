"""REST: requests as data, and their bodies. Times are sent in ms; answers are ms unless the caller asks otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, MarketEvent, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from .book import WholeBook, decode_whole_book
from .klines import KlineRow, decode_kline_row
from .trades import AggTradeRow, TradeRow, decode_agg_trade_row, decode_trade_row
from .wire import JSON_ERRORS, refusal

PAGE_ROWS = 1_000
SNAPSHOT_LIMITS = {100: 5, 500: 25, 1_000: 50, 5_000: 250}
"""Levels -> weight of `GET /api/v3/depth`."""

_API = "/api/v3/"
_EXCHANGE_INFO, _DEPTH, _TRADES, _BY_ID = "exchangeInfo", "depth", "trades", "historicalTrades"
_AGG_TRADES, _KLINES = "aggTrades", "klines"

_WHOLE_BOOK = msgspec.json.Decoder(WholeBook)
_TRADE_ROWS = msgspec.json.Decoder(list[TradeRow])
_AGG_TRADE_ROWS = msgspec.json.Decoder(list[AggTradeRow])
_KLINE_ROWS = msgspec.json.Decoder(list[KlineRow])

_SEEK = "seek"

T = TypeVar("T")


def instruments_request(base: str) -> Request:
    return Request(url=f"{base}{_API}{_EXCHANGE_INFO}?showPermissionSets=false", tag=Tag(kind="instruments"), weight=20)


def snapshot_request(base: str, instrument: Instrument, limit: int) -> Request:
    return Request(
        url=_url(base, _DEPTH, symbol=instrument.instrument, limit=limit),
        tag=Tag(kind="book_snapshot", instrument=instrument.instrument, feed=Feed.OB_DIFFS, detail=str(limit)),
        weight=SNAPSHOT_LIMITS[limit],
    )


def trades_by_id(base: str, symbol: str, from_id: int, until_ns: int) -> Request:
    """`fromId` is inclusive; there is no time bound, so `until_ns` rides in the tag."""
    url = _url(base, _BY_ID, symbol=symbol, fromId=from_id, limit=PAGE_ROWS)
    return Request(url=url, tag=_history(symbol, Feed.TRADES, str(until_ns)), weight=25)


def first_trade_at(base: str, symbol: str, start_ns: int, until_ns: int) -> Request:
    """Trades are paged by id alone: the first aggregate at or after `start_ns` names the id to begin with."""
    url = _url(base, _AGG_TRADES, symbol=symbol, startTime=_ms_up(start_ns), limit=1)
    return Request(url=url, tag=_history(symbol, Feed.TRADES, f"{_SEEK} {until_ns}"), weight=4)


def agg_trades_from_time(base: str, symbol: str, start_ns: int, until_ns: int) -> Request:
    """`startTime` alone: with an `endTime` the venue has bounded the window, and pages go on by id anyway."""
    url = _url(base, _AGG_TRADES, symbol=symbol, startTime=_ms_up(start_ns), limit=PAGE_ROWS)
    return Request(url=url, tag=_history(symbol, Feed.TRADES, str(until_ns)), weight=4)


def agg_trades_by_id(base: str, symbol: str, from_id: int, until_ns: int) -> Request:
    url = _url(base, _AGG_TRADES, symbol=symbol, fromId=from_id, limit=PAGE_ROWS)
    return Request(url=url, tag=_history(symbol, Feed.TRADES, str(until_ns)), weight=4)


def klines_request(base: str, symbol: str, interval: str, start_ns: int, end_ns: int) -> Request:
    """Candles that open in [start, end); the venue's `endTime` is inclusive."""
    url = _url(
        base,
        _KLINES,
        symbol=symbol,
        interval=interval,
        startTime=_ms_up(start_ns),
        endTime=_ms_up(end_ns) - 1,
        limit=PAGE_ROWS,
    )
    return Request(url=url, tag=_history(symbol, Feed.KLINES, interval), weight=2)


def tag_of(url: str) -> Tag | None:
    """Told from path and query, on any host; `None` for paths that are not asked for here."""
    _, path, query = _parts(url)
    symbol = query.get("symbol", "")
    match path:
        case "exchangeInfo":
            return Tag(kind="instruments")
        case "depth" if symbol:
            return Tag(kind="book_snapshot", instrument=symbol, feed=Feed.OB_DIFFS, detail=query.get("limit", "100"))
        case "trades" | "historicalTrades" | "aggTrades" if symbol:
            return _history(symbol, Feed.TRADES, "")
        case "klines" if symbol:
            return _history(symbol, Feed.KLINES, query.get("interval", ""))
    return None


def decode_snapshot(tag: Tag, body: bytes, recv_ns: int) -> BookSnapshot:
    """Raises: DecodeError. Source: REST API, "Order book", read 2026-11-20."""
    book = _decoded(_WHOLE_BOOK, body, _DEPTH)
    return decode_whole_book(book, tag.instrument, _number(tag.detail), recv_ns, _DEPTH)


def decode_page(request: Request, body: bytes, recv_ns: int, history_base: str) -> Page:
    """Rows of a history page in time order, and the request of the next one. Raises: DecodeError."""
    base, path, query = _parts(request.url)
    symbol = request.tag.instrument
    match path:
        case "klines":
            return _klines_page(base, symbol, query, body, recv_ns)
        case "aggTrades" if request.tag.detail.startswith(_SEEK):
            rows = _decoded(_AGG_TRADE_ROWS, body, path)
            until_ns = _number(request.tag.detail.removeprefix(_SEEK).strip())
            if not rows or until_ns is None:
                return Page(events=[])
            return Page(events=[], next=trades_by_id(history_base, symbol, rows[0].f, until_ns))
        case "aggTrades":
            aggregates = [decode_agg_trade_row(row, symbol, recv_ns) for row in _decoded(_AGG_TRADE_ROWS, body, path)]
            return _trades_page(aggregates, request, base, query, agg_trades_by_id)
        case "trades" | "historicalTrades":
            trades = [decode_trade_row(row, symbol, recv_ns) for row in _decoded(_TRADE_ROWS, body, path)]
            return _trades_page(trades, request, base, query, trades_by_id)
    raise DecodeError(path[:32] or "-", "unknown_channel", "no page of history")


def _trades_page(
    trades: Sequence[Trade],
    request: Request,
    base: str,
    query: dict[str, str],
    following: Callable[[str, str, int, int], Request],
) -> Page:
    """Cut at the end of the window. Another page follows while the venue fills pages and the window is not over."""
    until_ns = _number(request.tag.detail)
    inside: list[MarketEvent] = [t for t in trades if until_ns is None or (t.ts_event_ns or 0) < until_ns]
    is_full = len(trades) >= (_number(query.get("limit", "")) or PAGE_ROWS)
    if until_ns is None or not is_full or len(inside) < len(trades):
        return Page(events=inside)
    return Page(events=inside, next=following(base, request.tag.instrument, int(trades[-1].trade_id) + 1, until_ns))


def _klines_page(base: str, symbol: str, query: dict[str, str], body: bytes, recv_ns: int) -> Page:
    interval = query.get("interval", "")
    klines = [decode_kline_row(row, symbol, interval, recv_ns) for row in _decoded(_KLINE_ROWS, body, _KLINES)]
    end_ms = _number(query.get("endTime", ""))
    is_full = len(klines) >= (_number(query.get("limit", "")) or PAGE_ROWS)
    if end_ms is None or not is_full:
        return Page(events=list(klines))
    end_ns = (end_ms + 1) * NS_PER_MS
    start_ns = klines[-1].open_ns + klines[-1].interval_s * NS_PER_S
    following = klines_request(base, symbol, interval, start_ns, end_ns) if start_ns < end_ns else None
    return Page(events=list(klines), next=following)


def _history(symbol: str, feed: Feed, detail: str) -> Tag:
    return Tag(kind="history", instrument=symbol, feed=feed, detail=detail)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() else None


def _ms_up(ns: int) -> int:
    return -(-ns // NS_PER_MS)


def _url(base: str, call: str, **query: str | int) -> str:
    return f"{base}{_API}{call}?{urlencode(query)}"


def _parts(url: str) -> tuple[str, str, dict[str, str]]:
    """(base, call, query) of a URL built here; the call is empty for a path of another API."""
    split = urlsplit(url)
    prefix, found, call = split.path.partition(_API)
    base = f"{split.scheme}://{split.netloc}{prefix}"
    return base, call if found else "", dict(parse_qsl(split.query))


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, channel: str) -> T:
    try:
        return decoder.decode(body)
    except JSON_ERRORS as error:
        raise refusal(channel, error) from error

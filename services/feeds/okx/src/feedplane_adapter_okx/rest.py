"""REST: requests as data, and what their pages say. Weights follow from the limit of each endpoint (documents read 2026-11-20)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from feedplane_core.adapter import Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent, Trade
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed

from . import derivatives, klines, trades
from .book import DEPTH
from .places import Place
from .symbols import TYPES
from .wire import Body, decoder, rows_of

_BUDGET = 40
LIMITS = Limits(rest_weight=_BUDGET, rest_window_ns=2 * NS_PER_S, connects=3, connect_window_ns=NS_PER_S)
"""Endpoints have limits of their own, 10 to 100 calls in 2 s. In one budget of 40 a call weighs 40 / its limit, so that none of them can be exceeded."""

TRADE_ROWS = 100
CANDLE_ROWS = 300
FUNDING_HOURS = 400
"""A page holds 400 rates, and none is charged more often than hourly."""

_VERSION = "/api/v5/"
_INSTRUMENTS, _BOOK = "/api/v5/public/instruments", "/api/v5/market/books"
_TRADES, _RECENT_TRADES = "/api/v5/market/history-trades", "/api/v5/market/trades"
_CANDLES, _RECENT_CANDLES = "/api/v5/market/history-candles", "/api/v5/market/candles"
_FUNDING = "/api/v5/public/funding-rate-history"
_PAGED = {
    _TRADES: Feed.TRADES,
    _RECENT_TRADES: Feed.TRADES,
    _CANDLES: Feed.KLINES,
    _RECENT_CANDLES: Feed.KLINES,
    _FUNDING: Feed.FUNDING,
}
_CALLS = {_INSTRUMENTS: 20, _BOOK: 40, _TRADES: 20, _CANDLES: 20, _FUNDING: 10}
"""Allowed in 2 s."""
_BY_ID, _BY_TIME = "1", "2"
_SEEK, _FORWARD, _DOWN = "seek", "forward", "down"

_trade_rows = decoder(Body[trades.Row])
_kline_rows = decoder(Body[klines.Row])
_settled_rows = decoder(Body[derivatives.SettledRow])


def _request(root: str, path: str, tag: Tag, **query: object) -> Request:
    return Request(url=f"{root}{path}?{urlencode(query)}", tag=tag, weight=_BUDGET // _CALLS[path])


def _split(url: str) -> tuple[str, str, dict[str, str]]:
    """(root, path, query): the root is all before `/api/v5/`."""
    parts = urlsplit(url)
    base, found, path = parts.path.partition(_VERSION)
    return f"{parts.scheme}://{parts.netloc}{base}", found + path, dict(parse_qsl(parts.query))


def instruments_requests(root: str) -> list[Request]:
    return [_request(root, _INSTRUMENTS, Tag(kind="instruments", detail=kind), instType=kind) for kind in TYPES]


def snapshot_request(root: str, name: str) -> Request:
    tag = Tag(kind="book_snapshot", instrument=name, feed=Feed.OB_DIFFS, detail=str(DEPTH))
    return _request(root, _BOOK, tag, instId=name, sz=DEPTH)


def tag_of(url: str) -> Tag | None:
    """Inverse of the requests here, on any host and below any base; options and margin pairs are not asked for."""
    _, path, query = _split(url)
    if path == _INSTRUMENTS:
        kind = query.get("instType", "")
        return Tag(kind="instruments", detail=kind) if kind in TYPES else None
    name = query.get("instId", "")
    if not name:
        return None
    if path == _BOOK:
        return Tag(kind="book_snapshot", instrument=name, feed=Feed.OB_DIFFS, detail=query.get("sz", "1"))
    if feed := _PAGED.get(path):
        return Tag(kind="history", instrument=name, feed=feed, detail=query.get("bar", ""))
    return None


def history_request(
    root: str, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, after_id: str, interval: str
) -> Request | None:
    """The first page of [start_ns, end_ns); of trades also after an id. `after` and `before` are the venue's: older than, newer than."""
    name = instrument.instrument
    if feed is Feed.TRADES:
        if after_id:
            return _trades_forward(root, name, int(after_id) + 1, start_ns, end_ns)
        return _last_trade_before(root, name, start_ns, end_ns)
    if feed is Feed.KLINES:
        bar = klines.BARS.get(interval or "1m")
        return None if bar is None else _candles_page(root, name, bar, start_ns, end_ns)
    if feed is Feed.FUNDING:
        return _funding_page(root, name, start_ns, end_ns)
    return None


def decode_page(request: Request, place: Place, body: bytes, recv_ns: int) -> Page:
    """A page in time order, and the request of the next.

    Raises: DecodeError.
    """
    root, _, query = _split(request.url)
    match request.tag.feed:
        case Feed.TRADES:
            return _decode_trades(root, request.tag.detail, query, place, body, recv_ns)
        case Feed.KLINES:
            return _decode_candles(root, request.tag.detail, query, place, body, recv_ns)
        case Feed.FUNDING:
            return _decode_funding(root, request.tag.detail, place, body, recv_ns)
    raise DecodeError(str(request.tag.feed), "unknown_channel", "no history")


# Trades. The tag's detail is "<step> <start_ns> <end_ns>": a URL has no room for the window of the whole request.


def _trades_request(root: str, name: str, step: str, start_ns: int, end_ns: int, **query: object) -> Request:
    tag = Tag(kind="history", instrument=name, feed=Feed.TRADES, detail=f"{step} {start_ns} {end_ns}")
    return _request(root, _TRADES, tag, instId=name, **query)


def _last_trade_before(root: str, name: str, start_ns: int, end_ns: int) -> Request:
    """Pages by time begin with the newest, so one call finds the last trade before the window; from there on ids lead forward."""
    after_ms = max(1, start_ns // NS_PER_MS)
    return _trades_request(root, name, _SEEK, start_ns, end_ns, type=_BY_TIME, after=after_ms, limit=1)


def _trades_forward(root: str, name: str, first_id: int, start_ns: int, end_ns: int) -> Request:
    """Ids from `first_id` on: they count by one, so the newest hundred below `first_id + 100` are these."""
    after = first_id + TRADE_ROWS
    return _trades_request(root, name, _FORWARD, start_ns, end_ns, type=_BY_ID, after=after, limit=TRADE_ROWS)


def _decode_trades(root: str, detail: str, query: Mapping[str, str], place: Place, body: bytes, recv_ns: int) -> Page:
    rows = sorted(rows_of(trades.CHANNEL, _trade_rows.decode, body), key=lambda row: row.tradeId)
    found = [trades.decode_trade(row, place, recv_ns) for row in rows]
    step, _, window = detail.partition(" ")
    if step not in (_SEEK, _FORWARD, _DOWN):
        return Page(events=list(found))  # recorded: of no window of ours
    start_ns, end_ns = map(int, window.split())
    if step == _SEEK:
        if found:
            return Page(events=[], next=_trades_forward(root, place.name, rows[-1].tradeId + 1, start_ns, end_ns))
        # Nothing is that old here (a young instrument, or more than three months back): down from the end of the window.
        last_ms = end_ns // NS_PER_MS
        down = _trades_request(
            root, place.name, _DOWN, start_ns, end_ns, type=_BY_TIME, after=last_ms, limit=TRADE_ROWS
        )
        return Page(events=[], next=down)
    inside: list[MarketEvent] = [trade for trade in found if start_ns <= _time_ns(trade) < end_ns]
    if step == _DOWN:
        if len(rows) < TRADE_ROWS or _time_ns(found[0]) < start_ns:
            return Page(events=inside)
        older = _trades_request(
            root, place.name, _DOWN, start_ns, end_ns, type=_BY_ID, after=rows[0].tradeId, limit=TRADE_ROWS
        )
        return Page(events=inside, next=older)
    after = int(query["after"])
    is_present = not rows or rows[-1].tradeId < after - 1  # ids up to after - 1 do not exist yet
    first_id = after - TRADE_ROWS
    fresh = [event for event in inside if isinstance(event, Trade) and int(event.trade_id) >= first_id]
    if is_present or _time_ns(found[-1]) >= end_ns:
        return Page(events=list(fresh))
    return Page(events=list(fresh), next=_trades_forward(root, place.name, after, start_ns, end_ns))


def _time_ns(trade: Trade) -> int:
    assert trade.ts_event_ns is not None
    return trade.ts_event_ns


# Candles and funding: windows forward in time. The tag's detail is "<what> <end_ns of the whole request>".


def _candles_page(root: str, name: str, bar: str, start_ns: int, end_ns: int) -> Request:
    """Candles that open in [start, end), at most 300 of them."""
    first_ms = -(-start_ns // NS_PER_MS)
    last_ms = min(-(-end_ns // NS_PER_MS), first_ms + CANDLE_ROWS * klines.BAR_SECONDS[bar] * 1_000)
    tag = Tag(kind="history", instrument=name, feed=Feed.KLINES, detail=f"{bar} {end_ns}")
    return _request(root, _CANDLES, tag, instId=name, bar=bar, before=first_ms - 1, after=last_ms, limit=CANDLE_ROWS)


def _decode_candles(root: str, detail: str, query: Mapping[str, str], place: Place, body: bytes, recv_ns: int) -> Page:
    bar = query.get("bar", "1m")
    interval_s = klines.BAR_SECONDS.get(bar)
    if interval_s is None:
        raise DecodeError(klines.CHANNEL, "unknown_channel", f"bar {bar[:16]!r}")
    rows = sorted(rows_of(klines.CHANNEL, _kline_rows.decode, body), key=lambda row: row[0])
    events: list[MarketEvent] = [klines.decode_kline(row, place, recv_ns, interval_s) for row in rows]
    end_ns, next_ns = _window_of(detail), _number(query.get("after", "")) * NS_PER_MS
    if end_ns is None or next_ns >= end_ns:
        return Page(events=events)
    return Page(events=events, next=_candles_page(root, place.name, bar, next_ns, end_ns))


def _funding_page(root: str, name: str, start_ns: int, end_ns: int) -> Request:
    first_ms = -(-start_ns // NS_PER_MS)
    last_ms = min(-(-end_ns // NS_PER_MS), first_ms + FUNDING_HOURS * 3_600_000)
    tag = Tag(kind="history", instrument=name, feed=Feed.FUNDING, detail=f"{last_ms} {end_ns}")
    return _request(root, _FUNDING, tag, instId=name, before=first_ms - 1, after=last_ms, limit=FUNDING_HOURS)


def _decode_funding(root: str, detail: str, place: Place, body: bytes, recv_ns: int) -> Page:
    rows = sorted(rows_of(derivatives.FUNDING, _settled_rows.decode, body), key=lambda row: row.fundingTime)
    events: list[MarketEvent] = [derivatives.decode_settled(row, place, recv_ns) for row in rows]
    end_ns, next_ns = _window_of(detail), _number(detail.partition(" ")[0]) * NS_PER_MS
    if end_ns is None or next_ns >= end_ns:
        return Page(events=events)
    return Page(events=events, next=_funding_page(root, place.name, next_ns, end_ns))


def _window_of(detail: str) -> int | None:
    """The end of the whole request; `None` for a recorded page, which was of no window of ours."""
    text = detail.partition(" ")[2]
    return int(text) if text.isdecimal() else None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() else 0

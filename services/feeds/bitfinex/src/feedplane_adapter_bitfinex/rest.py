"""REST: requests as data, and what their bodies say.

Limits are per endpoint and address: 15 a minute for trades, 30 for candles, 90 for the rest. One budget of 90 a minute carries them all; what is allowed less often weighs more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

from . import derivatives, klines, trades
from .symbols import LABELS, Directory, refused
from .wire import Row, decoded, ms_ns, row_of

LIMITS = Limits(
    rest_weight=90,
    rest_window_ns=60 * NS_PER_S,
    connects=20,
    connect_window_ns=60 * NS_PER_S,
    channels_per_connection=25,
)
TRADES_WEIGHT, CANDLES_WEIGHT = 6, 3
ROWS_PER_PAGE = {Feed.TRADES: 10_000, Feed.KLINES: 10_000}
STATUS_ROWS_PER_PAGE = 5_000
_STATUS_FEEDS = frozenset({Feed.MARK_PRICE, Feed.FUNDING, Feed.OPEN_INTEREST})

_CONF = "/v2/conf/" + ",".join(LABELS)
_TRADES = re.compile(r"/v2/trades/([^/]+)/hist").fullmatch
_CANDLES = re.compile(r"/v2/candles/trade:([0-9]{1,2}[mhDW]):([^/]+)/hist").fullmatch
_STATUS = re.compile(r"/v2/status/deriv/([^/]+)/hist").fullmatch
_FEED = "feed"
"""A parameter of our own: one path holds the history of three feeds. The venue reads what it knows."""


def instruments_requests(root: str) -> list[Request]:
    return [Request(url=f"{root}{_CONF}", tag=Tag(kind="instruments"))]


def tag_of(url: str) -> Tag | None:
    """Inverse of the requests here, on any host."""
    parts = urlsplit(url)
    at = parts.path.find("/v2/")
    path, query = unquote(parts.path[at:]) if at >= 0 else "", dict(parse_qsl(parts.query))
    if path == _CONF:
        return Tag(kind="instruments")
    if found := _TRADES(path):
        return Tag(kind="history", instrument=found[1], feed=Feed.TRADES)
    if (found := _CANDLES(path)) and found[1] in klines.INTERVALS_S:
        return Tag(kind="history", instrument=found[2], feed=Feed.KLINES, detail=found[1])
    feed = query.get(_FEED, Feed.FUNDING.value)
    if (found := _STATUS(path)) and feed in _STATUS_FEEDS:
        return Tag(kind="history", instrument=found[1], feed=Feed(feed))
    return None


def history_request(
    root: str, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, detail: str
) -> Request | None:
    """The first page of [start_ns, end_ns), oldest first; `None` where there is none."""
    symbol = instrument.instrument
    window: dict[str, object] = {"start": -(-start_ns // NS_PER_MS), "end": (end_ns - 1) // NS_PER_MS, "sort": 1}
    if feed is Feed.TRADES:
        return _request(f"{root}/v2/trades/{symbol}/hist", symbol, feed, "", window, TRADES_WEIGHT)
    if feed is Feed.KLINES and (detail or "1m") in klines.CODES:
        code = klines.CODES[detail or "1m"]
        url = f"{root}/v2/candles/{klines.key_of(code, symbol)}/hist"
        return _request(url, symbol, feed, code, window, CANDLES_WEIGHT)
    if feed in _STATUS_FEEDS and instrument.market_type is MarketType.PERP_LINEAR:
        window |= {_FEED: feed.value}
        return _request(f"{root}/v2/status/deriv/{symbol}/hist", symbol, feed, "", window, 1)
    return None


def _request(url: str, symbol: str, feed: Feed, detail: str, query: Mapping[str, object], weight: int) -> Request:
    limit = ROWS_PER_PAGE.get(feed, STATUS_ROWS_PER_PAGE)
    scheme, _, rest = url.partition("://")
    asked = urlencode({**query, "limit": limit})
    tag = Tag(kind="history", instrument=symbol, feed=feed, detail=detail)
    return Request(url=f"{scheme}://{quote(rest, safe='/:')}?{asked}", tag=tag, weight=weight)


def decode_page(request: Request, directory: Directory, body: bytes, recv_ns: int, index_source: str) -> Page:
    """A page in order of time, and the request of the next. Raises: DecodeError."""
    feed, symbol = request.tag.feed, request.tag.instrument
    told = tag_of(request.url) or request.tag
    channel = str(feed)
    rows = [row_of(row, channel, 1) for row in row_of(refused(decoded(channel, body), channel), channel, 0)]
    market = directory.market_of(symbol)
    events: list[MarketEvent] = []
    match feed:
        case Feed.TRADES:
            rows = sorted(filter(_has_id, rows), key=lambda row: (ms_ns(row_of(row, channel, 4)[1], channel), row[0]))
            kept, following = _following(request, rows, 1)
            events += [trades.decode_trade(row, symbol, market, recv_ns) for row in kept]
        case Feed.KLINES:
            if told.detail not in klines.INTERVALS_S:
                raise DecodeError(klines.CHANNEL, "unknown_channel", f"interval {told.detail[:8]!r}")
            rows = sorted(rows, key=lambda row: ms_ns(row_of(row, channel, 6)[0], channel))
            kept, following = _following(request, rows, 0)
            interval_s = klines.INTERVALS_S[told.detail]
            for row in kept:
                candle = klines.decode_candle(row, symbol, market, interval_s, None, recv_ns)
                is_closed = row is not rows[-1] or klines.is_settled(candle, recv_ns)
                events.append(msgspec.structs.replace(candle, is_closed=is_closed))
        case Feed.MARK_PRICE | Feed.FUNDING | Feed.OPEN_INTEREST:
            rows = sorted(rows, key=lambda row: ms_ns(row[0], channel))
            kept, following = _following(request, rows, 0)
            for row in kept:
                told_events = derivatives.decode_status(row, symbol, market, recv_ns, index_source)
                events += [event for event in told_events if event.feed is feed]
        case _:
            raise DecodeError(channel, "unknown_channel", "no history")
    return Page(events=events, next=following)


def _has_id(row: Row) -> bool:
    """Raises: DecodeError where it has none: a page that cannot be ordered is no page."""
    if type(row[0]) is not int:
        raise DecodeError(trades.CHANNEL, "schema", "trade without its id")
    return True


def _following(request: Request, rows: list[Row], clock: int) -> tuple[list[Row], Request | None]:
    """The rows of this page and the request of the next: a full page ends somewhere in its last millisecond, with which the next one begins."""
    parts = urlsplit(request.url)
    query = dict(parse_qsl(parts.query))
    limit = query.get("limit", "")
    if not limit.isdecimal() or not rows or len(rows) < int(limit):
        return rows, None
    last_ms = rows[-1][clock]
    kept = [row for row in rows if row[clock] != last_ms]
    start_ms = last_ms if kept else last_ms + 1
    url = parts._replace(query=urlencode(query | {"start": str(start_ms)})).geturl()
    return kept or rows, msgspec.structs.replace(request, url=url)

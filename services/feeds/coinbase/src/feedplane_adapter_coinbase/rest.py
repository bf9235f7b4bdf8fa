"""REST: requests as data, and their bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import Kline, MarketEvent, Trade
from feedplane_core.names import NS_PER_S, Feed

from .klines import GRANULARITY_S, CandleRow, decode_candle
from .trades import TradeRow, decode_trade_row
from .wire import JSON_ERRORS, iso_ns, refusal

PAGE_ROWS = 1_000
CANDLE_ROWS = 300
MAX_PAGES_MISSING = 5
"""A hole beyond this is for backfill."""
HEADERS = {"User-Agent": "feedplane"}
"""Requests without a user agent have been refused."""

_PRODUCT_CALL = re.compile(r"(.*)/products/([^/]+)/(trades|candles)").fullmatch
_NAMES = {seconds: name for name, seconds in GRANULARITY_S.items()}
_NEWEST, _SEEK = "newest", "seek"

_TRADE_ROWS = msgspec.json.Decoder(list[TradeRow])
_CANDLE_ROWS = msgspec.json.Decoder(list[CandleRow])

T = TypeVar("T")


def instruments_request(base: str) -> Request:
    return Request(url=f"{base}/products", tag=Tag(kind="instruments"), headers=HEADERS)


def candles_poll(base: str, product: str, interval: str) -> Request:
    """The newest 300 buckets."""
    url = _url(base, product, "candles", granularity=GRANULARITY_S[interval])
    return Request(
        url=url, tag=Tag(kind="poll", instrument=product, feed=Feed.KLINES, detail=interval), headers=HEADERS
    )


def candles_page(base: str, product: str, interval: str, start_ns: int, end_ns: int) -> Request:
    """At most 300 buckets that open in [start, end). `end` of the venue is inclusive, and more than 300 buckets are an error; the whole window's end rides in the tag."""
    step_s = GRANULARITY_S[interval]
    first_s = -(-start_ns // (step_s * NS_PER_S)) * step_s
    last_s = min(first_s + (CANDLE_ROWS - 1) * step_s, (end_ns - 1) // NS_PER_S)
    url = _url(base, product, "candles", granularity=step_s, start=_iso(first_s), end=_iso(max(first_s, last_s)))
    return _history(url, product, Feed.KLINES, str(end_ns))


def newest_trade(base: str, product: str, start_ns: int, end_ns: int) -> Request:
    """Trades are paged by id alone: a search by halves, from the newest id down, finds the first one at or after `start_ns`."""
    return _history(_url(base, product, "trades", limit=1), product, Feed.TRADES, f"{_NEWEST} {start_ns} {end_ns}")


def trades_from(base: str, product: str, first_id: int, end_ns: int) -> Request:
    """Ids from `first_id` on, a page of consecutive ids: the cursor `after=X` gives the newest rows below X."""
    url = _url(base, product, "trades", after=first_id + PAGE_ROWS, limit=PAGE_ROWS)
    return _history(url, product, Feed.TRADES, str(end_ns))


def missing_trades(base: str, product: str, first: int, last: int) -> Iterator[Request]:
    """Requests for ids first..last, oldest first; their tags say which ids."""
    for low in range(first, min(last, first + MAX_PAGES_MISSING * PAGE_ROWS - 1) + 1, PAGE_ROWS):
        high = min(low + PAGE_ROWS - 1, last)
        url = _url(base, product, "trades", after=high + 1, limit=high - low + 1)
        yield _history(url, product, Feed.TRADES, f"{low}-{high}")


def tag_of(url: str) -> Tag | None:
    """Told from path and query, on any host; `None` for paths that are not asked for here."""
    split = urlsplit(url)
    call = _PRODUCT_CALL(split.path)
    if call is None:
        return Tag(kind="instruments") if split.path.endswith("/products") else None
    product, kind, query = unquote(call[2]), call[3], dict(parse_qsl(split.query))
    if kind == "candles":
        interval = _NAMES.get(_number(query.get("granularity", "")) or 60, "")
        is_page = "start" in query
        return Tag(kind="history" if is_page else "poll", instrument=product, feed=Feed.KLINES, detail=interval)
    after, limit = _number(query.get("after", "")), _number(query.get("limit", ""))
    ids = f"{after - limit}-{after - 1}" if after is not None and limit is not None else ""
    return Tag(kind="history", instrument=product, feed=Feed.TRADES, detail=ids)


def decode_missing(tag: Tag, body: bytes, recv_ns: int) -> list[MarketEvent]:
    """The trades that the tag names, in order of id; `before` and older rows are cut. Raises: DecodeError."""
    low, _, high = tag.detail.partition("-")
    first, last = _number(low), _number(high)
    if first is None or last is None:
        raise DecodeError("trades", "unknown_channel", "nothing of the kind was asked for")
    return [trade for trade in _trades(body, tag.instrument, recv_ns) if first <= int(trade.trade_id) <= last]


def decode_candles(product: str, interval: str, body: bytes, recv_ns: int) -> list[Kline]:
    """Rows in time order (the venue sends the newest first). Raises: DecodeError."""
    seconds = GRANULARITY_S.get(interval)
    if seconds is None:
        raise DecodeError("candles", "schema", f"no granularity {interval[:8]!r}")
    klines = [decode_candle(row, product, seconds, recv_ns) for row in _decoded(_CANDLE_ROWS, body, "candles")]
    return sorted(klines, key=lambda kline: kline.open_ns)


def decode_page(request: Request, body: bytes, recv_ns: int) -> Page:
    """Rows of a history page in time order, and the request of the next one. Raises: DecodeError."""
    split = urlsplit(request.url)
    call = _PRODUCT_CALL(split.path)
    if call is None:
        raise DecodeError("-", "unknown_channel", "no page of history")
    base = f"{split.scheme}://{split.netloc}{call[1]}"
    query = dict(parse_qsl(split.query))
    if call[3] == "candles":
        return _candles_page(base, request.tag, query, body, recv_ns)
    trades = _trades(body, request.tag.instrument, recv_ns)
    words = request.tag.detail.split()
    if words and words[0] in (_NEWEST, _SEEK):
        return Page(events=[], next=_seek(base, request.tag.instrument, words[0], list(map(int, words[1:])), trades))
    return _trades_page(base, request.tag, query, trades)


def _seek(base: str, product: str, step: str, numbers: list[int], trades: list[Trade]) -> Request | None:
    """The next question of the search, or the first page where it has ended. `low..high` holds the id that is sought; it is found when they meet."""
    start_ns, end_ns = numbers[-2:]
    if step == _NEWEST:
        if not trades or (trades[-1].ts_event_ns or 0) < start_ns:
            return None
        low, high = 1, int(trades[-1].trade_id)
    else:
        low, high, asked = numbers[0], numbers[1], (numbers[0] + numbers[1]) // 2
        if trades and (trades[-1].ts_event_ns or 0) >= start_ns:
            high = max(low, int(trades[-1].trade_id))
        else:
            low = asked + 1
    if low >= high:
        return trades_from(base, product, low, end_ns)
    url = _url(base, product, "trades", after=(low + high) // 2 + 1, limit=1)
    return _history(url, product, Feed.TRADES, f"{_SEEK} {low} {high} {start_ns} {end_ns}")


def _trades_page(base: str, tag: Tag, query: dict[str, str], trades: list[Trade]) -> Page:
    """Rows below the page's first id are of the page before. Pages go on while they bring news and the window is not over."""
    until_ns = _number(tag.detail)
    after, limit = _number(query.get("after", "")), _number(query.get("limit", "")) or PAGE_ROWS
    first = after - limit if after is not None else 0
    fresh = [trade for trade in trades if int(trade.trade_id) >= first]
    inside: list[MarketEvent] = [t for t in fresh if until_ns is None or (t.ts_event_ns or 0) < until_ns]
    if until_ns is None or after is None or not fresh or len(inside) < len(fresh):
        return Page(events=inside)
    return Page(events=inside, next=trades_from(base, tag.instrument, after, until_ns))


def _candles_page(base: str, tag: Tag, query: dict[str, str], body: bytes, recv_ns: int) -> Page:
    step_s = _number(query.get("granularity", "")) or 60
    interval = _NAMES.get(step_s, "")
    klines = decode_candles(tag.instrument, interval, body, recv_ns)
    first_ns, last_ns = _time_ns(query.get("start", "")), _time_ns(query.get("end", ""))
    if first_ns is None or last_ns is None:
        return Page(events=list(klines))
    inside: list[MarketEvent] = [kline for kline in klines if first_ns <= kline.open_ns <= last_ns]
    end_ns, following_ns = _number(tag.detail), last_ns + step_s * NS_PER_S
    if end_ns is None or following_ns >= end_ns:
        return Page(events=inside)
    return Page(events=inside, next=candles_page(base, tag.instrument, interval, following_ns, end_ns))


def _trades(body: bytes, product: str, recv_ns: int) -> list[Trade]:
    """Rows by ascending id; the venue sends the newest first."""
    rows = _decoded(_TRADE_ROWS, body, "trades")
    return [decode_trade_row(row, product, recv_ns) for row in sorted(rows, key=lambda row: row.trade_id)]


def _history(url: str, product: str, feed: Feed, detail: str) -> Request:
    return Request(url=url, tag=Tag(kind="history", instrument=product, feed=feed, detail=detail), headers=HEADERS)


def _url(base: str, product: str, call: str, **query: str | int) -> str:
    return f"{base}/products/{quote(product, safe='')}/{call}?{urlencode(query)}"


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time_ns(text: str) -> int | None:
    try:
        return iso_ns(text, "candles")
    except DecodeError:
        return None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() else None


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, channel: str) -> T:
    try:
        return decoder.decode(body)
    except JSON_ERRORS as error:
        raise refusal(channel, error) from error

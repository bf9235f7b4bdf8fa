"""REST: requests as data, and what their bodies say. One path's answer is one of 600 in 5 s, whatever it is (read 2026-11-20)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Cursor, Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

from . import derivatives, klines, trades
from .symbols import Category, Place, category_of, result_of
from .wire import check_symbol, decoding, ms_of

LIMITS = Limits(
    rest_weight=600,
    rest_window_ns=5 * NS_PER_S,
    connects=500,
    connect_window_ns=300 * NS_PER_S,
)

INSTRUMENTS_PER_PAGE = 1_000
KLINES_PER_PAGE = 1_000
RATES_PER_PAGE = 200
TRADES_PER_PAGE = {Category.SPOT: 60, Category.LINEAR: 1_000, Category.INVERSE: 1_000}
STATUSES = ("", "PreLaunch", "Delivering")
"""Of derivatives. Without one the venue lists what trades; what was closed is of no use."""

_SHORTEST_FUNDING_MS = 3_600_000
_CURSOR = Cursor(path=("result", "nextPageCursor"), parameter="cursor")
_INSTRUMENTS, _TRADES = "/v5/market/instruments-info", "/v5/market/recent-trade"
_KLINES, _FUNDING = "/v5/market/kline", "/v5/market/funding/history"
_PAGED = {_TRADES: Feed.TRADES, _KLINES: Feed.KLINES, _FUNDING: Feed.FUNDING}


class _Trades(msgspec.Struct, frozen=True, gc=False):
    rows: list[trades.RestRow] = msgspec.field(name="list")


class _Klines(msgspec.Struct, frozen=True, gc=False):
    rows: list[klines.Row] = msgspec.field(name="list")


class _Rates(msgspec.Struct, frozen=True, gc=False):
    rows: list[derivatives.FundingRow] = msgspec.field(name="list")


_trades = msgspec.json.Decoder(_Trades).decode
_klines = msgspec.json.Decoder(_Klines).decode
_rates = msgspec.json.Decoder(_Rates).decode


def _url(root: str, path: str, **query: object) -> str:
    return f"{root}{path}?{urlencode(query)}"


def instruments_requests(root: str) -> list[Request]:
    """Spot has no pages and one status."""
    asked = [{"category": Category.SPOT.value}]
    for category in (Category.LINEAR, Category.INVERSE):
        for status in STATUSES:
            asked.append({"category": category.value} | ({"status": status} if status else {}))
    return [
        Request(
            url=_url(root, _INSTRUMENTS, **query, limit=INSTRUMENTS_PER_PAGE),
            tag=Tag(kind="instruments", detail=query["category"]),
            cursor=None if query["category"] == Category.SPOT else _CURSOR,
        )
        for query in asked
    ]


def tag_of(url: str) -> Tag | None:
    """Inverse of the requests here, on any host."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    path = parts.path[parts.path.find("/v5/") :]
    if path == _INSTRUMENTS:
        return Tag(kind="instruments", detail=query.get("category", ""))
    feed, symbol = _PAGED.get(path), query.get("symbol", "")
    if feed is None or not symbol:
        return None
    return Tag(kind="history", instrument=symbol, feed=feed, detail=query.get("interval", ""))


def history_request(
    root: str, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, detail: str
) -> Request | None:
    """The first page of [start_ns, end_ns). The tag's detail carries the window, for the URL of trades has no room for it."""
    category = category_of(instrument)
    start_ms, last_ms = -(-start_ns // NS_PER_MS), (end_ns - 1) // NS_PER_MS
    tag = Tag(kind="history", instrument=instrument.instrument, feed=feed, detail=f"{start_ms}-{last_ms}")
    query: dict[str, object] = {"category": category.value, "symbol": instrument.instrument}
    if feed is Feed.TRADES:
        return Request(url=_url(root, _TRADES, **query, limit=TRADES_PER_PAGE[category]), tag=tag)
    if feed is Feed.KLINES and (detail or "1m") in klines.CODES:
        query |= {"interval": klines.CODES[detail or "1m"]}
        return _window(root, _KLINES, query, tag, start_ms, last_ms)
    if feed is Feed.FUNDING and instrument.market_type in (MarketType.PERP_LINEAR, MarketType.PERP_INVERSE):
        return _window(root, _FUNDING, query, tag, start_ms, last_ms)
    return None


def _window(root: str, path: str, query: dict[str, object], tag: Tag, start_ms: int, last_ms: int) -> Request:
    """Pages come newest first, so each is asked for as a window that cannot hold more than a page has room for."""
    if path == _KLINES:
        end_ms = start_ms + KLINES_PER_PAGE * klines.INTERVALS_S[str(query["interval"])] * 1_000 - 1
        window = {"start": start_ms, "end": min(last_ms, end_ms), "limit": KLINES_PER_PAGE}
    else:
        end_ms = start_ms + RATES_PER_PAGE * _SHORTEST_FUNDING_MS - 1
        window = {"startTime": start_ms, "endTime": min(last_ms, end_ms), "limit": RATES_PER_PAGE}
    return Request(url=_url(root, path, **query, **window), tag=tag)


def category_of_url(url: str) -> Category | None:
    name = dict(parse_qsl(urlsplit(url).query)).get("category", "")
    return Category(name) if name in set(Category) else None


def decode_page(request: Request, place: Place, body: bytes, recv_ns: int) -> Page:
    """A page in order of time, and the request of the next.

    Raises: DecodeError.
    """
    symbol = request.tag.instrument
    query = dict(parse_qsl(urlsplit(request.url).query))
    match request.tag.feed:
        case Feed.TRADES:
            return _trades_page(request.tag, place, body, recv_ns)
        case Feed.KLINES:
            interval = query.get("interval", "1")
            if interval not in klines.INTERVALS_S:
                raise DecodeError(klines.CHANNEL, "unknown_channel", f"interval {interval[:8]!r}")
            rows = decoding(klines.CHANNEL, _klines, result_of(body, klines.CHANNEL)).rows
            events = [klines.decode_kline_row(row, place, symbol, interval, recv_ns) for row in reversed(rows)]
            return Page(events=list(events), next=_next_window(request, query, "start", "end"))
        case Feed.FUNDING:
            rates = decoding(derivatives.FUNDING, _rates, result_of(body, derivatives.FUNDING)).rows
            for rate in rates:
                check_symbol(rate.symbol, symbol, derivatives.FUNDING)
            charged = [derivatives.decode_funding_row(row, place, recv_ns) for row in reversed(rates)]
            return Page(events=list(charged), next=_next_window(request, query, "startTime", "endTime"))
    raise DecodeError(str(request.tag.feed), "unknown_channel", "no history")


def _next_window(request: Request, query: dict[str, str], start: str, end: str) -> Request | None:
    """The window after this one; none once the last millisecond of the whole request was asked for."""
    _, last_ms = _window_of(request.tag)
    asked_ms = query.get(end, "")
    if last_ms is None or not asked_ms.isdecimal() or int(asked_ms) >= last_ms:
        return None
    parts = urlsplit(request.url)
    root = f"{parts.scheme}://{parts.netloc}{parts.path[: parts.path.find('/v5/')]}"
    kept: dict[str, object] = {key: query[key] for key in query if key not in (start, end, "limit")}
    return _window(root, parts.path[parts.path.find("/v5/") :], kept, request.tag, int(asked_ms) + 1, last_ms)


def _window_of(tag: Tag) -> tuple[int | None, int | None]:
    """First and last millisecond of the whole request; of a recorded page they are not known."""
    first, _, last = tag.detail.partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        return None, None
    return int(first), int(last)


def _trades_page(tag: Tag, place: Place, body: bytes, recv_ns: int) -> Page:
    """The newest trades there are: what lies before the oldest of them cannot be had."""
    rows = decoding(trades.CHANNEL, _trades, result_of(body, trades.CHANNEL)).rows
    for row in rows:
        check_symbol(row.symbol, tag.instrument, trades.CHANNEL)
    stamped = [(_time_ms(row), row) for row in reversed(rows)]
    first_ms, last_ms = _window_of(tag)
    events: list[MarketEvent] = [
        trades.build_trade(place, tag.instrument, row.execId, row.price, row.size, row.side, time_ms, recv_ns)
        for time_ms, row in stamped
        if not row.isBlockTrade and _is_inside(time_ms, first_ms, last_ms)
    ]
    return Page(events=events, reaches_back_to_ns=_reach_ns(stamped, recv_ns))


def _reach_ns(stamped: Sequence[tuple[int, trades.RestRow]], recv_ns: int) -> int:
    """A page begins somewhere inside the millisecond of its oldest row, so it is whole only from the next one on."""
    return (stamped[0][0] + 1) * NS_PER_MS if stamped else recv_ns


def _is_inside(time_ms: int, first_ms: int | None, last_ms: int | None) -> bool:
    return first_ms is None or last_ms is None or first_ms <= time_ms <= last_ms


def _time_ms(row: trades.RestRow) -> int:
    time_ms = ms_of(row.time, trades.CHANNEL, "time")
    if time_ms is None:
        raise DecodeError(trades.CHANNEL, "schema", "a trade without its time")
    return time_ms

"""REST of both markets: requests as data, and what their bodies say (documents read 2026-11-20)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import BookSnapshot, FundingRate, MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

from . import book, derivatives, klines, trades
from .symbols import Place, is_futures
from .wire import ABSENT, decoding, is_absent

LIMITS = Limits(
    rest_weight=100,
    rest_window_ns=2 * NS_PER_S,
    connects=20,  # none is published
    connect_window_ns=10 * NS_PER_S,
)
"""500 of weight in 10 s on spot, spread evenly; a futures call weighs so much that its own limit holds: 20 (or 10) in 2 s.

Streams of a socket are limited on spot alone (30), so it is the plan that keeps to that.
"""
WEIGHT_INFO, WEIGHT_FUTURES, WEIGHT_FUTURES_SLOW, WEIGHT_TRADES = 10, 5, 10, 5

TRADES_PER_PAGE = {False: 1_000, True: 100}
KLINES_PER_PAGE = {False: 1_000, True: 2_000}
"""By whether it is a contract."""
RATES_PER_PAGE = 1_000

_INFO, _DETAIL, _RATES = "/api/v3/exchangeInfo", "/api/v1/contract/detail", "/api/v1/contract/funding_rate"
_SPOT_DEPTH, _SPOT_TRADES, _SPOT_KLINES = "/api/v3/depth", "/api/v3/trades", "/api/v3/klines"
_DEPTH, _DEALS, _KLINE = "/api/v1/contract/depth/", "/api/v1/contract/deals/", "/api/v1/contract/kline/"
_HISTORY = "/api/v1/contract/funding_rate/history"


class _Refusal(msgspec.Struct, frozen=True, gc=False):
    """`{"code":-1121,"msg":"Invalid symbol."}`: any body of spot without a code is none."""

    code: int = 0
    msg: str = ""


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    """`{"success":true,"code":0,"data":...}`: futures refuse with HTTP 200."""

    success: bool
    code: int
    data: msgspec.Raw = ABSENT
    message: str = ""


class _RatePage(msgspec.Struct, frozen=True, gc=False):
    resultList: list[derivatives.SettledRow]
    totalPage: int = 1


_refusal = msgspec.json.Decoder(_Refusal).decode
_envelope = msgspec.json.Decoder(_Envelope).decode
_spot_book = msgspec.json.Decoder(book.SpotBook).decode
_futures_book = msgspec.json.Decoder(book.FuturesBook).decode
_spot_trades = msgspec.json.Decoder(list[trades.SpotRow]).decode
_deals = msgspec.json.Decoder(list[trades.Deal]).decode
_spot_klines = msgspec.json.Decoder(list[klines.SpotRow]).decode
_columns = msgspec.json.Decoder(klines.Columns).decode
_rates = msgspec.json.Decoder(_RatePage).decode


def _url(root: str, path: str, **query: object) -> str:
    return f"{root}{path}?{urlencode(query)}" if query else f"{root}{path}"


def _data_of(body: bytes, channel: str) -> bytes:
    """`data` of a futures body, still JSON.

    Raises: DecodeError `venue_error` where the venue refused.
    """
    envelope = decoding(channel, _envelope, body)
    if not envelope.success or envelope.code or is_absent(envelope.data):
        raise DecodeError(channel, "venue_error", f"{envelope.code} {envelope.message}"[:200])
    return bytes(envelope.data)


def _check_spot(body: bytes, channel: str) -> None:
    """Raises: DecodeError `venue_error` where spot refused."""
    if body.startswith((b'{"code"', b'{"msg"')):
        refusal = decoding(channel, _refusal, body)
        raise DecodeError(channel, "venue_error", f"{refusal.code} {refusal.msg}"[:200])


def instruments_requests(spot_root: str, futures_root: str) -> list[Request]:
    """Both lists, and how often contracts are charged. Nothing has pages."""
    tag = Tag(kind="instruments")
    return [
        Request(url=_url(spot_root, _INFO), tag=msgspec.structs.replace(tag, detail="spot"), weight=WEIGHT_INFO),
        Request(
            url=_url(futures_root, _DETAIL), tag=msgspec.structs.replace(tag, detail="futures"), weight=WEIGHT_INFO
        ),
        Request(
            url=_url(futures_root, _RATES), tag=msgspec.structs.replace(tag, detail="funding"), weight=WEIGHT_FUTURES
        ),
    ]


def book_snapshot_request(spot_root: str, futures_root: str, symbol: str) -> Request:
    tag = Tag(kind=book.SNAPSHOT, instrument=symbol)
    if is_futures(symbol):
        url = _url(futures_root, f"{_DEPTH}{symbol}", limit=book.FUTURES_DEPTH)
        return Request(url=url, tag=tag, weight=WEIGHT_FUTURES_SLOW)
    return Request(url=_url(spot_root, _SPOT_DEPTH, symbol=symbol, limit=book.SPOT_DEPTH), tag=tag)


def decode_book(place: Place, symbol: str, body: bytes, recv_ns: int) -> BookSnapshot:
    """Raises: DecodeError."""
    if place.counts_contracts:
        futures = decoding(book.SNAPSHOT, _futures_book, _data_of(body, book.SNAPSHOT))
        return book.decode_futures_book(futures, place, symbol, recv_ns, book.FUTURES_DEPTH)
    _check_spot(body, book.SNAPSHOT)
    spot = decoding(book.SNAPSHOT, _spot_book, body)
    return book.decode_spot_book(spot, place, symbol, recv_ns, book.SPOT_DEPTH)


def tag_of(url: str) -> Tag | None:
    """Inverse of the requests here, on any host."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    path = unquote(parts.path[max(parts.path.find("/api/v"), 0) :])
    if path in (_INFO, _DETAIL, _RATES):
        return Tag(kind="instruments", detail={_INFO: "spot", _DETAIL: "futures"}.get(path, "funding"))
    symbol, interval = query.get("symbol", ""), query.get("interval", "")
    for prefix, feed in ((_DEPTH, None), (_DEALS, Feed.TRADES), (_KLINE, Feed.KLINES)):
        name = path.removeprefix(prefix)
        if name != path and name and "/" not in name:
            return _page_tag(name, feed, interval)
    paths = {_SPOT_DEPTH: None, _SPOT_TRADES: Feed.TRADES, _SPOT_KLINES: Feed.KLINES, _HISTORY: Feed.FUNDING}
    return _page_tag(symbol, paths[path], interval) if path in paths and symbol else None


def _page_tag(symbol: str, feed: Feed | None, interval: str) -> Tag:
    if feed is None:
        return Tag(kind=book.SNAPSHOT, instrument=symbol)
    return Tag(kind="history", instrument=symbol, feed=feed, detail=interval)


def history_request(
    spot_root: str, futures_root: str, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, detail: str
) -> Request | None:
    """The first page of [start_ns, end_ns). The tag's detail carries the window, for most URLs have no room for it."""
    symbol, is_contract = instrument.instrument, is_futures(instrument.instrument)
    start_ms, last_ms = -(-start_ns // NS_PER_MS), (end_ns - 1) // NS_PER_MS
    tag = Tag(kind="history", instrument=symbol, feed=feed, detail=f"{start_ms}-{last_ms}")
    limit = TRADES_PER_PAGE[is_contract]
    if feed is Feed.TRADES and is_contract:
        return Request(url=_url(futures_root, f"{_DEALS}{symbol}", limit=limit), tag=tag, weight=WEIGHT_FUTURES)
    if feed is Feed.TRADES:
        return Request(url=_url(spot_root, _SPOT_TRADES, symbol=symbol, limit=limit), tag=tag, weight=WEIGHT_TRADES)
    interval = klines.BY_NAME.get(detail or "1m")
    if feed is Feed.KLINES and interval is not None and instrument.market_type is not MarketType.PERP_INVERSE:
        if is_contract:
            return _futures_klines(futures_root, symbol, interval, tag, start_ms, last_ms)
        return _spot_klines_page(spot_root, symbol, interval, tag, start_ms, last_ms) if interval.rest_code else None
    if feed is Feed.FUNDING and is_contract:
        return _rates_page(futures_root, symbol, tag, 1)
    return None


def _spot_klines_page(
    root: str, symbol: str, interval: klines.Interval, tag: Tag, start_ms: int, last_ms: int
) -> Request:
    end_ms = min(last_ms, start_ms + KLINES_PER_PAGE[False] * interval.seconds * 1_000 - 1)
    window = {"startTime": start_ms, "endTime": end_ms, "limit": KLINES_PER_PAGE[False]}
    return Request(url=_url(root, _SPOT_KLINES, symbol=symbol, interval=interval.rest_code, **window), tag=tag)


def _futures_klines(
    root: str, symbol: str, interval: klines.Interval, tag: Tag, start_ms: int, last_ms: int
) -> Request:
    """Seconds; the window cannot hold more than a page has room for."""
    start_s = -(-start_ms // 1_000)
    end_s = min(last_ms // 1_000, start_s + KLINES_PER_PAGE[True] * interval.seconds - 1)
    url = _url(root, f"{_KLINE}{symbol}", interval=interval.code, start=start_s, end=end_s)
    return Request(url=url, tag=tag, weight=WEIGHT_FUTURES)


def _rates_page(root: str, symbol: str, tag: Tag, number: int) -> Request:
    url = _url(root, _HISTORY, symbol=symbol, page_num=number, page_size=RATES_PER_PAGE)
    return Request(url=url, tag=tag, weight=WEIGHT_FUTURES)


def decode_page(request: Request, place: Place, body: bytes, recv_ns: int) -> Page:
    """A page in order of time, and the request of the next.

    Raises: DecodeError.
    """
    match request.tag.feed:
        case Feed.TRADES:
            return _trades_page(request.tag, place, body, recv_ns)
        case Feed.KLINES:
            return _klines_page(request, place, body, recv_ns)
        case Feed.FUNDING:
            return _funding_page(request, place, body, recv_ns)
    raise DecodeError(str(request.tag.feed), "unknown_channel", "no history")


def _trades_page(tag: Tag, place: Place, body: bytes, recv_ns: int) -> Page:
    """The newest trades there are, whatever their order: what lies before the oldest cannot be had."""
    symbol = tag.instrument
    if place.counts_contracts:
        rows = decoding(trades.REST_FUTURES, _deals, _data_of(body, trades.REST_FUTURES))
        fills = [trades.deal_fill(row) for row in rows]
    else:
        _check_spot(body, trades.REST_SPOT)
        fills = [trades.spot_row_fill(row) for row in decoding(trades.REST_SPOT, _spot_trades, body)]
    fills = _oldest_first(fills)
    first_ms, last_ms = _window_of(tag)
    events = trades.trade_events(
        [fill for fill in fills if _is_inside(fill.time_ms, first_ms, last_ms)],
        place,
        symbol,
        recv_ns,
        trades.REST_FUTURES if place.counts_contracts else trades.REST_SPOT,
    )
    # A page begins somewhere inside the millisecond of its oldest row, so it is whole only from the next one on.
    return Page(events=events, reaches_back_to_ns=(fills[0].time_ms + 1) * NS_PER_MS if fills else recv_ns)


def _oldest_first(fills: Sequence[trades.Fill]) -> list[trades.Fill]:
    """Rows come newest first; where their times say otherwise they are taken as they stand."""
    is_ascending = len(fills) > 1 and fills[0].time_ms < fills[-1].time_ms
    return sorted(fills if is_ascending else reversed(fills), key=lambda fill: fill.time_ms)


def _klines_page(request: Request, place: Place, body: bytes, recv_ns: int) -> Page:
    symbol, query = request.tag.instrument, dict(parse_qsl(urlsplit(request.url).query))
    codes = klines.BY_CODE if place.counts_contracts else klines.BY_REST_CODE
    interval = codes.get(query.get("interval", ""))
    if interval is None:
        raise DecodeError(klines.REST, "unknown_channel", f"interval {query.get('interval', '')[:8]!r}")
    if place.counts_contracts:
        columns = decoding(klines.REST, _columns, _data_of(body, klines.REST))
        events = klines.decode_columns(columns, place, symbol, interval, recv_ns)
    else:
        _check_spot(body, klines.REST)
        rows = decoding(klines.REST, _spot_klines, body)
        events = [klines.decode_spot_row(row, place, symbol, interval, recv_ns) for row in rows]
    return Page(events=events, next=_next_window(request, query, interval, place))


def _next_window(request: Request, query: dict[str, str], interval: klines.Interval, place: Place) -> Request | None:
    """The window after this one; none once the last millisecond of the whole request was asked for."""
    _, last_ms = _window_of(request.tag)
    asked = query.get("end" if place.counts_contracts else "endTime", "")
    if last_ms is None or not asked.isdecimal() or len(asked) > 15:
        return None
    root, symbol = _root_of(request.url), request.tag.instrument
    if place.counts_contracts:
        start_ms = (int(asked) + 1) * 1_000
        return _futures_klines(root, symbol, interval, request.tag, start_ms, last_ms) if start_ms <= last_ms else None
    start_ms = int(asked) + 1
    return _spot_klines_page(root, symbol, interval, request.tag, start_ms, last_ms) if start_ms <= last_ms else None


def _root_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path[: parts.path.find('/api/v')]}"


def _funding_page(request: Request, place: Place, body: bytes, recv_ns: int) -> Page:
    """Pages go back in time, newest rate first; the last is the one that reaches the start of the window."""
    symbol = request.tag.instrument
    page = decoding(derivatives.REST_FUNDING, _rates, _data_of(body, derivatives.REST_FUNDING))
    rows = sorted(page.resultList, key=lambda row: row.settleTime)
    first_ms, last_ms = _window_of(request.tag)
    events: list[MarketEvent] = [
        _settled(row, place, symbol, recv_ns) for row in rows if _is_inside(row.settleTime, first_ms, last_ms)
    ]
    number = dict(parse_qsl(urlsplit(request.url).query)).get("page_num", "1")
    is_last = first_ms is None or not rows or rows[0].settleTime <= first_ms or not number.isdecimal()
    if is_last or len(number) > 6 or int(number) >= page.totalPage:
        return Page(events=events)
    return Page(events=events, next=_rates_page(_root_of(request.url), symbol, request.tag, int(number) + 1))


def _settled(row: derivatives.SettledRow, place: Place, symbol: str, recv_ns: int) -> FundingRate:
    return derivatives.decode_settled(row, place, symbol, recv_ns)


def _window_of(tag: Tag) -> tuple[int | None, int | None]:
    """First and last millisecond of the whole request; of a recorded page they are not known."""
    first, _, last = tag.detail.partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        return None, None
    return int(first), int(last)


def _is_inside(time_ms: int, first_ms: int | None, last_ms: int | None) -> bool:
    return first_ms is None or last_ms is None or first_ms <= time_ms <= last_ms

"""REST: requests as data, and what their bodies say. Each endpoint answers 200 requests in 10 s and IP; here they share one such budget."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import MarketEvent
from feedplane_core.instruments import Instrument
from feedplane_core.names import NS_PER_S, Feed, MarketType

from . import book, derivatives, klines, trades
from .plan import HEADERS, market_of
from .symbols import Place
from .wire import decoding

LIMITS = Limits(
    rest_weight=200,
    rest_window_ns=10 * NS_PER_S,
    connects=300,  # sockets of one IP
    connect_window_ns=60 * NS_PER_S,
)

TRADES_PER_PAGE = 1_000
MAX_TRADE_PAGES = 101
"""`limit * (page - 1)` must not exceed 100,000."""
KLINES_PER_PAGE = 1_000
RATES_PER_PAGE = 1_000
_SHORTEST_FUNDING_S = 3_600

_PATH = re.compile(
    r"(.*)/(spot|futures/(usdt|btc|usd1))/(currency_pairs|contracts|order_book|trades|candlesticks|funding_rate)"
).fullmatch
_PAGED = {"trades": Feed.TRADES, "candlesticks": Feed.KLINES, "funding_rate": Feed.FUNDING}

_spot_trades = msgspec.json.Decoder(list[trades.SpotRow]).decode
_futures_trades = msgspec.json.Decoder(list[trades.FuturesRow]).decode
_spot_klines = msgspec.json.Decoder(list[list[str]]).decode
_futures_klines = msgspec.json.Decoder(list[klines.RestRow]).decode
_rates = msgspec.json.Decoder(list[derivatives.FundingRow]).decode
_book = msgspec.json.Decoder(book.RestBook).decode


def _request(root: str, market: str, endpoint: str, tag: Tag, **query: object) -> Request:
    path = "spot" if market == "spot" else f"futures/{market}"
    text = f"?{urlencode(query)}" if query else ""
    return Request(url=f"{root}/{path}/{endpoint}{text}", tag=tag, headers={} if market == "spot" else HEADERS)


def _symbol_key(market: str) -> str:
    return "currency_pair" if market == "spot" else "contract"


def instruments_requests(root: str, settles: Sequence[str]) -> list[Request]:
    tags = {market: Tag(kind="instruments", detail=market) for market in ("spot", *settles)}
    return [
        _request(root, market, "currency_pairs" if market == "spot" else "contracts", tag)
        for market, tag in tags.items()
    ]


def snapshot_request(root: str, instrument: Instrument, depth: int) -> Request:
    """The tag says the market, for the body does not."""
    market = market_of(instrument)
    tag = Tag(kind="book_snapshot", instrument=instrument.instrument, feed=Feed.OB_DIFFS, detail=f"{market}:{depth}")
    query = {_symbol_key(market): instrument.instrument, "limit": depth, "with_id": "true"}
    return _request(root, market, "order_book", tag, **query)


def tag_of(url: str) -> Tag | None:
    """Inverse of the requests here, on any host."""
    parts = urlsplit(url)
    found = _PATH(parts.path)
    if found is None:
        return None
    _, where, settle, endpoint = found.groups()
    market, query = settle or where, dict(parse_qsl(parts.query))
    if endpoint == ("currency_pairs" if market == "spot" else "contracts"):
        return Tag(kind="instruments", detail=market)
    symbol = query.get(_symbol_key(market), "")
    if not symbol or symbol.startswith(("mark_", "index_")):
        return None
    if endpoint == "order_book":
        detail = f"{market}:{query.get('limit', '')}"
        return Tag(kind="book_snapshot", instrument=symbol, feed=Feed.OB_DIFFS, detail=detail)
    feed = _PAGED.get(endpoint)
    if feed is None or (feed is Feed.FUNDING and market == "spot"):
        return None
    return Tag(kind="history", instrument=symbol, feed=feed, detail=query.get("interval", ""))


def decode_snapshot(tag: Tag, place: Place, body: bytes, recv_ns: int) -> list[MarketEvent]:
    limit = tag.detail.partition(":")[2]
    depth = int(limit) if limit.isascii() and limit.isdecimal() and len(limit) <= 5 else None
    raw = decoding(book.REST_BOOK, _book, body)
    return [book.decode_rest_book(raw, place, tag.instrument, depth, recv_ns)]


def history_request(
    root: str, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, detail: str
) -> Request | None:
    """The first page of [start_ns, end_ns). The tag's detail carries the window in ns: URLs have whole seconds alone."""
    market = market_of(instrument)
    tag = Tag(kind="history", instrument=instrument.instrument, feed=feed, detail=f"{start_ns}-{end_ns}")
    first_s, last_s = start_ns // NS_PER_S, (end_ns - 1) // NS_PER_S
    query: dict[str, object] = {_symbol_key(market): instrument.instrument}
    if feed is Feed.TRADES:
        query |= {"limit": TRADES_PER_PAGE, "from": first_s, "to": last_s + 1}
        return _request(root, market, "trades", tag, **query, **({"page": 1} if market == "spot" else {}))
    first_s = -(-start_ns // NS_PER_S)
    if feed is Feed.KLINES and (detail or "1m") in klines.INTERVALS_S:
        return _window(root, market, "candlesticks", query | {"interval": detail or "1m"}, tag, first_s, last_s)
    if feed is Feed.FUNDING and instrument.market_type is not MarketType.SPOT:
        return _window(root, market, "funding_rate", query, tag, first_s, last_s)
    return None


def _window(
    root: str, market: str, endpoint: str, query: dict[str, object], tag: Tag, first_s: int, last_s: int
) -> Request:
    """As much of the window as a page is sure to have room for."""
    if endpoint == "candlesticks":
        span_s = KLINES_PER_PAGE * klines.INTERVALS_S[str(query["interval"])]
        return _request(
            root, market, endpoint, tag, **query, **{"from": first_s, "to": min(last_s, first_s + span_s - 1)}
        )
    to_s = min(last_s, first_s + RATES_PER_PAGE * _SHORTEST_FUNDING_S - 1)
    return _request(root, market, endpoint, tag, **query, **{"limit": RATES_PER_PAGE, "from": first_s, "to": to_s})


def market_of_url(url: str) -> str:
    """`spot`, or the settle currency; empty for another URL."""
    found = _PATH(urlsplit(url).path)
    return "" if found is None else found[3] or found[2]


def decode_page(request: Request, place: Place, body: bytes, recv_ns: int) -> Page:
    """A page in order of time, and the request of the next.

    Raises: DecodeError.
    """
    symbol, market = request.tag.instrument, market_of_url(request.url)
    query = dict(parse_qsl(urlsplit(request.url).query))
    match request.tag.feed:
        case Feed.TRADES:
            return _trades_page(request, query, place, market, body, recv_ns)
        case Feed.KLINES:
            interval_s = klines.INTERVALS_S.get(query.get("interval", "1m"))
            if interval_s is None:
                raise DecodeError("candlesticks", "unknown_channel", "no such interval")
            candles = _klines(body, place, market, symbol, interval_s, recv_ns)
            return Page(events=sorted(candles, key=_open_ns), next=_next_window(request, query, market))
        case Feed.FUNDING:
            rows = decoding(derivatives.FUNDING, _rates, body)
            rows.sort(key=lambda row: row.t)
            rates = [derivatives.decode_funding_row(row, symbol, place, recv_ns) for row in rows]
            return Page(events=list(rates), next=_next_window(request, query, market))
    raise DecodeError(str(request.tag.feed), "unknown_channel", "no history")


def _klines(body: bytes, place: Place, market: str, symbol: str, interval_s: int, recv_ns: int) -> list[MarketEvent]:
    if market == "spot":
        spot_rows = decoding(klines.SPOT_KLINES, _spot_klines, body)
        return [klines.decode_spot_page_row(row, symbol, interval_s, recv_ns) for row in spot_rows]
    rows = decoding(klines.FUTURES_KLINES, _futures_klines, body)
    return [klines.decode_futures_page_row(row, place, symbol, interval_s, recv_ns) for row in rows]


def _open_ns(event: MarketEvent) -> int:
    return getattr(event, "open_ns", 0)


def _next_window(request: Request, query: dict[str, str], market: str) -> Request | None:
    """The window after this one; none once the last second of the whole request was asked for."""
    window, to_text = _window_of(request.tag), query.get("to", "")
    if window is None or not to_text.isdecimal():
        return None
    last_s = (window[1] - 1) // NS_PER_S
    if int(to_text) >= last_s:
        return None
    kept: dict[str, object] = {key: query[key] for key in query if key not in ("from", "to", "limit")}
    parts = urlsplit(request.url)
    endpoint = parts.path.rpartition("/")[2]
    return _window(_root_of(request.url), market, endpoint, kept, request.tag, int(to_text) + 1, last_s)


def _root_of(url: str) -> str:
    parts = urlsplit(url)
    found = _PATH(parts.path)
    return f"{parts.scheme}://{parts.netloc}{'' if found is None else found[1]}"


def _window_of(tag: Tag) -> tuple[int, int] | None:
    """First nanosecond and the one after the last of the whole request; of a recorded page they are not known."""
    first, _, end = tag.detail.partition("-")
    return (int(first), int(end)) if first.isdecimal() and end.isdecimal() else None


def _trades_page(request: Request, query: dict[str, str], place: Place, market: str, body: bytes, recv_ns: int) -> Page:
    """Pages come newest first."""
    events = _trades(body, place, market, recv_ns)
    if any(event.instrument != request.tag.instrument for event in events):
        raise DecodeError("trades", "schema", "a trade of another instrument")
    window = _window_of(request.tag)
    if window is None:
        return Page(events=events)
    inside = [event for event in events if window[0] <= _time_ns(event) < window[1]]
    is_full = len(events) >= int(query.get("limit", TRADES_PER_PAGE))
    follow = _next_spot_page if market == "spot" else _earlier_futures_page
    return Page(events=inside, next=follow(request, query, _time_ns(events[0])) if is_full else None)


def _trades(body: bytes, place: Place, market: str, recv_ns: int) -> list[MarketEvent]:
    """Oldest first."""
    if market == "spot":
        events = [trades.decode_spot_row(row, recv_ns) for row in decoding("trades", _spot_trades, body)]
    else:
        rows = decoding("trades", _futures_trades, body)
        events = [trades.decode_futures_row(row, place, recv_ns) for row in rows]
    events.reverse()  # trades of one moment stay in the order of their making
    return sorted(events, key=_time_ns)


def _time_ns(event: MarketEvent) -> int:
    return event.ts_event_ns or 0


def _next_spot_page(request: Request, query: dict[str, str], oldest_ns: int) -> Request | None:
    """The page after this one; where pages run out, a window that ends with the oldest second had."""
    page = int(query.get("page", "1"))
    if page < MAX_TRADE_PAGES:
        return _replaced(request, query | {"page": str(page + 1)})
    earlier = _earlier_futures_page(request, query, oldest_ns)
    return earlier and _replaced(earlier, dict(parse_qsl(urlsplit(earlier.url).query)) | {"page": "1"})


def _earlier_futures_page(request: Request, query: dict[str, str], oldest_ns: int) -> Request | None:
    """The window up to and with the second of the oldest trade had; a second that fills a whole page is passed over, for nothing narrower can be asked for."""
    to_s = oldest_ns // NS_PER_S + 1
    if to_s >= int(query["to"]):
        to_s = int(query["to"]) - 1
    return _replaced(request, query | {"to": str(to_s)}) if to_s > int(query["from"]) else None


def _replaced(request: Request, query: dict[str, str]) -> Request:
    url = urlsplit(request.url)._replace(query=urlencode(query)).geturl()
    return msgspec.structs.replace(request, url=url)

"""REST of both systems: requests as data, and their bodies."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec
from feedplane_core.adapter import Limits, Page, Request, Tag
from feedplane_core.errors import DecodeError
from feedplane_core.events import FundingRate, Kline, MarketEvent, Trade
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import NS_PER_MS, NS_PER_S, Feed, MarketType

from .directory import Directory, base_qty
from .history import ExecutionsBody, RatesBody, decode_execution, decode_rate
from .klines import CHANNEL as OHLC
from .klines import CHARTS, INTERVALS_S, ChartBody, RestRow, decode_chart, decode_rows
from .symbols import rest_name, result_of
from .trades import CHANNEL as TRADES
from .trades import RestRow as TradeRow
from .trades import decode_row
from .wire import decoder, decoding

WINDOW_NS = 10 * NS_PER_S
BUDGET = 60
_WEIGHT_SPOT, _WEIGHT_FUTURES, _WEIGHT_EXECUTIONS = 12, 1, 36
LIMITS = Limits(
    rest_weight=BUDGET,
    rest_window_ns=WINDOW_NS,
    connects=150,
    connect_window_ns=600 * NS_PER_S,
)
TRADE_ROWS = 1_000
OHLC_ROWS = 720
POLLED_CANDLES = 60
"""Newest of a polled body: an hour of minutes outlasts any pause that a poll survives."""
_POLL_EVERY_NS = 60 * NS_PER_S
_POLL_SHARE = 2
"""Polls take at most this part (one half) of the budget."""
_PAGE_CANDLES = 1_000

_PAIRS, _CONTRACTS = "/0/public/AssetPairs", "/derivatives/api/v3/instruments"
_SPOT_TRADES, _SPOT_OHLC = "/0/public/Trades", "/0/public/OHLC"
_RATES = "/derivatives/api/v4/historicalfundingrates"
_CHART = re.compile(r".*/api/charts/v1/trade/([^/]+)/([^/]+)").fullmatch
_EXECUTIONS = re.compile(r".*/api/history/v3/market/([^/]+)/executions").fullmatch
_MINUTES = {str(seconds // 60): name for name, seconds in INTERVALS_S.items()}

_raw_result = decoder(dict[str, msgspec.Raw])
_trade_rows = decoder(list[TradeRow])
_ohlc_rows = decoder(list[RestRow])
_chart = decoder(ChartBody)
_executions = decoder(ExecutionsBody)
_rates = decoder(RatesBody)


# Requests ---------------------------------------------------------------------------------------------------------------------


def _url(root: str, path: str, **query: str | int) -> str:
    return f"{root}{path}" + (f"?{urlencode(query)}" if query else "")


def instruments_requests(rest: str, futures: str) -> list[Request]:
    return [
        Request(url=_url(rest, _PAIRS), tag=Tag(kind="instruments", detail=_PAIRS), weight=_WEIGHT_SPOT),
        Request(url=_url(futures, _CONTRACTS), tag=Tag(kind="instruments", detail=_CONTRACTS), weight=_WEIGHT_FUTURES),
    ]


def candles_poll(futures: str, symbol: str, interval: str) -> Request:
    """The newest candles: a poll's request is fixed, so it names no window."""
    tag = Tag(kind="poll", instrument=symbol, feed=Feed.KLINES, detail=interval)
    return Request(url=_url(futures, _chart_path(symbol, interval)), tag=tag, weight=_WEIGHT_FUTURES)


def candles_every_ns(polls: int) -> int:
    """A minute, or as much longer as the budget asks for."""
    return max(_POLL_EVERY_NS, polls * _WEIGHT_FUTURES * _POLL_SHARE * WINDOW_NS // BUDGET)


def history_request(
    rest: str, futures: str, instrument: Instrument, feed: Feed, start_ns: int, end_ns: int, interval: str
) -> Request | None:
    """The first page of [start, end), whose end rides in the tag. `None` where the venue has none, or none that means base units."""
    is_spot = instrument.market_type is MarketType.SPOT
    match feed:
        case Feed.TRADES:
            if is_spot:
                return _trades_page(rest, instrument, start_ns, end_ns)
            return _executions_page(futures, instrument.instrument, start_ns, end_ns, "")
        case Feed.KLINES if (interval or "1m") in INTERVALS_S:
            if is_spot:
                return _ohlc_page(rest, instrument, interval or "1m", start_ns, end_ns)
            if instrument.contract_unit is ContractUnit.BASE:
                return _charts_page(futures, instrument.instrument, interval or "1m", start_ns, end_ns)
        case Feed.FUNDING if instrument.market_type in (MarketType.PERP_LINEAR, MarketType.PERP_INVERSE):
            url = _url(futures, _RATES, symbol=instrument.instrument)
            return _history(url, instrument.instrument, feed, _WEIGHT_FUTURES, f"{start_ns} {end_ns}")
    return None


def _history(url: str, symbol: str, feed: Feed, weight: int, detail: str) -> Request:
    return Request(url=url, tag=Tag(kind="history", instrument=symbol, feed=feed, detail=detail), weight=weight)


def _trades_page(rest: str, instrument: Instrument, start_ns: int, end_ns: int) -> Request:
    """`since` is taken for exclusive; where it is not, one row more is cut off."""
    pair = instrument.stream_id or rest_name(instrument.instrument)
    url = _url(rest, _SPOT_TRADES, pair=pair, since=max(0, start_ns - 1), count=TRADE_ROWS)
    return _history(url, instrument.instrument, Feed.TRADES, _WEIGHT_SPOT, f"{start_ns} {end_ns}")


def _ohlc_page(rest: str, instrument: Instrument, interval: str, start_ns: int, end_ns: int) -> Request:
    step_s = INTERVALS_S[interval]
    pair = instrument.stream_id or rest_name(instrument.instrument)
    since_s = max(0, start_ns // NS_PER_S - step_s)
    url = _url(rest, _SPOT_OHLC, pair=pair, interval=step_s // 60, since=since_s)
    return _history(url, instrument.instrument, Feed.KLINES, _WEIGHT_SPOT, f"{start_ns} {end_ns}")


def _chart_path(symbol: str, interval: str) -> str:
    return f"/api/charts/v1/trade/{quote(symbol, safe='')}/{interval}"


def _charts_page(futures: str, symbol: str, interval: str, start_ns: int, end_ns: int) -> Request:
    """`from` and `to` are seconds and inclusive."""
    step_s = INTERVALS_S[interval]
    first_s = -(-start_ns // NS_PER_S)
    last_s = max(first_s, min(first_s + _PAGE_CANDLES * step_s, (end_ns - 1) // NS_PER_S))
    url = _url(futures, _chart_path(symbol, interval), **{"from": first_s, "to": last_s})
    return _history(url, symbol, Feed.KLINES, _WEIGHT_FUTURES, f"{start_ns} {end_ns}")


def _executions_page(futures: str, symbol: str, start_ns: int, end_ns: int, token: str) -> Request:
    query: dict[str, str | int] = {"since": start_ns // NS_PER_MS, "before": -(-end_ns // NS_PER_MS), "sort": "asc"}
    if token:
        query["continuation_token"] = token
    url = _url(futures, f"/api/history/v3/market/{quote(symbol, safe='')}/executions", **query)
    return _history(url, symbol, Feed.TRADES, _WEIGHT_EXECUTIONS, f"{start_ns} {end_ns}")


def tag_of(url: str, directory: Directory) -> Tag | None:
    """Told from path and query, on any host; `None` for paths that are not asked for here, or pairs that nothing tells."""
    split = urlsplit(url)
    path, query = split.path, dict(parse_qsl(split.query))
    for listing in (_PAIRS, _CONTRACTS):
        if path.endswith(listing):
            return Tag(kind="instruments", detail=listing)
    if path.endswith((_SPOT_TRADES, _SPOT_OHLC)):
        name = directory.spot_name(query.get("pair", ""))
        feed = Feed.TRADES if path.endswith(_SPOT_TRADES) else Feed.KLINES
        return Tag(kind="history", instrument=name, feed=feed) if name else None
    if path.endswith(_RATES):
        return Tag(kind="history", instrument=query.get("symbol", ""), feed=Feed.FUNDING)
    if chart := _CHART(path):
        kind = "history" if "from" in query else "poll"
        return Tag(
            kind=kind, instrument=unquote(chart[1]), feed=Feed.KLINES, detail="" if "from" in query else chart[2]
        )
    if executions := _EXECUTIONS(path):
        return Tag(kind="history", instrument=unquote(executions[1]), feed=Feed.TRADES)
    return None


# Bodies -----------------------------------------------------------------------------------------------------------------------


def decode_poll(tag: Tag, body: bytes, directory: Directory, recv_ns: int) -> list[MarketEvent]:
    """The newest candles. Raises: DecodeError."""
    klines = _decode_chart(tag.instrument, tag.detail, body, directory, recv_ns)
    return list(klines[-POLLED_CANDLES:])


def decode_page(request: Request, body: bytes, directory: Directory, recv_ns: int) -> Page:
    """A page in time order and the request of the next. Raises: DecodeError."""
    split = urlsplit(request.url)
    query = dict(parse_qsl(split.query))
    if split.path.endswith(_SPOT_TRADES):
        return _decode_trades(request, query, body, recv_ns)
    if split.path.endswith(_SPOT_OHLC):
        return _decode_ohlc(request, query, body, recv_ns)
    if split.path.endswith(_RATES):
        return _decode_rates(request.tag, body, directory, recv_ns)
    if chart := _CHART(split.path):
        return _decode_charts(request, chart[2], query, body, directory, recv_ns)
    if _EXECUTIONS(split.path):
        return _decode_executions(request, body, directory, recv_ns)
    raise DecodeError("-", "unknown_channel", "no page of history")


def _window(tag: Tag) -> tuple[int, int]:
    """[start, end) of the whole request; everything where the tag does not say, as in recordings."""
    start, _, end = tag.detail.partition(" ")
    return (int(start), int(end)) if start.isdecimal() and end.isdecimal() else (0, 1 << 63)


def _replaced(request: Request, **query: str | int) -> Request:
    split = urlsplit(request.url)
    changed = {**dict(parse_qsl(split.query)), **query}
    return msgspec.structs.replace(request, url=split._replace(query=urlencode(changed)).geturl())


def _rows_and_last(body: bytes, channel: str) -> tuple[bytes, int | None]:
    """`{"error":[],"result":{"XXBTZUSD":[...],"last":"1616663618318724"}}`: the pair's key is the venue's own name of it."""
    result = decoding(channel, _raw_result, result_of(body, channel))
    last = bytes(result.pop("last", msgspec.Raw(b""))).strip(b'" ')
    if len(result) != 1:
        raise DecodeError(channel, "schema", "not one pair in a result")
    is_number = last.isdigit() and len(last) < 20
    return bytes(next(iter(result.values()))), int(last) if is_number else None


def _decode_trades(request: Request, query: dict[str, str], body: bytes, recv_ns: int) -> Page:
    """`last` is the `since` of the next page, in nanoseconds; a page that brings no later one is the end."""
    raw, last_ns = _rows_and_last(body, TRADES)
    start_ns, end_ns = _window(request.tag)
    symbol = request.tag.instrument
    trades = [decode_row(row, symbol, recv_ns) for row in decoding(TRADES, _trade_rows, raw)]
    inside: list[MarketEvent] = [trade for trade in trades if start_ns <= _at(trade) < end_ns]
    since_ns = int(since) if (since := query.get("since", "")).isdecimal() else 0
    if last_ns is None or last_ns <= since_ns or not trades or _at(trades[-1]) >= end_ns or end_ns == 1 << 63:
        return Page(events=inside)
    return Page(events=inside, next=_replaced(request, since=last_ns))


def _at(event: Trade) -> int:
    return event.ts_event_ns or 0


def _decode_ohlc(request: Request, query: dict[str, str], body: bytes, recv_ns: int) -> Page:
    """At most 720 candles, perhaps the newest whatever `since` says: a page that does not get on is the last."""
    raw, _ = _rows_and_last(body, OHLC)
    interval_s = INTERVALS_S[_MINUTES.get(query.get("interval", "1"), "1m")]
    klines = decode_rows(decoding(OHLC, _ohlc_rows, raw), request.tag.instrument, interval_s, recv_ns)
    start_ns, end_ns = _window(request.tag)
    inside: list[MarketEvent] = [kline for kline in klines if start_ns <= kline.open_ns < end_ns]
    is_cut = len(klines) >= OHLC_ROWS and klines[0].open_ns > start_ns > 0
    reaches_ns = klines[0].open_ns if is_cut else None
    closed = [kline.open_ns for kline in klines if kline.is_closed]
    since_s = int(since) if (since := query.get("since", "")).isdecimal() else 0
    newest_s = closed[-1] // NS_PER_S if closed else 0
    is_last = newest_s <= since_s + interval_s or (newest_s + interval_s) * NS_PER_S >= end_ns or end_ns == 1 << 63
    following = None if is_last else _replaced(request, since=newest_s)
    return Page(events=inside, next=following, reaches_back_to_ns=reaches_ns)


def _decode_chart(symbol: str, interval: str, body: bytes, directory: Directory, recv_ns: int) -> list[Kline]:
    interval_s = INTERVALS_S.get(interval)
    if interval_s is None:
        raise DecodeError(CHARTS, "schema", f"no interval {interval[:8]!r}")
    contract = directory.contract(symbol, CHARTS)
    if contract.contract_unit is not ContractUnit.BASE:
        raise DecodeError(CHARTS, "unknown_channel", "volumes of inverse contracts are dollars")
    charts = sorted(decoding(CHARTS, _chart, body).candles, key=lambda chart: chart.time)
    klines = [decode_chart(chart, symbol, contract.market_type, interval_s, recv_ns) for chart in charts]
    return [
        msgspec.structs.replace(kline, volume=base_qty(contract, kline.volume, kline.close, CHARTS)) for kline in klines
    ]


def _decode_charts(
    request: Request, interval: str, query: dict[str, str], body: bytes, directory: Directory, recv_ns: int
) -> Page:
    klines = _decode_chart(request.tag.instrument, interval, body, directory, recv_ns)
    start_ns, end_ns = _window(request.tag)
    inside: list[MarketEvent] = [kline for kline in klines if start_ns <= kline.open_ns < end_ns]
    last_s = int(to) if (to := query.get("to", "")).isdecimal() else 0
    if end_ns == 1 << 63 or (last_s + 1) * NS_PER_S >= end_ns:
        return Page(events=inside)
    step_s = INTERVALS_S[interval]
    until_s = max(last_s + 1, min(last_s + 1 + _PAGE_CANDLES * step_s, (end_ns - 1) // NS_PER_S))
    return Page(events=inside, next=_replaced(request, **{"from": last_s + 1, "to": until_s}))


def _decode_executions(request: Request, body: bytes, directory: Directory, recv_ns: int) -> Page:
    page = decoding(TRADES, _executions, body)
    contract = directory.contract(request.tag.instrument, TRADES)
    start_ns, end_ns = _window(request.tag)
    trades = [decode_execution(element, contract, recv_ns) for element in page.elements]
    inside: list[MarketEvent] = [t for t in trades if t is not None and start_ns <= _at(t) < end_ns]
    token = page.continuationToken or ""
    return Page(events=inside, next=_replaced(request, continuation_token=token) if token and page.elements else None)


def _decode_rates(tag: Tag, body: bytes, directory: Directory, recv_ns: int) -> Page:
    """All rates there ever were, in one body."""
    contract = directory.contract(tag.instrument, "funding")
    start_ns, end_ns = _window(tag)
    rates: list[FundingRate] = [decode_rate(row, contract, recv_ns) for row in decoding("funding", _rates, body).rates]
    inside: list[MarketEvent] = [rate for rate in rates if start_ns <= (rate.ts_event_ns or 0) < end_ns]
    return Page(events=inside)

"""The live table of `feedplane up` and `feedplane status`."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any, Literal

from feedplane_core.names import Feed
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_FEEDS = [str(feed) for feed in Feed]
_STATE_STYLES = {
    "live": "green", "waiting": "yellow", "resync": "yellow", "stale": "red", "disconnected": "red", "down": "red",
}  # fmt: skip
_COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("venue", "left"), ("feed", "left"), ("state", "left"), ("msg/s", "right"), ("lag", "right"),
    ("books", "right"), ("gaps", "right"), ("received", "right"), ("rejected", "right"),
    ("redis", "right"), ("clickhouse", "right"),
)  # fmt: skip
_MISSED_FIRST = frozenset({"lag", "received", "rejected"})
_WIDE = 104
BANNERS = {
    "sim": ("SIMULATED DATA - not a market: made by simex, in a database and directory of its own", "black on yellow"),
    "replay": ("REPLAYED DATA - not now: recorded frames, in a database and directory of their own", "black on cyan"),
}


class Rates:
    """Received per second between two looks, per (exchange, feed)."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], tuple[float, int]] = {}

    def of(self, exchange: str, feed: str, received: int) -> float:
        now = monotonic()
        at, count = self._before.get((exchange, feed), (now, received))
        self._before[exchange, feed] = (now, received)
        return (received - count) / (now - at) if now > at else 0.0


def render_table(status: Mapping[str, Any], rates: Rates, footer: list[str], width: int) -> RenderableType:
    """One row per venue and feed that the FeedSet asks for; a terminal narrower than `_WIDE` loses the columns that can be missed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [index for index, (name, _) in enumerate(_COLUMNS) if width >= _WIDE or name not in _MISSED_FIRST]
    for index in shown:
        table.add_column(_COLUMNS[index][0], justify=_COLUMNS[index][1], no_wrap=True)
    accounts = {(row["exchange"], row["feed"]): row for row in status["accounts"]}
    for exchange, reports in sorted(_by_exchange(status["collectors"]).items()):
        requested = {feed for report in reports for feed in report["requested"]}
        for feed in (f for f in _FEEDS if f in requested):
            row = accounts.get((exchange, feed))
            cells = _cells(exchange, feed, reports, row, rates)
            table.add_row(*(cells[index] for index in shown))
        table.add_section()
    parts: list[RenderableType] = [table]
    banner = BANNERS.get(status["mode"])
    if banner is not None:
        parts.insert(0, Panel(Text(banner[0], style=banner[1], justify="center"), border_style="yellow"))
    parts += [Text(f"! {line}", style="red") for line in troubles(status)]
    parts += [Text(line, style="dim") for line in footer]
    return Group(*parts)


def troubles(status: Mapping[str, Any]) -> list[str]:
    """What a person should know, in a line each."""
    lines = [f"{name} does not answer" for name in status["silent"]]
    for report in status["collectors"]:
        lines += [f"{report['name']}: {problem}" for problem in report["problems"]]
        lines += [f"{report['name']}: {error}" for error in report["sockets"]["errors"]]
        if report["journal"]["pressure"] != "none":
            lines.append(f"{report['name']}: journal pressure {report['journal']['pressure']}: data is being shed")
    for sink, writer in status["writers"].items():
        if not writer["store"]["ok"]:
            lines.append(f"writer-{sink}: {writer['store']['detail']}")
    return lines


def _by_exchange(reports: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for report in reports:
        grouped.setdefault(report["exchange"], []).append(report)
    return grouped


def _cells(
    exchange: str, feed: str, reports: list[dict[str, Any]], row: Mapping[str, Any] | None, rates: Rates
) -> list[Text | str]:
    feeds = [report["feeds"][feed] for report in reports if feed in report["feeds"]]
    states = [f["state"] for f in feeds] or ["waiting"]
    state = next((s for s in ("disconnected", "stale", "resync", "waiting") if s in states), "live")
    lags = [f["lag_ns"] for f in feeds if f["lag_ns"] is not None]
    books = ""
    if feed == Feed.OB_DIFFS:
        books = f"{sum(r['books']['synced'] for r in reports)}/{sum(r['books']['total'] for r in reports)}"
    received = row["received"] if row else 0
    written = row["written"] if row else {}
    gaps = row["gaps"] if row else 0
    rejected = row["rejected"] if row else 0
    return [
        exchange,
        feed,
        Text(state, style=_STATE_STYLES.get(state, "")),
        f"{rates.of(exchange, feed, received):,.0f}",
        _duration(min(lags)) if lags else "-",
        books,
        Text(f"{gaps:,}", style="yellow" if gaps else ""),
        f"{received:,}",
        Text(f"{rejected:,}", style="red" if rejected else ""),
        f"{written['redis']:,}" if "redis" in written else "-",
        f"{written['clickhouse']:,}" if "clickhouse" in written else "-",
    ]


def _duration(ns: int) -> str:
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.0f} ms"
    return f"{ns / 1e9:.1f} s" if ns < 60_000_000_000 else f"{ns / 6e10:.0f} min"


def summary_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The closing account, one line per (exchange, feed)."""
    lines = []
    for row in rows:
        written = " ".join(f"{sink}={count}" for sink, count in row["written"].items())
        pending = " ".join(f"{sink}={count}" for sink, count in row["pending"].items())
        lines.append(
            f"{row['exchange']:<16} {row['feed']:<14} received={row['received']} normalised={row['normalised']} "
            f"rejected={row['rejected']} ignored={row['ignored']} journalled={row['journalled']} shed={row['shed']} "
            f"written: {written} pending: {pending} gaps={row['gaps']}"
        )
    return lines

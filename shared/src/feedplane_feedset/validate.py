"""`parse_feedset`: the only door from text to a `FeedSet`, and the place where every refusal names its path and its
remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from feedplane_core.names import Feed, MarketType
from pydantic import ValidationError

from .crosschecks import cross_problems
from .errors import FeedSetError, Problem
from .explain import explain
from .known import Catalogue, KnownExchange, KnownExchanges
from .loader import Document, Path, load_document, render_path
from .markets import keys_apart, markets_apart
from .model import FeedSet
from .suggest import nearest, nearest_symbol


def parse_feedset(source: str | bytes | Mapping[str, Any], known: KnownExchanges) -> FeedSet:
    """The FeedSet in a YAML or JSON text, or in the body of a Kubernetes object (whose `status` is not looked at), with
    markets apart that spell instruments alike (`markets.py`).

    Raises: FeedSetError with every problem found: first those of shape and spelling, and when there are none, those
    between entries.
    """
    document = load_document(source) if isinstance(source, (str, bytes)) else Document(source)
    data = _without_nulls(document.data)
    if isinstance(data, dict):
        data.pop("status", None)
    problems = list(_known_problems(data, known))
    try:
        feedset = FeedSet.model_validate(data)
    except ValidationError as e:
        problems += explain(e)
    else:
        problems += cross_problems(feedset)
        if not problems:
            feedset, problems = keys_apart(markets_apart(feedset, known), known)
        if not problems:
            return feedset
    raise FeedSetError(
        Problem(render_path(path), message, suggestion, document.line_of(path))
        for path, message, suggestion in problems
    )


def check_symbols(feedset: FeedSet, catalogue: Catalogue) -> tuple[Problem, ...]:
    """Included symbols that their exchange does not list on the selected markets.

    Exchanges that the catalogue does not hold are not judged: an unread list is no reason to refuse.
    """
    return tuple(
        problem
        for index in range(len(feedset.spec.exchanges))
        for problem in _symbol_problems(feedset, index, catalogue)
    )


def _symbol_problems(feedset: FeedSet, index: int, catalogue: Catalogue) -> Iterator[Problem]:
    entry = feedset.spec.exchanges[index]
    listed = catalogue.get(entry.exchange)
    if listed is None or entry.is_derived:  # the entry that it was made of is judged with all its markets
        return
    selected = {
        symbol
        for market, symbols in listed.items()
        if not entry.markets or market in entry.markets or market in entry.siblings
        for symbol in symbols
    }
    for position, symbol in enumerate(entry.symbols.include):
        if symbol in selected:
            continue
        path = f"spec.exchanges[{index}].symbols.include[{position}]"
        elsewhere = [market.value for market, symbols in listed.items() if symbol in symbols]
        if elsewhere:
            wanted = ", ".join(entry.markets)
            yield Problem(path, f"{symbol} is listed on {', '.join(elsewhere)}, which markets ({wanted}) leaves out")
        else:
            yield Problem(path, f"{entry.exchange} lists no symbol {symbol}", nearest_symbol(symbol, selected))


def _without_nulls(data: Any) -> Any:
    """A key without a value is a key that is absent, as it is for the API server."""
    if isinstance(data, Mapping):
        return {key: _without_nulls(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):
        return [_without_nulls(item) for item in data]
    return data


def _known_problems(data: Any, known: KnownExchanges) -> Iterator[tuple[Path, str, str | None]]:
    """Checks each entry against the adapters, in data of any shape: what is misshapen is the model's to report."""
    spec = data.get("spec") if isinstance(data, dict) else None
    entries = spec.get("exchanges") if isinstance(spec, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict) or not isinstance(entry.get("exchange"), str):
            continue
        path: Path = ("spec", "exchanges", index)
        exchange = entry["exchange"]
        if exchange in known:
            yield from _offer_problems(entry, known[exchange], path)
        else:
            yield (
                (*path, "exchange"),
                f"unknown exchange {exchange[:40]!r}; there are {', '.join(known) or 'none'}",
                nearest(exchange, known),
            )


def _offer_problems(entry: dict[str, Any], known: KnownExchange, path: Path) -> Iterator[tuple[Path, str, str | None]]:
    offered = [feed.value for feed in known.selectable]
    for index, feed in _texts(entry.get("feeds")):
        if feed in set(Feed) and feed not in offered:
            yield (
                (*path, "feeds", index),
                f"{known.exchange} does not offer {feed}; it offers {', '.join(offered)}",
                None,
            )
    traded = [market.value for market in MarketType if market in known.markets]
    for index, market in _texts(entry.get("markets")):
        if market in set(MarketType) and market not in traded:
            suggestion = traded[0] if len(traded) == 1 else None
            yield (
                (*path, "markets", index),
                f"{known.exchange} has no market {market}; it has {', '.join(traded)}",
                suggestion,
            )


def _texts(values: Any) -> list[tuple[int, str]]:
    return [
        (index, value)
        for index, value in enumerate(values if isinstance(values, list) else ())
        if isinstance(value, str)
    ]

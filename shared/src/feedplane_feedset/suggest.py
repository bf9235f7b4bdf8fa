"""The nearest right spelling of a wrong word."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

_CUTOFF = 0.6

_OTHER_WORDS = {
    word: ours
    for ours, words in {
        "exchange": "venue",
        "feeds": "channel channels feed streams",
        "markets": "market",
        "symbols": "symbol instruments pairs",
        "klineIntervals": "intervals",
        "endpoints": "host hosts url urls addresses",
        "user": "username",
        "passwordSecretRef": "secretref password",
        "trades": "trade aggtrades",
        "l1": "ticker quotes bbo bookticker book_ticker",
        "ob_diffs": "book orderbook order_book depth l2 l2_book",
        "klines": "candle candles ohlcv",
        "mark_price": "mark index_price",
        "funding": "funding_rate",
        "open_interest": "oi",
        "liquidations": "liquidation",
        "perp_linear": "swap perp perpetual linear",
        "perp_inverse": "inverse",
        "delivery": "future futures",
    }.items()
    for word in words.split()
}
"""What other tools call the same thing."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` most likely stands for: same letters first, then another tool's word for it, then the
    closest spelling.
    """
    known = list(choices)
    folded: dict[str, str] = {}
    for choice in known:
        folded.setdefault(_fold(choice), choice)
    if (same := folded.get(_fold(word))) is not None:
        return same
    if (other := _OTHER_WORDS.get(word.lower())) in known:
        return other
    close = difflib.get_close_matches(_fold(word), folded, n=1, cutoff=_CUTOFF)
    return folded[close[0]] if close else None


def nearest_symbol(symbol: str, listed: Collection[str]) -> str | None:
    """As `nearest`, for one of thousands: only symbols that share a beginning or an end are compared closely."""
    folded: dict[str, str] = {}
    for candidate in sorted(listed):
        folded.setdefault(_fold(candidate), candidate)
    word = _fold(symbol)
    if word in folded:
        return folded[word]
    akin = [key for key in folded if key[:2] == word[:2] or key[-3:] == word[-3:]]
    close = difflib.get_close_matches(word, akin, n=1, cutoff=_CUTOFF)
    return folded[close[0]] if close else None


def _fold(word: str) -> str:
    return "".join(character for character in word.casefold() if character.isalnum())

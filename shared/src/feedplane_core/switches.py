"""Reading what `Options` chooses about an adapter: switches by name, numbers within bounds, kline intervals a venue has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from feedplane_core.errors import UsageError


def check_names(exchange: str, switches: Mapping[str, str], known: Collection[str]) -> None:
    """Raises: UsageError naming the first switch that the venue does not have: a misspelled one would be without effect in silence."""
    for name in switches:
        if name not in known:
            raise UsageError(
                f"switches.{name}", f"{exchange} has no such switch", f"one of {', '.join(known)}" if known else ""
            )


def chosen(switches: Mapping[str, str], name: str, allowed: Sequence[str], default: str | None = None) -> str:
    """The value of a switch; without `default` the first that is allowed. Raises: UsageError for a value that is not allowed."""
    value = switches.get(name, allowed[0] if default is None else default)
    if value not in allowed:
        raise UsageError(f"switches.{name}", f"{value!r} is not known", f"one of {', '.join(allowed)}")
    return value


def number(switches: Mapping[str, str], name: str, default: int, lowest: int, highest: int) -> int:
    """A switch that is a whole number within bounds. Raises: UsageError for any other text."""
    text = switches.get(name, str(default))
    # The length first: `int` refuses very long texts with an error of its own.
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(highest))
    if not is_number or not lowest <= int(text) <= highest:
        raise UsageError(f"switches.{name}", f"{text!r} is no number from {lowest} to {highest}")
    return int(text)


def check_intervals(exchange: str, intervals: Sequence[str], known: Collection[str]) -> None:
    """Raises: UsageError naming the first kline interval that the venue does not have."""
    for interval in intervals:
        if interval not in known:
            raise UsageError("klineIntervals", f"{exchange} has no interval {interval!r}", f"one of {', '.join(known)}")

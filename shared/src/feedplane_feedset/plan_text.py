"""A plan as text for people: what differs, then what happens to each pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .plan import Action, EntryChange, FieldChange, Plan, PodChange

_SIGN = {Action.KEEP: " ", Action.HOT: "~", Action.ROLL: "!", Action.START: "+", Action.STOP: "-"}
_MEANING = {
    Action.KEEP: "untouched",
    Action.HOT: "takes up other symbols while it runs",
    Action.ROLL: "is replaced",
    Action.START: "starts",
    Action.STOP: "ends",
}
_SHOWN_SYMBOLS = 8


def render_plan(plan: Plan) -> str:
    """Several lines, the last one a count of pods by action."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"FeedSet {plan.feedset}"
    for problem in plan.refused:
        yield f"x {problem}"
    if plan.paused:
        yield "paused: nothing below happens until spec.paused is false"
    yield from (_field(change, "  ") for change in plan.fields)
    for entry in plan.entries:
        yield from _entry(entry)
    if plan.is_empty:
        yield "no change"
    yield "pods: " + ", ".join(f"{plan.count(action)} {action.value}" for action in Action)


def _entry(entry: EntryChange) -> Iterator[str]:
    yield f"{_SIGN[entry.action]} {entry.name} ({entry.exchange}): {entry.action.value}"
    yield from (_field(change, "    ") for change in entry.fields)
    yield from (_pod(pod) for pod in entry.pods if pod.action is not Action.KEEP)


def _pod(pod: PodChange) -> str:
    copy = f" copy {pod.copy + 1}" if pod.copy else ""
    added = _symbols("+", pod.symbols_added)
    removed = _symbols("-", pod.symbols_removed)
    return f"    {_SIGN[pod.action]} pod {pod.entry}-{pod.shard}{copy} {_MEANING[pod.action]}{added}{removed}"


def _symbols(sign: str, symbols: tuple[str, ...]) -> str:
    shown = " ".join(f"{sign}{symbol}" for symbol in symbols[:_SHOWN_SYMBOLS])
    rest = f" {sign}{len(symbols) - _SHOWN_SYMBOLS} more" if len(symbols) > _SHOWN_SYMBOLS else ""
    return f" {shown}{rest}" if symbols else ""


def _field(change: FieldChange, indent: str) -> str:
    return f"{indent}{change.path}: {_value(change.before)} -> {_value(change.after)}"


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, list) and len(value) > _SHOWN_SYMBOLS:
        return f"[{', '.join(map(str, value[:_SHOWN_SYMBOLS]))}, ... {len(value)} in all]"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value)

"""What waits for one server, cut into pipelines; and what the answers mean. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .entries import REPLACE_EVERY_NS, Entry, Item, Sent, Terms, TradeStream
from .errors import Verdict, code_of, is_old_id, verdict_of
from .resp import ASKING
from .scripts import OLDER, SAME


class Pipeline(NamedTuple):
    """Commands that go out together, and what each is about."""

    payload: bytes
    items: list[Item]


class Queue:
    """Entries that are due at one server, in the order in which they became so. Each is in it once."""

    def __init__(self) -> None:
        self._due: dict[Entry, None] = {}
        self._asking: dict[Entry, None] = {}

    def __len__(self) -> int:
        return len(self._due) + len(self._asking)

    def add(self, entry: Entry) -> None:
        if not entry.is_queued:
            entry.is_queued = True
            self._due[entry] = None

    def ask(self, entry: Entry) -> None:
        """Due at a server that does not own the slot yet: its next command is prefixed by ASKING."""
        if not entry.is_queued:
            entry.is_queued = True
            self._asking[entry] = None

    def drain(self) -> list[Entry]:
        """Take everything out, unsent."""
        entries = [*self._asking, *self._due]
        self._asking.clear()
        self._due.clear()
        for entry in entries:
            entry.is_queued = False
        return entries

    def take(self, limit: int, terms: Terms, ttl_ns: int) -> Pipeline:
        """About `limit` commands of what is due longest. What is older than the TTL is dropped: its key is gone by now."""
        out: list[bytes] = []
        items: list[Item] = []
        while self._asking and len(items) < limit:
            entry = next(iter(self._asking))
            del self._asking[entry]
            out.append(ASKING)
            items.append(Item(entry, Sent.HOUSEKEEPING))
            entry.emit(out, items, 1, terms)
        due = self._due
        while due and len(items) < limit:
            entry = next(iter(due))
            del due[entry]
            if entry.touched_ns and terms.now_ns - entry.touched_ns > ttl_ns:
                entry.expire()
                continue
            entry.emit(out, items, limit - len(items), terms)
        return Pipeline(b"".join(out), items)


class Answers(NamedTuple):
    """What a pipeline's answers ask for, beyond what they did to its entries."""

    again: list[Entry]  # due once more, at the owner of their slot
    moved: list[tuple[Entry, str]]  # the same, and the text of the redirection
    asked: list[tuple[Entry, str]]
    errors: Counter[str]  # by code
    verdicts: set[Verdict]


def settle(pipeline: Pipeline, replies: Sequence[Any], terms: Terms) -> Answers:
    """Tell every entry what became of its command. `replies` are integers, bytes, lists, or exceptions for error replies."""
    answers = Answers([], [], [], Counter(), set())
    for item, reply in zip(pipeline.items, replies, strict=True):
        entry = item.entry
        if isinstance(reply, Exception):
            _refused(item, str(reply), answers, terms)
        elif item.sent is Sent.VALUE and reply == OLDER:
            entry.gave_way(item)
        else:
            entry.landed(item)
            if item.sent is Sent.VALUE and reply == SAME:
                entry.mark_due = True  # type: ignore[union-attr]  # the value stands, its state may not: a re-sent write does not touch it
        if entry.is_due and not entry.is_queued:
            answers.again.append(entry)
    return answers


def unknown(pipelines: Sequence[Pipeline], add: Callable[[Entry], None]) -> int:
    """The connection was lost: what it carried may have been applied or not. Everything is due again; returns how many commands."""
    sent = 0
    for pipeline in pipelines:
        for item in pipeline.items:
            item.entry.again(item)
        sent += len(pipeline.items)
    for pipeline in pipelines:
        for item in pipeline.items:
            if item.entry.is_due:
                add(item.entry)
    return sent


def _refused(item: Item, error: str, answers: Answers, terms: Terms) -> None:
    entry = item.entry
    if item.trade is not None and is_old_id(error):
        _old_id(item, terms, answers)
        return
    code = code_of(error)
    answers.errors[code] += 1
    if item.trade is not None:
        item.trade.sends -= 1  # it is certain that this one was not applied
    if item.sent is Sent.HOUSEKEEPING:
        return
    verdict = verdict_of(code)
    answers.verdicts.add(verdict)
    if verdict is Verdict.REPLACE_KEY:
        if not entry.replace_due:
            if terms.now_ns - entry.replaced_ns < REPLACE_EVERY_NS:
                entry.gave_way(item)  # replaced a moment ago: somebody else fights for the key
                return
            entry.replace_due, entry.replaced_ns = True, terms.now_ns
        entry.again(item)
    elif verdict is Verdict.GIVE_UP:
        entry.gave_way(item)
    else:
        entry.again(item)
        if verdict is Verdict.MOVED:
            answers.moved.append((entry, error))
        elif verdict is Verdict.ASK:
            answers.asked.append((entry, error))


def _old_id(item: Item, terms: Terms, answers: Answers) -> None:
    """The stream has this trade or a newer one. For a trade that was sent before, that is success."""
    entry, trade = item.entry, item.trade
    assert trade is not None
    if trade.sends > 1:
        entry.landed(item)
        return
    entry.gave_way(item)
    answers.errors["OLD_ID"] += 1
    if isinstance(entry, TradeStream) and terms.now_ns - entry.healed_ns > REPLACE_EVERY_NS:
        entry.heal_due, entry.healed_ns = True, terms.now_ns

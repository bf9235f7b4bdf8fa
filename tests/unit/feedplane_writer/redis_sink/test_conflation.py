"""Whatever becomes of pipelines: the newest value gets there, no key goes back, and every row is settled exactly once."""

from __future__ import annotations

from typing import Any

import hiredis
from feedplane_core.names import NS_PER_S, Mode
from feedplane_writer.redis_sink.books import Books
from feedplane_writer.redis_sink.entries import STREAM_LENGTH, Entry, HotKey, Sent, Terms, TradeStream
from feedplane_writer.redis_sink.kinds import HEAD_FIELDS, L1, OI
from feedplane_writer.redis_sink.pipelines import Pipeline, Queue, settle, unknown
from feedplane_writer.redis_sink.quality import Quality
from feedplane_writer.redis_sink.scripts import MARK_SHA, VALUE_SHAS
from hypothesis import given, settings
from hypothesis import strategies as st

T0 = 1_790_000_000 * NS_PER_S
TTL = 3_600 * NS_PER_S


def terms(now_ns: int = 0) -> Terms:
    return Terms(T0 + now_ns, now_ns, TTL)


def commands(pipeline: Pipeline) -> list[list[bytes]]:
    """The payload, read back by another parser."""
    parser = hiredis.Reader()
    parser.feed(pipeline.payload)
    found = []
    while (command := parser.gets()) is not False:
        found.append(command)
    assert len(found) == len(pipeline.items)
    return found


class ModelRedis:
    """What the scripts and XADD do, in Python."""

    def __init__(self) -> None:
        self.hashes: dict[bytes, tuple[int, bytes, list[bytes]]] = {}
        self.streams: dict[bytes, list[tuple[int, int]]] = {}

    def run(self, words: list[bytes]) -> Any:
        if words[0] == b"XADD":
            return self._xadd(words)
        if words[0] != b"EVALSHA" or words[1] == MARK_SHA:
            return 1
        key, ts, seq, values = words[3], int(words[7]), words[8], words[9:]
        held = self.hashes.get(key)
        if held is not None and (ts, int(seq or 0)) <= (held[0], int(held[1] or 0)):
            return 2 if (ts, seq) == held[:2] else 0
        self.hashes[key] = (ts, seq, values)
        return 1

    def _xadd(self, words: list[bytes]) -> Any:
        stream = self.streams.setdefault(words[1], [])
        ms, _, sub = words[5].partition(b"-")
        number = (int(ms), int(sub))
        if stream and number <= stream[-1]:
            return hiredis.ReplyError(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
            )
        stream.append(number)
        return words[5]


def quote(key: HotKey, books: Books, number: int) -> None:
    ts = T0 + number
    key.set(books, Mode.LIVE, ts, [str(ts), str(number), "", *["1"] * 6], books.open(), 0)


ACTIONS = st.lists(
    st.sampled_from(["quote0", "quote1", "trade", "send", "answer", "fail", "lost", "lost_applied", "mark"]),
    max_size=60,
)


@settings(max_examples=300)
@given(ACTIONS)
def test_rows_are_conserved_and_the_newest_value_arrives(actions: list[str]) -> None:
    server, books, queue = ModelRedis(), Books("j"), Queue()
    keys = [HotKey(L1, b"last:l1:x:%d" % i, Mode.LIVE) for i in range(2)]
    stream = TradeStream(b"stream:trades:x:0", Mode.LIVE)
    in_flight: list[Pipeline] = []
    newest = [0, 0]
    rows = trades = 0
    seen: list[int] = []

    def send() -> None:
        pipeline = queue.take(100, terms(), TTL)
        if pipeline.items:
            in_flight.append(pipeline)

    def answer(error: Exception | None = None) -> None:
        if not in_flight:
            return
        pipeline = in_flight.pop(0)
        replies = [
            error if error is not None and i >= len(pipeline.items) // 2 else server.run(words)
            for i, words in enumerate(commands(pipeline))
        ]
        for entry in settle(pipeline, replies, terms()).again:
            queue.add(entry)

    def lose(applied: bool) -> None:
        for pipeline in in_flight:
            if applied:
                for words in commands(pipeline):
                    server.run(words)
        unknown(in_flight, queue.add)
        in_flight.clear()

    for number, action in enumerate([*actions, "lost"], 1):
        match action:
            case "quote0" | "quote1":
                index = int(action[-1])
                quote(keys[index], books, number)
                newest[index] = number
                queue.add(keys[index])
                rows += 1
            case "trade":
                stream.add(
                    Mode.LIVE, T0 + number, ("1", "1", "buy", str(number), "", str(T0 + number)), books.open(), 0
                )
                queue.add(stream)
                trades += 1
            case "mark":
                if keys[0].mark(Quality.STALE, T0 + number, b""):
                    queue.add(keys[0])
            case "send":
                send()
            case "answer":
                answer()
            case "fail":
                answer(hiredis.ReplyError("OOM command not allowed"))
            case _:
                lose(applied=action == "lost_applied")
        seen.append(server.hashes.get(keys[0].key, (0,))[0])
    for _ in range(10):
        send()
        answer()

    assert not queue
    assert not in_flight
    assert books.open_rows == 0
    assert books.written == {feed: n for feed, n in (("l1", rows), ("trades", trades)) if n}
    assert seen == sorted(seen)
    for key, number in zip(keys, newest, strict=True):
        assert server.hashes.get(key.key, (T0,))[0] == T0 + number
    assert len(server.streams.get(stream.key, [])) == trades


def test_values_between_two_pipelines_are_superseded_by_the_newest() -> None:
    books, queue = Books("j", claim_ms=7), Queue()
    key = HotKey(L1, b"k", Mode.LIVE)
    for number in range(1, 11):
        quote(key, books, number)
        queue.add(key)

    (words,) = commands(queue.take(100, terms(), TTL))

    assert words[:2] == [b"EVALSHA", VALUE_SHAS[L1]]
    assert words[7:10] == [str(T0 + 10).encode(), b"10", b""]
    assert words[-2:] == [b"synced", b"0000000000007"]
    assert books.superseded == {"l1": 9}
    assert books.open_rows == 1


def test_the_order_of_values_is_the_order_of_the_fields() -> None:
    assert HEAD_FIELDS == ("ts_recv_ns", "seq", "ts_event_ns")  # the script's comparison reads arguments 4 and 5


def test_a_value_that_redis_has_already_still_gets_its_state() -> None:
    books, queue = Books("j"), Queue()
    key = HotKey(OI, b"k", Mode.LIVE)
    key.set(books, Mode.LIVE, T0, [str(T0), "", "", "5"], books.open(), 0)
    key.mark(Quality.STALE, T0 + 1, b"")
    queue.add(key)

    again = settle(queue.take(10, terms(), TTL), [2], terms()).again

    assert again == [key]
    queue.add(key)
    (words,) = commands(queue.take(10, terms(), TTL))
    assert (words[1], words[5:]) == (MARK_SHA, [b"stale", books.claim, b"1"])


def test_the_ttl_is_set_with_the_first_write_and_refreshed_later() -> None:
    books, queue = Books("j"), Queue()
    key = HotKey(OI, b"k", Mode.LIVE)

    def refreshes(now_ns: int) -> bool:
        ts = T0 + now_ns
        key.set(books, Mode.LIVE, ts, [str(ts), "", "", "5"], None, now_ns)
        queue.add(key)
        (words,) = commands(queue.take(10, terms(now_ns), TTL))
        assert words[5] == b"3600000"
        return words[6] == b"1"

    assert [refreshes(n * NS_PER_S) for n in (0, 1, 9, 10, 11, 20)] == [True, False, False, True, False, True]


def test_what_waited_longer_than_the_ttl_is_dropped_and_settled() -> None:
    books, queue = Books("j"), Queue()
    key, stream = HotKey(OI, b"k", Mode.LIVE), TradeStream(b"s", Mode.LIVE)
    key.set(books, Mode.LIVE, T0, [str(T0), "", "", "5"], books.open(), 1)
    stream.add(Mode.LIVE, T0, ("1", "1", "buy", "", "", str(T0)), books.open(), 1)
    for entry in (key, stream):
        queue.add(entry)

    assert queue.take(10, terms(TTL + 2), TTL).items == []
    assert books.open_rows == 0


def test_a_stream_holds_its_newest_thousand_trades() -> None:
    books = Books("j")
    stream = TradeStream(b"s", Mode.LIVE)
    row = books.open(STREAM_LENGTH + 5)
    for number in range(STREAM_LENGTH + 5):
        stream.add(Mode.LIVE, T0 + number, ("1", "1", "buy", str(number), "", ""), row, 0)

    assert [stream.pending[0].values[3], len(stream.pending)] == ["5", STREAM_LENGTH]
    assert books.superseded == {"trades": 5}


def test_trades_are_not_sent_past_those_that_are_still_unanswered() -> None:
    books, queue = Books("j"), Queue()
    stream = TradeStream(b"s", Mode.LIVE)

    def add(number: int) -> None:
        stream.add(Mode.LIVE, T0 + number, ("1", "1", "buy", "", "", ""), books.open(), 0)
        queue.add(stream)

    add(1)
    first = queue.take(10, terms(), TTL)
    add(2)
    assert queue.take(10, terms(), TTL).items == []
    entries: list[Entry] = []
    unknown([first], entries.append)
    queue.add(entries[0])

    sent = [
        item.trade.values and item.recv_ns
        for item in queue.take(10, terms(), TTL).items
        if item.sent is Sent.TRADE and item.trade
    ]
    assert sent == [T0 + 1, T0 + 2]


def test_a_trade_that_was_refused_and_overtaken_is_not_counted_as_stored() -> None:
    books, queue = Books("j"), Queue()
    stream = TradeStream(b"s", Mode.LIVE)
    for number in range(2):
        stream.add(Mode.LIVE, T0 + number, ("1", "1", "buy", "", "", ""), books.open(), 0)
    queue.add(stream)
    oom = hiredis.ReplyError("OOM command not allowed")
    old = hiredis.ReplyError("ERR The ID specified in XADD is equal or smaller than the target stream top item")

    first = queue.take(10, terms(), TTL)
    settle(first, [oom, *[b"1-1"] * (len(first.items) - 1)], terms())
    queue.add(stream)
    second = queue.take(10, terms(), TTL)
    settle(second, [old, *[1] * (len(second.items) - 1)], terms())

    assert books.stored == {"trades": 1}
    assert books.superseded == {"trades": 1}


def test_trade_ids_follow_receive_time_and_place() -> None:
    stream = TradeStream(b"s", Mode.LIVE)
    for recv_ns in (T0 + 999_999, T0 + 999_999, T0 + 1_000_000):
        stream.add(Mode.LIVE, recv_ns, ("1", "1", "buy", "", "", ""), None, 0)

    ids = [tuple(map(int, trade.id.split(b"-"))) for trade in stream.pending]
    assert ids == sorted(set(ids))
    assert [ms for ms, _ in ids] == [T0 // 1_000_000] * 2 + [T0 // 1_000_000 + 1]
    assert max(sub for _, sub in ids) < 1 << 63

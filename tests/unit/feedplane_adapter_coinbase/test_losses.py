"""What a socket owes: numbers jumped over, numbers mentioned and never sent, products fallen silent."""

from __future__ import annotations

from feedplane_adapter_coinbase.losses import GRACE_NS, SILENCE_NS, Missing, SilenceWatch, TapeWatch
from feedplane_core.names import NS_PER_S
from hypothesis import given
from hypothesis import strategies as st

BTC, ETH = "BTC-USD", "ETH-USD"


def test_a_jump_in_ids_is_what_lies_between() -> None:
    watch = TapeWatch(None)

    assert [watch.on_match(BTC, number) for number in (10, 11, 13, 14)] == [None, None, Missing(BTC, 12, 12), None]


def test_late_and_repeated_ids_are_no_loss() -> None:
    watch = TapeWatch(None)

    assert [watch.on_match(BTC, number) for number in (10, 12, 11, 12, 13)][2:] == [None, None, None]


def test_products_are_judged_apart() -> None:
    watch = TapeWatch(None)
    watch.on_match(BTC, 10)

    assert watch.on_match(ETH, 500) is None
    assert watch.on_match(BTC, 11) is None


def test_tape_begins_at_the_first_mention() -> None:
    """`last_match` 9 is state from before; a first match 11 has lost 10."""
    watch = TapeWatch(None)
    assert watch.on_mention(BTC, 9, 0) is None

    assert watch.on_match(BTC, 11) == Missing(BTC, 10, 10)


def test_a_mentioned_id_that_does_not_come_in_two_seconds_is_lost_once() -> None:
    watch = TapeWatch(None)
    watch.on_match(BTC, 19)

    assert watch.on_mention(BTC, 20, 0) is None
    assert watch.on_mention(BTC, 20, GRACE_NS - 1) is None
    assert watch.on_mention(BTC, 20, GRACE_NS) == Missing(BTC, 20, 20)
    assert watch.on_mention(BTC, 20, 9 * GRACE_NS) is None
    assert watch.on_match(BTC, 21) is None


def test_a_mentioned_id_that_comes_late_is_no_loss() -> None:
    watch = TapeWatch(None)
    watch.on_match(BTC, 19)
    watch.on_mention(BTC, 20, 0)
    watch.on_match(BTC, 20)

    assert watch.on_mention(BTC, 21, 2 * GRACE_NS) is None  # a new claim, with a grace of its own
    assert watch.on_mention(BTC, 21, 3 * GRACE_NS) == Missing(BTC, 21, 21)


def test_the_grace_counts_from_the_first_mention_of_what_is_still_missing() -> None:
    watch = TapeWatch(None)
    watch.on_match(BTC, 19)
    watch.on_mention(BTC, 20, 0)

    assert watch.on_mention(BTC, 25, NS_PER_S) is None
    assert watch.on_mention(BTC, 30, GRACE_NS) == Missing(BTC, 20, 20)
    assert watch.on_mention(BTC, 30, 2 * GRACE_NS) is None
    assert watch.on_mention(BTC, 30, 3 * GRACE_NS) == Missing(BTC, 21, 30)


def test_only_products_whose_trades_were_asked_for_are_judged() -> None:
    watch = TapeWatch({BTC})
    watch.on_mention(ETH, 10, 0)

    assert [watch.on_mention(ETH, 99, at * GRACE_NS) for at in (1, 2, 3)] == [None, None, None]


@given(
    kept=st.lists(st.booleans(), min_size=1, max_size=60),
    extra=st.integers(0, 3),
)
def test_every_lost_id_is_told_exactly_once(kept: list[bool], extra: int) -> None:
    """Trades 1..n of which some are dropped, a heartbeat a second: after the grace, told = dropped."""
    watch = TapeWatch(None)
    watch.on_mention(BTC, 0, 0)
    told: list[int] = []
    at_ns = 0
    for number, arrives in enumerate(kept, start=1):
        at_ns += NS_PER_S
        found = [watch.on_match(BTC, number) if arrives else None, watch.on_mention(BTC, number, at_ns)]
        told += [n for m in found if m for n in range(m.first, m.last + 1)]
    for beat in range(1, 8 + extra):
        missing = watch.on_mention(BTC, len(kept), at_ns + beat * NS_PER_S)
        told += range(missing.first, missing.last + 1) if missing else ()

    dropped = [number for number, arrives in enumerate(kept, start=1) if not arrives]
    assert told == dropped


def test_a_product_without_heartbeat_is_told_once_by_the_beats_of_others() -> None:
    watch = SilenceWatch()
    watch.on_heartbeat(BTC, 0)
    told = [watch.on_heartbeat(ETH, at) for at in range(0, SILENCE_NS + 3 * NS_PER_S, NS_PER_S)]

    assert told == [None] * 11 + [BTC, None]


def test_unsubscribed_products_may_be_silent() -> None:
    watch = SilenceWatch()
    watch.on_heartbeat(BTC, 0)
    watch.on_heartbeat(ETH, 0)
    watch.keep({ETH})

    assert watch.on_heartbeat(ETH, 5 * SILENCE_NS) is None


def test_a_pause_of_the_reader_is_no_silence() -> None:
    """Frames held up on the way keep the venue's own times."""
    watch = SilenceWatch()
    beats = [(product, at * NS_PER_S) for at in range(60) for product in (BTC, ETH)]

    assert [watch.on_heartbeat(product, at) for product, at in beats] == [None] * len(beats)

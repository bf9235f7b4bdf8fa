"""Which hole lies before a journal, by what all journals of its shard have said."""

from __future__ import annotations

import pytest
from feedplane_core.names import NS_PER_S, Feed
from feedplane_core.succession import MARGIN_NS, Life, Speaker, hole_before, speaker_of

ARRIVED_S = 10_000


def speaker(journal: str, shard: int = 0, shards: int = 1, source: str = "majors/okx") -> Speaker:
    return Speaker(source, shard, shards, journal, (Feed.TRADES, Feed.L1))


def life(journal: str, first_s: int, last_s: int, *, ended: bool = False, shard: int = 0, shards: int = 1) -> Life:
    return Life(speaker(journal, shard, shards), first_s * NS_PER_S, last_s * NS_PER_S, ended)


CASES: dict[str, tuple[list[Life], int | None]] = {
    "a first start": ([], None),
    "itself is no predecessor": ([life("own", 9_000, 9_990)], None),
    "of another entry": ([Life(speaker("a", source="majors/okx-spot"), 0, 9_990 * NS_PER_S, False)], None),
    "lost long ago": ([life("a", 100, 500)], 500),
    "replaced within seconds": ([life("a", 100, 9_998)], 9_998),
    "heard beside it": ([life("a", 100, 10_003)], None),
    "heard at the very moment": ([life("a", 100, 10_000)], None),
    "ended before it came": ([life("a", 100, 9_000, ended=True)], 9_000),
    "the newest counts": ([life("a", 100, 500), life("b", 600, 9_000)], 9_000),
    "a successor of itself is none": ([life("a", 100, 500), life("c", 10_050, 10_100)], 500),
    "one that was lost before it settled": ([life("a", 100, 500), life("b", 9_900, 9_905)], 500),
    "one that was short and ended by itself": ([life("a", 100, 500), life("b", 9_900, 9_905, ended=True)], 9_905),
    "only one, and it was short": ([life("b", 9_900, 9_905)], 9_905),
    "a short one beside it": ([life("a", 100, 500), life("b", 9_990, 10_004)], None),
    "more shards before, all alive": ([life("a", 1, 10_002, shards=2), life("b", 1, 10_001, shard=1, shards=2)], None),
    "more shards before, one lost": ([life("a", 1, 10_002, shards=2), life("b", 1, 7_000, shard=1, shards=2)], 7_000),
    "an old layout of its own is history": (
        [life("a", 1, 50), life("b", 100, 10_002, shards=2), life("c", 100, 10_003, shard=1, shards=2)],
        None,
    ),
    "words of one journal in two places": ([life("a", 100, 500), life("a", 10_001, 10_005)], None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_hole_reaches_back_to_the_last_word_of_the_one_before(name: str) -> None:
    lives, reached_s = CASES[name]
    expected = None if reached_s is None else reached_s * NS_PER_S - MARGIN_NS

    assert hole_before(speaker("own"), ARRIVED_S * NS_PER_S, lives) == expected


def test_another_shard_of_the_same_layout_says_nothing() -> None:
    lives = [life("a", 1, 10_004, shard=1, shards=2), life("b", 1, 6_000, shard=0, shards=2)]

    assert hole_before(speaker("own", 0, 2), ARRIVED_S * NS_PER_S, lives) == 6_000 * NS_PER_S - MARGIN_NS
    assert hole_before(speaker("own", 1, 2), ARRIVED_S * NS_PER_S, lives) is None


@pytest.mark.parametrize("source", ["majors/okx", "majors/okx-spot-2"])
def test_a_detail_says_who_speaks(source: str) -> None:
    own = speaker("5f0c81aa3b21", 3, 12, source)

    assert speaker_of(own.detail()) == own
    assert speaker_of(own.detail() + ",a_feed_of_tomorrow") == own


def test_other_details_name_nobody() -> None:
    assert [speaker_of(text) for text in ("", "majors/okx-0/2", "c1", "majors/okx/2 j trades")] == [None] * 4

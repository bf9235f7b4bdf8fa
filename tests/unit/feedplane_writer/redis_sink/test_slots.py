"""Where a cluster keeps a key."""

from __future__ import annotations

import pytest
from feedplane_core.names import HOT_KINDS, KeyStyle, hot_key, trades_key
from feedplane_writer.redis_sink.slots import SLOTS, parse_address, primaries, redirected, slot_of


@pytest.mark.parametrize(
    ("key", "slot"),
    [  # from the specification and from CLUSTER KEYSLOT of a real server
        (b"123456789", 0x31C3),
        (b"foo", 12182),
        (b"{user1000}.following", 3443),
        (b"{user1000}.followers", 3443),
        (b"foo{}{bar}", 8363),
        (b"foo{{bar}}zap", 4015),
        (b"foo{bar}{zap}", 5061),
    ],
)
def test_slots_are_those_of_the_specification(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_tagged_keys_of_an_instrument_share_a_slot_and_instruments_spread() -> None:
    def slots(instrument: str) -> set[int]:
        keys = [hot_key(kind, "okx", instrument, KeyStyle.TAGGED) for kind in HOT_KINDS]
        return {slot_of(key.encode()) for key in [*keys, trades_key("okx", instrument, KeyStyle.TAGGED)]}

    assert all(len(slots(f"SYM{i}")) == 1 for i in range(50))
    assert len(set.union(*(slots(f"SYM{i}") for i in range(50)))) > 40


def test_the_map_names_the_primary_of_each_slot() -> None:
    answer = [[0, 1, [b"10.0.0.1", 7000, b"id"], [b"10.0.0.9", 7009, b"id"]], [3, 16_383, [b"", 7001, b"id"]]]

    owners = primaries(answer, ("seed", 1))

    assert owners[:4] == [("10.0.0.1", 7000), ("10.0.0.1", 7000), None, ("seed", 7001)]
    assert len(owners) == SLOTS


def test_redirections_name_slot_and_address() -> None:
    assert redirected("MOVED 3999 127.0.0.1:6381", ("seed", 1)) == (3999, ("127.0.0.1", 6381))
    assert redirected("ASK 7 :6381", ("seed", 1)) == (7, ("seed", 6381))
    assert parse_address("[::1]:6379") == ("::1", 6379)

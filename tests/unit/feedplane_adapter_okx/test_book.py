"""The rule of books, its checksum, and quantities in base units."""

from __future__ import annotations

import orjson
import pytest
from feedplane_adapter_okx import ADAPTER
from feedplane_core.adapter import Adapter, Options, SnapshotSource, Verdict
from feedplane_core.errors import DecodeError, UsageError
from feedplane_core.events import BookSnapshot, DepthDiff, Event, Gap
from feedplane_core.instruments import ContractUnit, Instrument
from feedplane_core.names import MarketType
from feedplane_core.sync import BookSync
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_780_000_000_000_000_000


def contract(name: str, size: str, *, is_inverse: bool = False) -> Instrument:
    return Instrument(
        exchange="okx",
        market_type=MarketType.PERP_INVERSE if is_inverse else MarketType.PERP_LINEAR,
        instrument=name,
        pair=name,
        base="BTC",
        quote="USD",
        contract_size=size,
        contract_unit=ContractUnit.QUOTE if is_inverse else ContractUnit.BASE,
    )


LINEAR = contract("BTC-USDT-SWAP", "0.01")
INVERSE = contract("BTC-USD-SWAP", "100", is_inverse=True)


def frame(name: str, prev: int | None, seq: int | None, *, checksum: int = 0, bids: object = (), ts: int = 0) -> bytes:
    numbers = {} if seq is None else {"prevSeqId": prev, "seqId": seq}
    data = {"asks": [["101", "5", "0", "1"]] if prev == -1 else [], "bids": bids, "ts": str(NOW // 10**6 + ts)}
    action = "snapshot" if prev == -1 else "update"
    arg = {"channel": "books", "instId": name}
    return orjson.dumps({"arg": arg, "action": action, "data": [data | {"checksum": checksum} | numbers]})


def book_events(*frames: bytes, adapter: Adapter | None = None) -> list[Event]:
    """What the machine keeps of these frames."""
    adapter = adapter or ADAPTER()
    session = adapter.session()
    sync = BookSync("okx", MarketType.SPOT, "BTC-USDT", adapter.book_rule(None))
    kept: list[Event] = []
    for one in frames:
        for event in session.decode(one, NOW):
            if isinstance(event, BookSnapshot):
                kept += sync.on_snapshot(event)
            elif isinstance(event, DepthDiff):
                kept += sync.on_diff(event)
    return kept


BID = [["100", "5", "0", "1"]]


def test_updates_follow_by_the_number_before_them() -> None:
    kept = book_events(
        frame("BTC-USDT", -1, 10, bids=BID), frame("BTC-USDT", 10, 14), frame("BTC-USDT", 14, 15, bids=BID)
    )

    assert [(e.prev_seq, e.last_seq) for e in kept if isinstance(e, DepthDiff)] == [(10, 14), (14, 15)]


def test_a_number_that_falls_where_its_predecessor_fits_is_no_hole() -> None:
    kept = book_events(
        frame("BTC-USDT", -1, 15, bids=BID), frame("BTC-USDT", 15, 3, ts=5_000), frame("BTC-USDT", 3, 5, ts=5_100)
    )

    assert [e.last_seq for e in kept if isinstance(e, DepthDiff)] == [3, 5]
    assert not [e for e in kept if isinstance(e, Gap)]


def test_a_heartbeat_keeps_the_book_and_shows_a_loss() -> None:
    opening = frame("BTC-USDT", -1, 10, bids=BID)

    quiet = book_events(opening, frame("BTC-USDT", 10, 10, ts=60_000), frame("BTC-USDT", 10, 12, ts=60_100))
    lossy = book_events(opening, frame("BTC-USDT", 12, 12, ts=60_000))

    assert not [e for e in quiet if isinstance(e, Gap)]
    assert [e.reason for e in lossy if isinstance(e, Gap)] == ["sequence"]


def test_a_missing_predecessor_is_not_zero() -> None:
    data = {"asks": [], "bids": [], "ts": "1780000000000", "checksum": 0, "seqId": 7}
    arg = {"channel": "books", "instId": "BTC-USDT"}

    with pytest.raises(DecodeError, match="schema"):
        ADAPTER().session().decode(orjson.dumps({"arg": arg, "action": "update", "data": [data]}), NOW)


def test_an_unnumbered_update_does_not_follow_a_numbered_book() -> None:
    kept = book_events(frame("BTC-USDT", -1, 10, bids=BID), frame("BTC-USDT", None, None, bids=BID))

    assert [e.reason for e in kept if isinstance(e, Gap)] == ["sequence"]


def test_a_snapshot_by_rest_joins_an_update_that_spans_it() -> None:
    """The announced replacement of the snapshot on the socket: first applied update has prevSeqId <= seqId of the snapshot < its own."""
    adapter = ADAPTER(Options(switches={"book_snapshot": "rest"}))
    rule = adapter.book_rule(None)
    (snapshot,) = adapter.session().decode(frame("BTC-USDT", -1, 100, bids=BID), NOW)
    assert isinstance(snapshot, BookSnapshot)

    def verdict(prev: int, seq: int) -> Verdict:
        (diff,) = adapter.session().decode(frame("BTC-USDT", prev, seq), NOW)
        assert isinstance(diff, DepthDiff)
        return rule.joins(snapshot, diff)

    assert rule.source is SnapshotSource.REST
    assert [verdict(95, 99), verdict(95, 100), verdict(98, 103), verdict(100, 103), verdict(101, 103)] == [
        Verdict.STALE,
        Verdict.STALE,
        Verdict.APPLY,
        Verdict.APPLY,
        Verdict.GAP,
    ]


def test_a_snapshot_is_asked_for_by_switch_alone() -> None:
    assert ADAPTER().book_snapshot_request(LINEAR) is None
    request = ADAPTER(Options(switches={"book_snapshot": "rest"})).book_snapshot_request(LINEAR)
    assert request is not None
    assert request.url.endswith("/api/v5/market/books?instId=BTC-USDT-SWAP&sz=400")  # one level is the default
    with pytest.raises(UsageError, match="book_snapshot"):
        ADAPTER(Options(switches={"book_snapshot": "carrier pigeon"}))


@pytest.mark.parametrize(
    ("bids", "asks", "text"),
    [
        ([["3366.1", "7"], ["3366", "6"]], [["3366.8", "9"], ["3368", "8"]], "3366.1:7:3366.8:9:3366:6:3368:8"),
        ([["3366.1", "7"]], [["3366.8", "9"], ["3368", "8"], ["3372", "8"]], "3366.1:7:3366.8:9:3368:8:3372:8"),
    ],
)
def test_checksums_are_over_the_documented_strings(bids: list[list[str]], asks: list[list[str]], text: str) -> None:
    """CRC-32 worked out bit by bit, apart from zlib."""
    crc = 0xFFFFFFFF
    for byte in text.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    unsigned = crc ^ 0xFFFFFFFF
    expected = unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned

    assert ADAPTER().book_rule(None).checksum(bids, asks) == expected


def test_only_25_levels_count() -> None:
    bids = [[str(1000 - n), "1"] for n in range(40)]
    asks = [[str(1001 + n), "1"] for n in range(40)]
    rule = ADAPTER().book_rule(None)

    assert rule.checksum(bids, asks) == rule.checksum(bids[:25], asks[:25]) != rule.checksum(bids[:24], asks[:24])


def test_a_checksum_of_zero_is_none() -> None:
    session = ADAPTER().session()
    (none,) = session.decode(frame("BTC-USDT", -1, 1, bids=BID), NOW)
    (real,) = session.decode(frame("BTC-USDT", -1, 1, bids=BID, checksum=-855196043), NOW)

    assert isinstance(none, BookSnapshot)
    assert isinstance(real, BookSnapshot)
    assert (none.checksum, real.checksum) == (None, -855196043)


@given(
    contracts=st.integers(1, 10**12),
    decimals=st.integers(0, 4),
    price=st.integers(1, 10**9),
    places=st.integers(0, 6),
    instrument=st.sampled_from((LINEAR, INVERSE)),
)
def test_contracts_are_found_again_behind_base_units(
    contracts: int, decimals: int, price: int, places: int, instrument: Instrument
) -> None:
    """Base units of inverse contracts are rounded; what was sent comes back all the same."""
    sent_qty, sent_price = shortest(contracts, decimals), shortest(price, places)
    base = instrument.base_qty(sent_qty, sent_price)
    rule, spot = ADAPTER().book_rule(instrument), ADAPTER().book_rule(None)

    assert rule.checksum([[sent_price, base]], []) == spot.checksum([[sent_price, sent_qty]], [])


def shortest(digits: int, places: int) -> str:
    whole, fraction = divmod(digits, 10**places)
    return f"{whole}.{fraction:0{places}d}".rstrip("0").rstrip(".") if places else str(whole)

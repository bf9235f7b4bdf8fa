"""Spot books: the official checksums, padding, truncation, and what is made of a precision that changes."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from feedplane_adapter_kraken import ADAPTER
from feedplane_adapter_kraken.book import Precision, checksum
from feedplane_core.events import BookSnapshot, DepthDiff, Gap
from feedplane_core.names import NS_PER_S, MarketType
from feedplane_core.sync import BookSync
from feedplane_testing.venues import Venue

NOW_NS = 1_700_000_000 * NS_PER_S
BTC_ASKS = (
    "45285.2/0.00100000 45286.4/1.54571953 45286.6/1.54571109 45289.6/1.54560911 45290.2/0.15890660 "
    "45291.8/1.54553491 45294.7/0.04454749 45296.1/0.35380000 45297.5/0.09945542 45299.5/0.18772827"
)
BTC_BIDS = (
    "45283.5/0.10000000 45283.4/1.54582015 45282.1/0.10000000 45281.0/0.10000000 45280.3/1.54592586 "
    "45279.0/0.07990000 45277.6/0.03310103 45277.5/0.30000000 45277.3/1.54602737 45276.6/0.15445238"
)
MATIC_BIDS = (
    "0.5666/4831.75496356 0.5665/6658.22734739 0.5664/18724.91513344 0.5663/11563.92544914 0.5662/14006.65365711 "
    "0.5661/17454.85679807 0.566/18097.1547 0.5659/33644.89175666 0.5658/148.3464 0.5657/606.70854372"
)
MATIC_ASKS = (
    "0.5668/4410.79769741 0.5669/4655.40412487 0.567/49844.89424998 0.5671/24306.41678 0.5672/29783.25223475 "
    "0.5673/57234.71239278 0.5674/45065.04744 0.5675/5912.76380354 0.5676/42514.92434778 0.5677/36304.0847022"
)


def levels(text: str) -> list[list[str]]:
    return [level.split("/") for level in text.split()]


def test_official_examples() -> None:
    """API centre, "Book Checksum (v2)": the second example prints its numbers without trailing zeros."""
    assert checksum(levels(BTC_BIDS), levels(BTC_ASKS), Precision(1, 8)) == 3310070434
    assert checksum(levels(MATIC_BIDS), levels(MATIC_ASKS), Precision(4, 8)) == 2439117997
    changed = [*levels(MATIC_BIDS)[:-1], ["0.5657", "1098.3947558"]]
    assert checksum(changed, levels(MATIC_ASKS), Precision(4, 8)) == 2114181697


def test_padding_is_the_precisions_and_not_the_wires() -> None:
    bids, asks = levels(MATIC_BIDS), levels(MATIC_ASKS)
    padded = [[[p.ljust(6, "0"), f"{Decimal(q):.8f}"] for p, q in side] for side in (bids, asks)]
    whole = [[["16", "2"]], [["17.0", "3.50"]]]

    assert checksum(padded[0], padded[1], Precision(4, 8)) == 2439117997
    assert checksum(whole[0], whole[1], Precision(1, 2)) == checksum(
        [["16.0", "2.00"]], [["17", "3.5"]], Precision(1, 2)
    )
    assert checksum([["1.50", "1.0000"]], [], Precision(1, 2)) == checksum([["1.5", "1"]], [], Precision(1, 2))


def test_only_ten_levels_count_and_fewer_will_do() -> None:
    eleven = [*levels(BTC_BIDS), ["45000.0", "9.00000000"]]

    assert checksum(eleven, levels(BTC_ASKS), Precision(1, 8)) == 3310070434
    assert checksum([], [], Precision(1, 8)) == 0


def book_frame(kind: str, bids: list[list[str]], asks: list[list[str]], crc: int, symbol: str = "MATIC/USD") -> bytes:
    sides = [",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in side) for side in (bids, asks)]
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],'
        f'"checksum":{crc},"timestamp":"2023-11-14T22:13:20.000000Z"}}]}}'
    ).encode()


def decoded(frame: bytes) -> BookSnapshot | DepthDiff:
    (event,) = ADAPTER().session().decode(frame, NOW_NS)
    assert isinstance(event, BookSnapshot | DepthDiff)
    return event


def test_levels_that_are_pushed_out_are_forgotten() -> None:
    """Without truncation the ghost of 0.5657 would stay, and the checksum of the last update would fail."""
    venue = Venue("kraken")
    (case,) = (case for case in venue.labelled("ob_diffs") if case.name == "matic_vector")
    events = venue.events(case)
    sync = BookSync("kraken", MarketType.SPOT, "MATIC/USD", venue.book_rule(events[0]))
    kept = []
    for event in events:
        kept += sync.on_snapshot(event) if isinstance(event, BookSnapshot) else sync.on_diff(event)  # type: ignore[arg-type]

    assert kept == events
    assert (len(sync.book.bids), len(sync.book.asks)) == (10, 10)
    assert sync.book.bids.top()[0] == ("0.5665", "0.00000002")


def test_a_precision_that_changes_is_learned_from_the_instrument_channel() -> None:
    venue = Venue("kraken")
    adapter = venue.adapter()
    rule = adapter.book_rule(next(i for i in venue.instruments if i.instrument == "MATIC/USD"))
    bids, asks = levels(MATIC_BIDS), levels(MATIC_ASKS)
    pair = {"symbol": "MATIC/USD", "base": "MATIC", "quote": "USD", "price_precision": 5, "qty_precision": 8}
    pair |= {"price_increment": 0.0001, "qty_increment": 1e-08, "status": "online"}
    update = orjson.dumps({"channel": "instrument", "type": "update", "data": {"assets": [], "pairs": [pair]}})

    assert rule.checksum(bids, asks) == 2439117997
    assert adapter.session().decode(update, NOW_NS) == []
    assert rule.checksum(bids, asks) == checksum(bids, asks, Precision(5, 8)) != 2439117997


def test_nothing_is_checked_where_precisions_are_not_known() -> None:
    assert ADAPTER().book_rule(None).checksum(levels(MATIC_BIDS), levels(MATIC_ASKS)) is None


def test_a_wrong_checksum_is_a_gap_and_the_next_snapshot_ends_it() -> None:
    venue = Venue("kraken")
    snapshot = decoded(book_frame("snapshot", levels(MATIC_BIDS), levels(MATIC_ASKS), 2439117997))
    wrong = decoded(book_frame("update", [["0.5657", "1098.3947558"]], [], 2114181696))
    sync = BookSync("kraken", MarketType.SPOT, "MATIC/USD", venue.book_rule(snapshot))
    assert isinstance(snapshot, BookSnapshot)
    assert isinstance(wrong, DepthDiff)
    assert sync.on_snapshot(snapshot) == [snapshot]

    (opened,) = sync.on_diff(wrong)
    _, closed = sync.on_snapshot(snapshot)

    assert isinstance(opened, Gap)
    assert isinstance(closed, Gap)
    assert (opened.reason, opened.state, closed.state) == ("checksum", "open", "closed")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("0", "0"), ("0.0", "0.0"), ("0.00000000", "0.00000000"), ("1e-08", "0.00000001"), ("12", "12"), ('"0.5"', "0.5")],
)
def test_numbers_are_kept_as_their_digits(sent: str, kept: str) -> None:
    diff = decoded(book_frame("update", [["45283.10", sent]], [], 1))

    assert [list(level) for level in diff.bids] == [["45283.10", kept]]


@pytest.mark.parametrize(("count", "depth"), [(3, 10), (10, 10), (11, 25), (100, 100), (101, 500), (1000, 1000)])
def test_offline_a_snapshot_tells_its_depth_by_its_size(count: int, depth: int) -> None:
    bids = [[str(10_000 - n), "1"] for n in range(count)]

    assert decoded(book_frame("snapshot", bids, [], 1)).depth == depth  # type: ignore[union-attr]

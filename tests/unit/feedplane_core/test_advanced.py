"""Metrics against the same formulas in fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from feedplane_core import advanced
from feedplane_core.advanced import TradeWindow
from feedplane_core.decimals import unscaled
from feedplane_core.names import NS_PER_S, Aggressor
from hypothesis import given
from hypothesis import strategies as st

prices = st.one_of(st.integers(1, 10**14), st.integers(1, 10**36 - 1)).map(lambda n: unscaled(n * 100))
sizes = st.one_of(st.integers(0, 10**13), st.integers(0, 10**36 - 1)).map(lambda n: unscaled(n * 100))
sides = st.lists(st.tuples(prices, sizes), max_size=25)
LAST_PLACE = Fraction(1, 2 * 10**18)


def near(text: str, exact: Fraction) -> bool:
    """Right to half a unit in the 18th place."""
    return abs(Fraction(Decimal(text)) - exact) <= LAST_PLACE


@given(prices, prices)
def test_spread(bid: str, ask: str) -> None:
    low, high = sorted((Fraction(bid), Fraction(ask)))
    one, two = (bid, ask) if Fraction(bid) <= Fraction(ask) else (ask, bid)

    assert Fraction(Decimal(advanced.spread(one, two))) == high - low
    assert near(advanced.spread_bps(one, two), (high - low) * 2 * 10_000 / (high + low))


@given(prices, sizes, prices, sizes)
def test_microprice_lies_between_the_two_and_weighs_them_by_the_other_side(
    bid: str, bid_qty: str, ask: str, ask_qty: str
) -> None:
    b, bq, a, aq = map(Fraction, (bid, bid_qty, ask, ask_qty))
    expected = (b * aq + a * bq) / (bq + aq) if bq + aq else (a + b) / 2

    assert near(advanced.microprice(bid, bid_qty, ask, ask_qty), expected)


@given(sides, sides, st.sampled_from([5, 20]))
def test_imbalance_counts_the_best_levels_alone(
    bids: list[tuple[str, str]], asks: list[tuple[str, str]], depth: int
) -> None:
    bought = sum((Fraction(q) for _, q in bids[:depth]), Fraction(0))
    sold = sum((Fraction(q) for _, q in asks[:depth]), Fraction(0))
    expected = (bought - sold) / (bought + sold) if bought + sold else Fraction(0)

    found = advanced.imbalance(bids, asks, depth)
    assert near(found, expected)
    assert -1 <= Decimal(found) <= 1


@given(
    st.lists(st.tuples(st.integers(0, NS_PER_S), st.sampled_from(Aggressor), sizes), max_size=40),
    st.integers(0, 2 * NS_PER_S),
)
def test_the_window_holds_the_last_second_and_no_more(trades: list[tuple[int, Aggressor, str]], wait_ns: int) -> None:
    window = TradeWindow()
    now_ns = 0
    log = []
    for gap_ns, side, qty in trades:
        now_ns += gap_ns
        window.add(now_ns, side, qty)
        log.append((now_ns, side, Fraction(qty)))
    now_ns += wait_ns
    recent = [(side, qty) for at_ns, side, qty in log if at_ns > now_ns - NS_PER_S]
    bought = sum((q for side, q in recent if side is Aggressor.BUY), Fraction(0))
    sold = sum((q for side, q in recent if side is Aggressor.SELL), Fraction(0))

    assert near(window.imbalance(now_ns), (bought - sold) / (bought + sold) if bought + sold else Fraction(0))

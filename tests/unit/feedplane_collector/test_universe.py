"""Which instruments a collector follows of what a venue lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from feedplane_collector.universe import select
from feedplane_core.instruments import Instrument, InstrumentStatus
from feedplane_core.names import MarketType
from feedplane_feedset.config import CollectorConfig
from feedplane_testing.collector import collector_config

SPOT, LINEAR, INVERSE = MarketType.SPOT, MarketType.PERP_LINEAR, MarketType.PERP_INVERSE


def instrument(name: str, market: MarketType, status: InstrumentStatus = InstrumentStatus.TRADING) -> Instrument:
    return Instrument(
        exchange="bybit", instrument=name, market_type=market, base="BTC", quote="USDT", pair=name, status=status
    )


LISTED = [
    instrument("BTCUSDT", SPOT),
    instrument("BTCUSDT", LINEAR),
    instrument("PERPUSDT", LINEAR),
    instrument("GONEUSDT", LINEAR, InstrumentStatus.DELISTED),
    instrument("BTCUSD", INVERSE),
]


def chosen(
    markets: tuple[MarketType, ...], siblings: tuple[MarketType, ...], *names: str
) -> tuple[list[tuple[str, MarketType]], dict[str, str]]:
    """What is followed, and what is refused; without names all that is listed is wanted."""
    symbols = {"mode": "include" if names else "discover", "include": names, "max_symbols": 9, "refresh_ns": 1}
    config = collector_config("bybit", Path("journal"), markets=markets, symbols=symbols)
    selection = select(CollectorConfig.model_validate({**config, "sibling_markets": siblings}, strict=False), LISTED)
    return [(i.instrument, i.market_type) for i in selection.instruments], selection.refused


def test_a_name_of_two_markets_is_followed_where_the_markets_are_apart() -> None:
    assert chosen((SPOT, INVERSE), (LINEAR,), "BTCUSDT") == ([("BTCUSDT", SPOT)], {})
    assert chosen((LINEAR,), (SPOT, INVERSE), "BTCUSDT") == ([("BTCUSDT", LINEAR)], {})


def test_a_name_of_two_markets_is_refused_where_both_are_selected() -> None:
    followed, refused = chosen((SPOT, LINEAR), (), "BTCUSDT", "PERPUSDT")

    assert followed == [("PERPUSDT", LINEAR)]
    assert refused == {"BTCUSDT": "is listed on perp_linear and spot: name one of them in markets"}


def test_a_name_of_a_sibling_market_alone_is_neither_followed_nor_refused() -> None:
    assert chosen((SPOT, INVERSE), (LINEAR,), "PERPUSDT", "BTCUSD") == ([("BTCUSD", INVERSE)], {})
    assert chosen((SPOT,), (), "PERPUSDT")[1] == {"PERPUSDT": "is not listed"}


@pytest.mark.parametrize("name", ["NOWHERE", "GONEUSDT"])
def test_what_no_market_lists_is_refused(name: str) -> None:
    assert name in chosen((SPOT, INVERSE), (LINEAR,), name)[1]


def test_discovery_takes_the_own_markets() -> None:
    assert chosen((SPOT, INVERSE), (LINEAR,)) == ([("BTCUSD", INVERSE), ("BTCUSDT", SPOT)], {})

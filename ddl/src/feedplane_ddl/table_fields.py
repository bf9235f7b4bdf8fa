"""Columns of every table, in order: `name | type | unit | meaning`. The first line of each says what a row is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_COMMON: Final = """
exchange | LowCardinality(String) | | Venue, as in a FeedSet: `binance_futures`.
market_type | LowCardinality(String) | | `spot`, `perp_linear`, `perp_inverse` or `delivery`.
instrument | String | | The venue's own spelling: `ETHUSDT`. The canonical pair is in `instruments`.
ts_event | DateTime64(9) | UTC | The venue's time; `ts_recv` where the venue sends none (see `ts_event_is_recv`).
ts_recv | DateTime64(9) | UTC | Our clock when the frame arrived, before parsing.
"""

_FLAG: Final = "ts_event_is_recv | Bool | | The venue sent no time: `ts_event` is our receive time."
_SEQ: Final = "seq | Nullable(Int64) | | Sequence number of the book or quote, where the venue numbers them."
_IDENTITY: Final = (
    "identity | String | | What makes it the same record in every copy: the venue's id, else a hash of the raw values."
)
_ORD: Final = "ord | UInt64 | | Order of arrival inside one journal; orders records of equal `ts_recv`."


def _levels(depth: int) -> str:
    lines = []
    for side, name in (("b", "bid"), ("a", "ask")):
        for n in range(1, depth + 1):
            lines.append(
                f"{side}{n}_px | Decimal(38, 18) | quote | Price of the {name} at place {n}, 1 is best; 0 where the book is shorter."
            )
            lines.append(f"{side}{n}_sz | Decimal(38, 18) | base | Size at that price; 0 where the book is shorter.")
    return "\n".join(lines)


_LEVEL: Final = """
side | Enum8('B' = 1, 'A' = 2) | | `B` bid, `A` ask.
level | UInt16 | | Place inside the message, 1 first, at most 65535; 0: the message had no levels, and price and qty are 0.
price | Decimal(38, 18) | quote | Price of the level.
"""

_METRICS: Final = """
spread_px | Decimal(38, 18) | quote | Best ask minus best bid.
spread_bps | Decimal(38, 18) | basis points | Spread over the mid price.
microprice | Decimal(38, 18) | quote | Mid weighted by the opposite sizes.
imbalance_5 | Decimal(38, 18) | -1 to 1 | (bid size - ask size) / (bid size + ask size) over 5 levels.
imbalance_20 | Decimal(38, 18) | -1 to 1 | The same over 20 levels.
trade_imb_1s | Decimal(38, 18) | -1 to 1 | (bought - sold) / (bought + sold) by takers over the last second; 0 without trades.
"""

TABLES: Final[Mapping[str, str]] = {
    "trades": f"""Public fills, or aggregates of fills where that is what the venue sends. View: `trades_dedup`.
{_COMMON}
price | Decimal(38, 18) | quote | Price of the fill.
qty | Decimal(38, 18) | base | Size; contracts are converted by the instrument.
side | Enum8('UNKNOWN' = 0, 'BUY' = 1, 'SELL' = 2) | | Side of the taker.
trade_id | String | | The venue's id; empty where it has none.
{_IDENTITY}
{_FLAG}
""",
    "l1_200ms": f"""Best bid and ask: the last record of each interval (200 ms unless the FeedSet says otherwise). View: `l1_200ms_dedup`.
{_COMMON}
bid_px | Decimal(38, 18) | quote | Best bid.
bid_sz | Decimal(38, 18) | base | Size at the best bid.
ask_px | Decimal(38, 18) | quote | Best ask.
ask_sz | Decimal(38, 18) | base | Size at the best ask.
last_px | Nullable(Decimal(38, 18)) | quote | Price of the last trade known to the collector; null before the first.
last_sz | Nullable(Decimal(38, 18)) | base | Size of that trade.
bucket | DateTime64(9) | UTC | Start of the interval that the row stands for.
{_SEQ}
source | LowCardinality(String) | | `native`: the venue's own quote channel; `book`: derived from a synced book.
{_FLAG}
""",
    "ob_top5": f"""The best 5 levels of a synced book, sampled by the collector. View: `ob_top5_dedup`.
{_COMMON}
{_levels(5)}
{_SEQ}
{_FLAG}
""",
    "ob_top20": f"""The best 20 levels of a synced book, sampled by the collector. View: `ob_top20_dedup`.
{_COMMON}
{_levels(20)}
{_SEQ}
{_FLAG}
""",
    "ob_diffs": f"""Every depth message, one row per level. Sizes are absolute. View: `ob_diffs_dedup`.
{_COMMON}
{_LEVEL}
qty | Decimal(38, 18) | base | New size of the level; 0 removes it.
first_seq | Nullable(Int64) | | First update id that the message covers, where the venue has them.
last_seq | Nullable(Int64) | | Last update id that it covers.
prev_seq | Nullable(Int64) | | Update id that it follows on.
is_snapshot | Bool | | The message is a whole book and replaces all earlier state.
{_IDENTITY}
{_ORD}
{_FLAG}
""",
    "ob_snapshots": f"""Checkpoints of whole synced books, one row per level. View: `ob_snapshots_dedup`.
{_COMMON}
snapshot_id | String | | One id per checkpoint, unique inside (exchange, market_type, instrument).
{_LEVEL}
qty | Decimal(38, 18) | base | Size of the level.
{_SEQ}
{_ORD}
{_FLAG}
""",
    "liquidations": f"""Positions closed by the venue. Most venues publish a throttled sample: never total volume. View: `liquidations_dedup`.
{_COMMON}
side | Enum8('UNKNOWN' = 0, 'BUY' = 1, 'SELL' = 2) | | Side of the order that closed the position: a long dies by a SELL.
price | Decimal(38, 18) | quote | Price, as the venue reports it.
qty | Decimal(38, 18) | base | Size.
order_id | String | | The venue's order id; empty where it has none.
liquidated | Enum8('UNKNOWN' = 0, 'LONG' = 1, 'SHORT' = 2) | | The position that died.
{_IDENTITY}
{_FLAG}
""",
    "klines_agg": f"""Closed candles as the venue computes them. View: `klines_agg_dedup`.
{_COMMON}
interval | LowCardinality(String) | | `1m`, `1h`, `1d`, ...
open_time | DateTime64(3) | UTC | Inclusive start.
close_time | DateTime64(3) | UTC | Exclusive end: the open time of the next candle.
open | Decimal(38, 18) | quote | First price.
high | Decimal(38, 18) | quote | Highest price.
low | Decimal(38, 18) | quote | Lowest price.
close | Decimal(38, 18) | quote | Last price.
volume | Decimal(38, 18) | base | Traded size.
trades | UInt32 | count | Number of trades; 0 where the venue does not say (see `trades_known`).
trades_known | Bool | | Whether the venue says how many trades there were.
{_FLAG}
""",
    "mark_price": f"""Mark and index prices. Some venues send the two in separate messages. View: `mark_price_dedup`.
{_COMMON}
mark_px | Nullable(Decimal(38, 18)) | quote | Mark price; null where the message has only the index.
index_px | Nullable(Decimal(38, 18)) | quote | Index price; null where the message has only the mark.
{_FLAG}
""",
    "funding": f"""Funding rates of perpetuals. View: `funding_dedup`.
{_COMMON}
funding_rate | Decimal(38, 18) | fraction per interval | 0.0001 is one basis point; positive: longs pay shorts.
next_funding_ts | Nullable(DateTime64(9)) | UTC | When it is charged next; null where not announced.
interval_s | Nullable(UInt32) | s | Length of the funding interval; null where the venue does not say.
{_FLAG}
""",
    "open_interest": f"""Open contracts, one side. View: `open_interest_dedup`.
{_COMMON}
open_interest | Decimal(38, 18) | base | Open interest.
{_FLAG}
""",
    "advanced_metrics": f"""Metrics of a synced book and the trades of the last second, 18 decimals, half-even. View: `advanced_metrics_dedup`.
{_COMMON}
{_METRICS}
{_SEQ}
{_FLAG}
""",
    "gaps": f"""Every known hole. A later row of the same `gap_id` supersedes: read `gaps_dedup` for how each gap stands.
{_COMMON}
gap_id | String | | Stable id of the hole.
feed | LowCardinality(String) | | Feed that the hole is in.
from_ts | DateTime64(9) | UTC | Receive time of the last that was had before the hole.
to_ts | Nullable(DateTime64(9)) | UTC | Receive time of the first after it; null while nothing has come.
from_seq | Nullable(Int64) | | First missing number, inclusive.
to_seq | Nullable(Int64) | | Last missing number, inclusive.
reason | LowCardinality(String) | | `sequence`, `checksum`, `crossed`, `disconnect`, `stale`, `restart`, `shed`, `rejected`, `halt`, ...
detected_by | LowCardinality(String) | | Who found it.
state | LowCardinality(String) | | `open`, `closed` (bounded, data missing) or `repaired`.
repaired_from | String | | Where the data was fetched from; empty unless repaired.
version | UInt64 | | Rank of the state, then receive time: the greatest of a gap_id is the valid one.
{_FLAG}
""",
    "instruments": f"""What a venue trades, one row for each time that it was read or changed. Now: `instruments_latest`. View: `instruments_dedup`.
{_COMMON}
pair | String | | Canonical name: `BTC-USDT`, `BTC-USDT-PERP`, `BTC-USDT-260327`.
base | LowCardinality(String) | | Base currency.
quote | LowCardinality(String) | | Quote currency.
settle | LowCardinality(String) | | Currency of settlement; empty for spot.
tick | Nullable(Decimal(38, 18)) | quote | Price step.
step | Nullable(Decimal(38, 18)) | base or contracts | Quantity step.
contract_size | Nullable(Decimal(38, 18)) | see contract_unit | What one contract is worth; null where quantities are in base units already.
contract_unit | LowCardinality(String) | | `base` or `quote`: what `contract_size` counts.
status | LowCardinality(String) | | `trading`, `halted` or `delisted`.
listed | Nullable(DateTime64(9)) | UTC | When trading began.
expiry | Nullable(DateTime64(9)) | UTC | When a delivery contract ends.
{_FLAG}
""",
    "status": f"""What a venue or the collector said of a feed. View: `status_dedup`.
{_COMMON}
feed | LowCardinality(String) | | Feed; empty: all feeds of the instrument.
status | LowCardinality(String) | | `connected`, `disconnected`, `synced`, `resync`, `stale`, `listed`, `delisted`, `halted`, ... Of a whole collector: `alive`, `ended`.
detail | String | | In words.
{_FLAG}
""",
    "trades_1m": """Trades rolled up by minute, as partial aggregates: query it through `ohlcv(exchange, instrument, interval_s, since, until)`.
exchange | LowCardinality(String) | | Venue.
market_type | LowCardinality(String) | | As in `trades`.
instrument | String | | As in `trades`.
minute | DateTime('UTC') | UTC | Start of the minute, by `ts_event`.
open | AggregateFunction(argMin, Decimal(38, 18), String) | quote | First price by time, then trade id: `argMinMerge(open)`.
high | SimpleAggregateFunction(max, Decimal(38, 18)) | quote | Highest price.
low | SimpleAggregateFunction(min, Decimal(38, 18)) | quote | Lowest price.
close | AggregateFunction(argMax, Decimal(38, 18), String) | quote | Last price by time, then trade id: `argMaxMerge(close)`.
volume | SimpleAggregateFunction(sum, Decimal(38, 18)) | base | Traded size.
buy_volume | SimpleAggregateFunction(sum, Decimal(38, 18)) | base | Of it, bought by takers.
sell_volume | SimpleAggregateFunction(sum, Decimal(38, 18)) | base | Of it, sold by takers.
quote_volume | SimpleAggregateFunction(sum, Decimal(76, 36)) | quote | Sum of price times size, exact.
trades | SimpleAggregateFunction(sum, UInt64) | count | Number of trades.
""",
}

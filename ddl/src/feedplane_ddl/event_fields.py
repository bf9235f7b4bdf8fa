"""Fields of every event type, as `feedplane decode` prints them: `name | type | unit | meaning`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_COMMON: Final = """
exchange | text | | Venue: `binance_futures`.
market_type | text | | `spot`, `perp_linear`, `perp_inverse` or `delivery`.
instrument | text | | The venue's own spelling.
ts_event_ns | integer or null | ns | The venue's time; null where it sends none, never filled in.
ts_recv_ns | integer | ns | Our clock when the frame arrived, before parsing.
"""

_SEQ: Final = "seq | integer or null | | Update id, where the venue numbers its messages."
_BOOK: Final = """
bids | list of [price, qty] | quote, base | Bids, best first.
asks | list of [price, qty] | quote, base | Asks, best first.
"""
_SEQS: Final = """
first_seq | integer or null | | First update id covered.
last_seq | integer or null | | Last update id covered.
prev_seq | integer or null | | Update id that it follows on.
"""
_QUOTE: Final = """
bid_price | decimal text | quote | Best bid.
bid_qty | decimal text | base | Size at the best bid.
ask_price | decimal text | quote | Best ask.
ask_qty | decimal text | base | Size at the best ask.
"""

EVENTS: Final[Mapping[str, str]] = {
    "trade": f"""One public fill, or one aggregate of fills where that is what the venue sends.
{_COMMON}
trade_id | text | | The venue's id; empty where it has none.
price | decimal text | quote | Price.
qty | decimal text | base | Size.
aggressor | text | | Side of the taker: `buy`, `sell` or `unknown`.
""",
    "top_of_book": f"The venue's own best bid and ask channel.\n{_COMMON}{_QUOTE}{_SEQ}",
    "book_snapshot": f"A whole book, to the venue's depth: replaces all earlier state.\n{_COMMON}{_BOOK}{_SEQS}",
    "depth_diff": f"Levels that changed; quantities are absolute and 0 removes the level.\n{_COMMON}{_BOOK}{_SEQS}",
    "liquidation": f"""A position closed by the venue.
{_COMMON}
liquidated | text | | The position that died: `long` or `short`.
price | decimal text | quote | Price, as the venue reports it.
qty | decimal text | base | Size.
order_id | text | | The venue's order id; empty where it has none.
""",
    "kline": f"""A candle of the venue's own; only closed ones are stored.
{_COMMON}
open_ns | integer | ns | Inclusive start.
interval_s | integer | s | Length.
open | decimal text | quote | First price.
high | decimal text | quote | Highest price.
low | decimal text | quote | Lowest price.
close | decimal text | quote | Last price.
volume | decimal text | base | Traded size.
trades | integer or null | count | Number of trades; null where the venue does not say.
is_closed | boolean | | Whether the candle is final.
""",
    "mark_price": f"""Mark and index price.
{_COMMON}
mark_price | decimal text or null | quote | Mark price.
index_price | decimal text or null | quote | Index price.
""",
    "funding": f"""What a perpetual charges per interval.
{_COMMON}
rate | decimal text | fraction | `0.0001` is one basis point; positive: longs pay shorts.
interval_s | integer or null | s | Length of the interval; null where the venue does not say.
next_funding_ns | integer or null | ns | When it is charged next; null where not announced.
""",
    "open_interest": f"Open contracts, one side.\n{_COMMON}open_interest | decimal text | base | Open interest.",
    "book_top": f"""The best levels of a synced book, sampled by the collector.
{_COMMON}
depth | integer | levels | 5 or 20.
{_BOOK}{_SEQ}
""",
    "derived_l1": f"Best bid and ask of a synced book, where the venue has no native channel.\n{_COMMON}{_QUOTE}{_SEQ}",
    "advanced_metric": f"""Computed from a synced book and the trades of the last second.
{_COMMON}
spread_px | decimal text | quote | Best ask minus best bid.
spread_bps | decimal text | basis points | Spread over the mid price.
microprice | decimal text | quote | Mid weighted by the opposite sizes.
imbalance_5 | decimal text | -1 to 1 | Imbalance of sizes over 5 levels.
imbalance_20 | decimal text | -1 to 1 | The same over 20 levels.
trade_imb_1s | decimal text | -1 to 1 | Imbalance of taker volume over the last second.
{_SEQ}
""",
    "checkpoint": f"A synced book as it stands, written now and then.\n{_COMMON}{_BOOK}{_SEQ}",
    "gap": f"""A hole: what of one feed of one instrument is missing, or may be.
{_COMMON}
gap_id | text | | Stable id: a later gap of the same id supersedes.
feed | text | | Feed that the hole is in.
from_ns | integer | ns | Receive time of the last that was had.
to_ns | integer or null | ns | Receive time of what came next; null while nothing has.
from_seq | integer or null | | First missing number, inclusive.
to_seq | integer or null | | Last missing number, inclusive.
reason | text | | `start sequence checksum crossed disconnect stale restart shed rejected halt stop`.
detected_by | text | | Who found it.
state | text | | `open`, `closed` or `repaired`.
repaired_from | text | | Where the data was fetched from; empty unless repaired.
""",
    "status": f"""What a venue or the collector says of a feed.
{_COMMON}
feed | text or null | | Feed; null: all feeds of the instrument.
status | text | | `connected`, `disconnected`, `synced`, `resync`, `stale`, `listed`, `delisted`, `halted`, ... Of a whole collector: `alive`, `ended`.
detail | text | | In words.
""",
}

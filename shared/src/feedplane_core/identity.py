"""Identities: what makes an event the same event across reconnects, overlapping sockets, retries and replays.

Trade id where there is one; else (stream, sequence or update-id range); else a hash of the raw values plus the ordinal inside its message.
"""

from __future__ import annotations

from hashlib import blake2b

from .events import (
    AdvancedMetric,
    BookSnapshot,
    BookTop,
    Checkpoint,
    DepthDiff,
    DerivedL1,
    Event,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Status,
    TopOfBook,
    Trade,
)

_HASH_BYTES = 12


def raw_hash(*parts: object) -> str:
    """`h` and 24 hex digits over the texts of `parts`; equal parts, equal hash, on every machine."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=_HASH_BYTES)
    return "h" + digest.hexdigest()


def _levels_text(event: BookSnapshot | DepthDiff) -> str:
    return "|".join(f"{p}:{q}" for p, q in event.bids) + "/" + "|".join(f"{p}:{q}" for p, q in event.asks)


def depth_identity(event: BookSnapshot | DepthDiff) -> str:
    """`first-last` of the update ids (`last` alone for a snapshot); a hash of time and levels where a venue has no numbers."""
    if event.last_seq is None:
        return raw_hash(event.ts_event_ns, _levels_text(event))
    if isinstance(event, BookSnapshot) or event.first_seq is None:
        return str(event.last_seq)
    return f"{event.first_seq}-{event.last_seq}"


def identity_of(event: Event) -> str:
    """The identity of an event inside its (exchange, instrument, type)."""
    match event:
        case Trade():
            return event.trade_id or raw_hash(
                event.ts_event_ns, event.price, event.qty, event.aggressor.value, event.ordinal
            )
        case BookSnapshot() | DepthDiff():
            return depth_identity(event)
        case TopOfBook():
            if event.seq is not None:
                return str(event.seq)
            return raw_hash(event.ts_event_ns, event.bid_price, event.bid_qty, event.ask_price, event.ask_qty)
        case Liquidation():
            return event.order_id or raw_hash(
                event.ts_event_ns, event.liquidated.value, event.price, event.qty, event.ordinal
            )
        case Kline():
            return f"{event.interval_s}:{event.open_ns}"
        case MarkPrice() | FundingRate() | OpenInterest() | AdvancedMetric():
            at = str(event.ts_event_ns if event.ts_event_ns is not None else event.ts_recv_ns)
            # Some venues send mark and index on two channels, stamped alike.
            return f"{at}:index" if isinstance(event, MarkPrice) and event.mark_price is None else at
        case BookTop():
            return f"{event.depth}:{event.ts_recv_ns}"
        case DerivedL1() | Checkpoint():
            return str(event.ts_recv_ns)
        case Gap():
            return event.gap_id
        case Status():
            return raw_hash(event.ts_recv_ns, event.status_feed, event.status, event.detail)
    raise TypeError(f"no identity for {type(event).__name__}")

-- Public fills. `identity` is the trade id, or a hash where the venue has none; it is in the sort key because duplicates cross batches
-- (overlapping sockets, replays). `side` is the taker's.
CREATE TABLE IF NOT EXISTS {{local:trades}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    price Decimal(38, 18) CODEC(ZSTD(1)),
    qty Decimal(38, 18) CODEC(ZSTD(1)),
    side Enum8('UNKNOWN' = 0, 'BUY' = 1, 'SELL' = 2) CODEC(ZSTD(1)),
    trade_id String CODEC(ZSTD(1)),
    identity String CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMMDD(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, identity)
{{settings}};

{{distributed:trades}};

{{dedup_view:trades}};

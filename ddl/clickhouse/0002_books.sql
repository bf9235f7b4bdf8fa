-- Best bid and ask, the last one of each interval (`bucket`); a later record of the same bucket replaces the earlier one.
CREATE TABLE IF NOT EXISTS {{local:l1_200ms}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    bid_px Decimal(38, 18) CODEC(ZSTD(1)),
    bid_sz Decimal(38, 18) CODEC(ZSTD(1)),
    ask_px Decimal(38, 18) CODEC(ZSTD(1)),
    ask_sz Decimal(38, 18) CODEC(ZSTD(1)),
    last_px Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    last_sz Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    bucket DateTime64(9) CODEC(Delta, ZSTD(1)),
    seq Nullable(Int64) CODEC(ZSTD(1)),
    source LowCardinality(String),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree(ts_recv)}}
PARTITION BY toYYYYMMDD(bucket, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, bucket)
ORDER BY (exchange, instrument, market_type, bucket)
{{settings}};

{{distributed:l1_200ms}};

{{dedup_view:l1_200ms}};

-- Sampled tops of a synced book. A level that the book does not have is 0: no real level has price 0.
CREATE TABLE IF NOT EXISTS {{local:ob_top5}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    {{levels:5}},
    seq Nullable(Int64) CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMMDD(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, ts_recv)
{{settings}};

{{distributed:ob_top5}};

{{dedup_view:ob_top5}};

CREATE TABLE IF NOT EXISTS {{local:ob_top20}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    {{levels:20}},
    seq Nullable(Int64) CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMMDD(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, ts_recv)
{{settings}};

{{distributed:ob_top20}};

{{dedup_view:ob_top20}};

-- Every depth message as one row per level, sizes absolute, 0 removes. A message without levels is one row of level 0, price 0, qty 0, so
-- that the chain of sequence numbers stays whole; applied as a diff that row changes nothing. `ord` keeps the order of arrival inside one journal.
CREATE TABLE IF NOT EXISTS {{local:ob_diffs}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    side Enum8('B' = 1, 'A' = 2) CODEC(ZSTD(1)),
    level UInt16 CODEC(T64, ZSTD(1)),
    price Decimal(38, 18) CODEC(ZSTD(1)),
    qty Decimal(38, 18) CODEC(ZSTD(1)),
    first_seq Nullable(Int64) CODEC(Delta, ZSTD(1)),
    last_seq Nullable(Int64) CODEC(Delta, ZSTD(1)),
    prev_seq Nullable(Int64) CODEC(Delta, ZSTD(1)),
    is_snapshot Bool CODEC(ZSTD(1)),
    identity String CODEC(ZSTD(1)),
    ord UInt64 CODEC(Delta, ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMMDD(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, is_snapshot, identity, side, level, price)
{{settings}};

{{distributed:ob_diffs}};

{{dedup_view:ob_diffs}};

-- Checkpoints: a synced book as it stood, one row per level under one snapshot id. A rebuild starts here and can be verified here.
CREATE TABLE IF NOT EXISTS {{local:ob_snapshots}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    snapshot_id String CODEC(ZSTD(1)),
    side Enum8('B' = 1, 'A' = 2) CODEC(ZSTD(1)),
    level UInt16 CODEC(T64, ZSTD(1)),
    price Decimal(38, 18) CODEC(ZSTD(1)),
    qty Decimal(38, 18) CODEC(ZSTD(1)),
    seq Nullable(Int64) CODEC(Delta, ZSTD(1)),
    ord UInt64 CODEC(Delta, ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMMDD(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, snapshot_id, side, level, price)
{{settings}};

{{distributed:ob_snapshots}};

{{dedup_view:ob_snapshots}};

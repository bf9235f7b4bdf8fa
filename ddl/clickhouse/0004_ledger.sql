-- Every hole, as a row. A later row of the same gap_id supersedes: `version` ranks open < closed < repaired, then time. Not partitioned, so that
-- all rows of one gap meet in a merge whenever they were written.
CREATE TABLE IF NOT EXISTS {{local:gaps}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    gap_id String CODEC(ZSTD(1)),
    feed LowCardinality(String),
    from_ts DateTime64(9) CODEC(Delta, ZSTD(1)),
    to_ts Nullable(DateTime64(9)) CODEC(Delta, ZSTD(1)),
    from_seq Nullable(Int64) CODEC(ZSTD(1)),
    to_seq Nullable(Int64) CODEC(ZSTD(1)),
    reason LowCardinality(String),
    detected_by LowCardinality(String),
    state LowCardinality(String),
    repaired_from String CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree(version)}}
PRIMARY KEY (exchange, instrument, market_type, feed)
ORDER BY (exchange, instrument, market_type, feed, gap_id)
{{settings}};

{{distributed:gaps}};

{{dedup_view:gaps}};

-- What a venue trades, as it was at each time it was read; `instruments_latest` answers "now".
CREATE TABLE IF NOT EXISTS {{local:instruments}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    pair String CODEC(ZSTD(1)),
    base LowCardinality(String),
    quote LowCardinality(String),
    settle LowCardinality(String),
    tick Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    step Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    contract_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    contract_unit LowCardinality(String),
    status LowCardinality(String),
    listed Nullable(DateTime64(9)) CODEC(ZSTD(1)),
    expiry Nullable(DateTime64(9)) CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event)
{{settings}};

{{distributed:instruments}};

{{dedup_view:instruments}};

CREATE OR REPLACE VIEW {{read:instruments_latest}}{{on_cluster}} AS
SELECT * FROM {{read:instruments}} ORDER BY ts_event DESC, ts_recv DESC LIMIT 1 BY exchange, market_type, instrument;

-- What a venue or the collector said of a feed; `feed` is empty where all feeds of the instrument are meant.
CREATE TABLE IF NOT EXISTS {{local:status}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    feed LowCardinality(String),
    status LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMM(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, ts_recv, feed, status, detail)
{{settings}};

{{distributed:status}};

{{dedup_view:status}};

-- Positions closed by the venue. `liquidated` is the position that died, `side` the order that closed it (a long dies by a SELL).
CREATE TABLE IF NOT EXISTS {{local:liquidations}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    side Enum8('UNKNOWN' = 0, 'BUY' = 1, 'SELL' = 2) CODEC(ZSTD(1)),
    price Decimal(38, 18) CODEC(ZSTD(1)),
    qty Decimal(38, 18) CODEC(ZSTD(1)),
    order_id String CODEC(ZSTD(1)),
    liquidated Enum8('UNKNOWN' = 0, 'LONG' = 1, 'SHORT' = 2) CODEC(ZSTD(1)),
    identity String CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMM(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, identity)
{{settings}};

{{distributed:liquidations}};

{{dedup_view:liquidations}};

-- Candles of the venue's own, closed ones only. `close_time` is the exclusive end: the open time of the next candle.
CREATE TABLE IF NOT EXISTS {{local:klines_agg}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    interval LowCardinality(String),
    open_time DateTime64(3) CODEC(Delta, ZSTD(1)),
    close_time DateTime64(3) CODEC(Delta, ZSTD(1)),
    open Decimal(38, 18) CODEC(ZSTD(1)),
    high Decimal(38, 18) CODEC(ZSTD(1)),
    low Decimal(38, 18) CODEC(ZSTD(1)),
    close Decimal(38, 18) CODEC(ZSTD(1)),
    volume Decimal(38, 18) CODEC(ZSTD(1)),
    trades UInt32 CODEC(T64, ZSTD(1)),
    trades_known Bool CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree(ts_recv)}}
PARTITION BY toYYYYMM(open_time, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, interval, open_time)
ORDER BY (exchange, instrument, market_type, interval, open_time)
{{settings}};

{{distributed:klines_agg}};

{{dedup_view:klines_agg}};

-- Mark and index price. Some venues send the two in separate messages of one time: which of them a row holds is part of its identity.
CREATE TABLE IF NOT EXISTS {{local:mark_price}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    mark_px Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    index_px Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree(ts_recv)}}
PARTITION BY toYYYYMMDD(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, isNull(mark_px), isNull(index_px))
{{settings}};

{{distributed:mark_price}};

{{dedup_view:mark_price}};

CREATE TABLE IF NOT EXISTS {{local:funding}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    funding_rate Decimal(38, 18) CODEC(ZSTD(1)),
    next_funding_ts Nullable(DateTime64(9)) CODEC(Delta, ZSTD(1)),
    interval_s Nullable(UInt32) CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree(ts_recv)}}
PARTITION BY toYYYYMM(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event)
{{settings}};

{{distributed:funding}};

{{dedup_view:funding}};

CREATE TABLE IF NOT EXISTS {{local:open_interest}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    open_interest Decimal(38, 18) CODEC(ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree(ts_recv)}}
PARTITION BY toYYYYMM(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event)
{{settings}};

{{distributed:open_interest}};

{{dedup_view:open_interest}};

-- Metrics that the collector computes from a synced book and the trades of the last second.
CREATE TABLE IF NOT EXISTS {{local:advanced_metrics}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    ts_event DateTime64(9) CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(9) CODEC(Delta, ZSTD(1)),
    spread_px Decimal(38, 18) CODEC(ZSTD(1)),
    spread_bps Decimal(38, 18) CODEC(ZSTD(1)),
    microprice Decimal(38, 18) CODEC(ZSTD(1)),
    imbalance_5 Decimal(38, 18) CODEC(ZSTD(1)),
    imbalance_20 Decimal(38, 18) CODEC(ZSTD(1)),
    trade_imb_1s Decimal(38, 18) CODEC(ZSTD(1)),
    seq Nullable(Int64) CODEC(Delta, ZSTD(1)),
    ts_event_is_recv Bool CODEC(ZSTD(1))
)
ENGINE = {{engine:ReplacingMergeTree}}
PARTITION BY toYYYYMMDD(ts_event, 'UTC')
PRIMARY KEY (exchange, instrument, market_type, ts_event)
ORDER BY (exchange, instrument, market_type, ts_event, ts_recv)
{{settings}};

{{distributed:advanced_metrics}};

{{dedup_view:advanced_metrics}};

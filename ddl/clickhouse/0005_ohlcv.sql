-- One-minute roll-up of trades, from which any coarser candle is answered. It is fed by inserts, so a batch that is sent twice counts once
-- (the view shares the batch's deduplication), while a trade that comes again in another batch counts twice: `ohlcv_exact` reads the trades.
-- Trades of one instant are ordered by id, as a number where it is one. `open` and `close` hold that order as one text, big-endian time and
-- number and then the identity: comparing the three as a tuple takes half of what the view costs an insert.
CREATE TABLE IF NOT EXISTS {{local:trades_1m}}{{on_cluster}}
(
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    instrument String CODEC(ZSTD(1)),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    open AggregateFunction(argMin, Decimal(38, 18), String) CODEC(ZSTD(1)),
    high SimpleAggregateFunction(max, Decimal(38, 18)) CODEC(ZSTD(1)),
    low SimpleAggregateFunction(min, Decimal(38, 18)) CODEC(ZSTD(1)),
    close AggregateFunction(argMax, Decimal(38, 18), String) CODEC(ZSTD(1)),
    volume SimpleAggregateFunction(sum, Decimal(38, 18)) CODEC(ZSTD(1)),
    buy_volume SimpleAggregateFunction(sum, Decimal(38, 18)) CODEC(ZSTD(1)),
    sell_volume SimpleAggregateFunction(sum, Decimal(38, 18)) CODEC(ZSTD(1)),
    quote_volume SimpleAggregateFunction(sum, Decimal(76, 36)) CODEC(ZSTD(1)),
    trades SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(minute)
PRIMARY KEY (exchange, instrument, market_type, minute)
ORDER BY (exchange, instrument, market_type, minute)
{{settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS {{local:trades_1m_mv}}{{on_cluster}} TO {{local:trades_1m}} AS
WITH concat(
    reverse(reinterpretAsFixedString(toUInt64(toUnixTimestamp64Nano(ts_event)))),
    reverse(reinterpretAsFixedString(toUInt64OrZero(trade_id))),
    identity
) AS place
SELECT
    exchange, market_type, instrument, toStartOfMinute(ts_event, 'UTC') AS minute,
    argMinState(price, place) AS open,
    max(price) AS high,
    min(price) AS low,
    argMaxState(price, place) AS close,
    sum(qty) AS volume,
    sumIf(qty, side = 'BUY') AS buy_volume,
    sumIf(qty, side = 'SELL') AS sell_volume,
    sum(toDecimal256(price, 18) * toDecimal256(qty, 18)) AS quote_volume,
    count() AS trades
FROM {{local:trades}}
GROUP BY exchange, market_type, instrument, minute;

{{distributed:trades_1m}};

-- ohlcv(exchange = 'binance_spot', instrument = 'BTCUSDT', interval_s = 3600, since = '2026-11-01 00:00:00', until = '2026-12-01 00:00:00')
CREATE OR REPLACE VIEW {{read:ohlcv}}{{on_cluster}} AS
SELECT
    exchange, market_type, instrument, toStartOfInterval(minute, toIntervalSecond({interval_s:UInt32})) AS open_time,
    argMinMerge(r.open) AS open, max(r.high) AS high, min(r.low) AS low, argMaxMerge(r.close) AS close,
    sum(r.volume) AS volume, sum(r.buy_volume) AS buy_volume, sum(r.sell_volume) AS sell_volume, sum(r.quote_volume) AS quote_volume,
    sum(r.trades) AS trades
FROM {{read:trades_1m}} AS r
WHERE exchange = {exchange:String} AND instrument = {instrument:String}
    AND minute >= toDateTime({since:DateTime('UTC')}, 'UTC') AND minute < toDateTime({until:DateTime('UTC')}, 'UTC')
GROUP BY exchange, market_type, instrument, open_time
ORDER BY market_type, open_time;

-- The same columns from the trades themselves, each identity counted once; any interval from one second.
CREATE OR REPLACE VIEW {{read:ohlcv_exact}}{{on_cluster}} AS
SELECT
    exchange, market_type, instrument, toStartOfInterval(ts_event, toIntervalSecond({interval_s:UInt32}), 'UTC') AS open_time,
    argMin(price, (ts_event, toUInt64OrZero(trade_id), identity)) AS open, max(price) AS high, min(price) AS low,
    argMax(price, (ts_event, toUInt64OrZero(trade_id), identity)) AS close,
    sum(qty) AS volume, sumIf(qty, side = 'BUY') AS buy_volume, sumIf(qty, side = 'SELL') AS sell_volume,
    sum(toDecimal256(price, 18) * toDecimal256(qty, 18)) AS quote_volume,
    count() AS trades
FROM {{read:trades}} FINAL
WHERE exchange = {exchange:String} AND instrument = {instrument:String}
    AND ts_event >= toDateTime({since:DateTime('UTC')}, 'UTC') AND ts_event < toDateTime({until:DateTime('UTC')}, 'UTC')
GROUP BY exchange, market_type, instrument, open_time
ORDER BY market_type, open_time;

"""ClickHouse: complete history, each accepted record once."""

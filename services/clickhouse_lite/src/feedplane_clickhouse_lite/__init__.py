"""ClickHouse's HTTP interface over one embedded engine. Start it with `python -m feedplane_clickhouse_lite`."""

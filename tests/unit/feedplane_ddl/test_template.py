"""One SQL file serves one node and a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from feedplane_ddl.migrations import Migration, migrations, read_migrations
from feedplane_ddl.template import TABLE_SETTINGS, Layout, TemplateError, level_names, render

ONE_NODE = Layout("marketdata")
CLUSTER = Layout("marketdata", "main")


def rendered(layout: Layout) -> list[str]:
    return [statement for migration in migrations() for statement in render(migration.template, layout)]


def test_one_node_has_plain_tables_and_nothing_distributed() -> None:
    text = "\n".join(rendered(ONE_NODE))

    assert "CREATE TABLE IF NOT EXISTS `marketdata`.`trades`\n" in text
    assert "_local" not in text
    assert "Distributed" not in text
    assert "ON CLUSTER" not in text


def test_a_cluster_has_local_replicated_tables_and_distributed_ones_over_them() -> None:
    statements = rendered(CLUSTER)
    tables = [s for s in statements if s.startswith("CREATE TABLE") and "Distributed" not in s]
    distributed = [s for s in statements if "ENGINE = Distributed" in s]

    assert len(tables) == len(distributed) == 16
    assert all("_local` ON CLUSTER 'main'" in s for s in tables)
    assert all("ENGINE = Replicated" in s for s in tables)
    assert any("Distributed('main', 'marketdata', 'trades_local')" in s for s in distributed)


def test_a_distributed_table_takes_no_insert_by_mistake() -> None:
    """Without a sharding key ClickHouse refuses inserts over several shards: rows are placed by the writer's hash alone."""
    (statement,) = render("{{distributed:trades}}", CLUSTER)

    assert statement.endswith("Distributed('main', 'marketdata', 'trades_local')")


@pytest.mark.parametrize("layout", [ONE_NODE, CLUSTER, Layout("x", "main", replicated=False)])
def test_every_table_remembers_insert_tokens(layout: Layout) -> None:
    tables = [s for s in rendered(layout) if s.startswith("CREATE TABLE") and "Distributed" not in s]

    assert tables
    for statement in tables:
        assert (
            f"non_replicated_deduplication_window = {TABLE_SETTINGS['non_replicated_deduplication_window']}"
            in statement
        )
        assert "replicated_deduplication_window_seconds = 604800" in statement


@pytest.mark.parametrize("layout", [ONE_NODE, CLUSTER])
def test_every_sort_key_is_led_by_exchange(layout: Layout) -> None:
    for statement in rendered(layout):
        if "ORDER BY (" in statement and statement.startswith("CREATE TABLE"):
            assert "ORDER BY (exchange, instrument, market_type" in statement


def test_engine_arguments_follow_the_replica() -> None:
    assert CLUSTER.engine("ReplacingMergeTree(version)") == (
        "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', version)"
    )
    assert ONE_NODE.engine("AggregatingMergeTree") == "AggregatingMergeTree()"
    assert Layout("d", "c", replicated=False).engine("ReplacingMergeTree(v)") == "ReplacingMergeTree(v)"


def test_single_braces_are_clickhouses_own() -> None:
    assert render("SELECT {n:UInt8}", ONE_NODE) == ["SELECT {n:UInt8}"]


def test_levels_are_named_best_first_by_side() -> None:
    assert level_names(2) == ["b1_px", "b1_sz", "b2_px", "b2_sz", "a1_px", "a1_sz", "a2_px", "a2_sz"]


@pytest.mark.parametrize("text", ["{{nothing}}", "{{local}}", "{{levels:x}}", "{{local:a b}}", "{{local:t"])
def test_a_wrong_marker_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        render(text, ONE_NODE)


@pytest.mark.parametrize("name", ["", "a-b", "a`b", "1a", "a" * 64, "a;b"])
def test_names_that_would_break_out_are_refused(name: str) -> None:
    with pytest.raises(TemplateError):
        Layout(name)


def test_files_are_read_in_order_and_share_no_number(tmp_path: Path) -> None:
    (tmp_path / "0002_b.sql").write_text("SELECT 2")
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    assert [m.name for m in read_migrations(tmp_path)] == ["0001_a", "0002_b"]

    (tmp_path / "0002_c.sql").write_text("SELECT 3")
    with pytest.raises(ValueError, match="number 0002 is taken"):
        read_migrations(tmp_path)


def test_a_file_out_of_the_scheme_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fix.sql").write_text("SELECT 1")

    with pytest.raises(ValueError, match="NNNN"):
        read_migrations(tmp_path)


def test_the_checksum_is_of_the_file_and_not_of_the_layout() -> None:
    assert Migration("0001_a", "SELECT 1").checksum != Migration("0001_a", "SELECT 2").checksum

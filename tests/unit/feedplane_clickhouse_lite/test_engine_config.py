"""The engine's configuration files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from feedplane_clickhouse_lite.engine_config import make_default_database, server_xml, users_xml, write
from feedplane_clickhouse_lite.settings import Settings, setting_lines
from feedplane_clickhouse_lite.users import load_users
from pydantic import ValidationError


def _settings(tmp_path: Path, **given: object) -> Settings:
    return Settings(data_dir=tmp_path, **given)


def test_clusters_and_macros_are_rendered(tmp_path: Path) -> None:
    settings = _settings(tmp_path, clusters={"c": (("a:1", "b:2"), ("d:3",))}, macros={"shard": "<1>"})

    root = ET.fromstring(server_xml(settings, tmp_path / "users.xml"))

    shards = root.findall("remote_servers/c/shard")
    assert [[node.findtext("host") for node in shard.findall("replica")] for shard in shards] == [["a", "b"], ["d"]]
    assert root.findtext("macros/shard") == "<1>"


def test_files_are_revoked_unless_allowed(tmp_path: Path) -> None:
    users = load_users(None, None)
    closed, opened = (users_xml(_settings(tmp_path, allow_files=allowed), users) for allowed in (False, True))

    assert "REVOKE READ, WRITE ON FILE" in closed
    assert "format_template_row" in closed
    assert "GRANT READ, WRITE ON FILE" in opened
    assert "format_template_row" not in opened


def test_configuration_is_readable_by_us_alone(tmp_path: Path) -> None:
    config = write(tmp_path / "config", _settings(tmp_path), load_users(None, None))

    assert [path.stat().st_mode & 0o777 for path in (config, config.with_name("users.xml"))] == [0o600, 0o600]


def test_the_default_database_is_laid_down_once(tmp_path: Path) -> None:
    make_default_database(tmp_path)
    first = (tmp_path / "metadata" / "default.sql").read_text()
    make_default_database(tmp_path)

    assert (tmp_path / "metadata" / "default.sql").read_text() == first
    assert "ENGINE = Atomic" in first


@pytest.mark.parametrize(
    ("field", "value"),
    [("data_dir", "/a?b"), ("port", 70_000), ("clusters", {"c": [["no port"]]}), ("default_database", "a b")],
)
def test_wrong_settings_name_their_variable(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(**{"data_dir": tmp_path, field: value})

    (line,) = setting_lines(error.value)
    assert line.startswith(f"FEEDPLANE_CLICKHOUSE_LITE_{field.upper()}")

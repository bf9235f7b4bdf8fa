"""The engine's configuration files, rendered from our settings. Pure, but for `write`."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from feedplane_clickhouse_lite.guard import Permissions
from feedplane_clickhouse_lite.settings import Settings
from feedplane_clickhouse_lite.users import User, Users, role_of

ADMIN_ROLE: Final = "lite_admin"

_HIDDEN_DATABASE: Final = "_lite_files"
"""The embedded engine makes its default database an overlay over the host's files. We move that overlay here and have
a plain Atomic database called `default`, so that a missing table is code 60 and not an attempt to open a file."""

_LOCKED_SETTINGS: Final = (
    "format_schema",  # these name files
    "format_schema_source",
    "format_template_row",
    "format_template_resultset",
    "additional_table_filters",  # these hold SQL in text, where guard.py cannot see it
    "additional_result_filter",
    "parallel_replicas_custom_key",
    "dialect",  # another grammar than the one guard.py reads
)

_MERGE_SELECTOR_BASE: Final = 10
"""About how many parts of one size make a merge; the engine's default is 5. An engine on one small machine, fed without end by
small inserts, then writes each row 15 times instead of 58 (600 inserts of 1,000 trades), for two fifths less CPU and about as many parts to read."""


def server_xml(settings: Settings, users_path: Path) -> str:
    """`config.xml`: clusters, macros, memory."""
    root = ET.Element("clickhouse")
    _put(root, "users_config", str(users_path))
    _put(root, "default_database", _HIDDEN_DATABASE)
    _put(root, "tcp_port", str(settings.tcp_port))
    if settings.max_server_memory_bytes:
        _put(root, "max_server_memory_usage", str(settings.max_server_memory_bytes))
    merge_tree = ET.SubElement(root, "merge_tree")
    _put(merge_tree, "merge_selector_base", str(_MERGE_SELECTOR_BASE))
    if settings.fsync:
        _put(merge_tree, "fsync_after_insert", "1")
        _put(merge_tree, "fsync_part_directory", "1")
    macros = ET.SubElement(root, "macros")
    for name, value in settings.macros.items():
        _put(macros, name, value)
    servers = ET.SubElement(root, "remote_servers")
    for name, shards in settings.clusters.items():
        cluster = ET.SubElement(servers, name)
        for replicas in shards:
            _put_shard(cluster, replicas)
    return _xml(root)


def users_xml(settings: Settings, users: Users) -> str:
    """`users.xml`: one engine user without password (nobody can connect to the engine but us), a role per user."""
    root = ET.Element("clickhouse")
    profile = ET.SubElement(ET.SubElement(root, "profiles"), "default")
    _put(profile, "implicit_select", "0")  # a server's default; the embedded engine takes `1 + 1` for a query
    _put(profile, "log_queries", "0")
    if settings.max_threads:
        _put(profile, "max_threads", str(settings.max_threads))
    for name, value in settings.profile.items():
        _put(profile, name, value)
    if not settings.allow_files:
        constraints = ET.SubElement(profile, "constraints")
        for name in _LOCKED_SETTINGS:
            ET.SubElement(ET.SubElement(constraints, name), "const")
    ET.SubElement(ET.SubElement(root, "quotas"), "default")
    roles = ET.SubElement(root, "roles")
    _put_grants(ET.SubElement(roles, ADMIN_ROLE), ("GRANT ALL ON *.*",))
    for user in users.by_name.values():
        _put_grants(ET.SubElement(roles, role_of(user)), _grants(settings, user))
    inner = ET.SubElement(ET.SubElement(root, "users"), "default")
    _put(inner, "password", "")
    _put(ET.SubElement(inner, "networks"), "ip", "::/0")
    _put(inner, "profile", "default")
    _put(inner, "quota", "default")
    _put_grants(inner, [f"GRANT {role}" for role in (ADMIN_ROLE, *map(role_of, users.by_name.values()))])
    return _xml(root)


def _grants(settings: Settings, user: User) -> list[str]:
    allowed = user.permissions(server_permissions(settings))
    if user.grants:
        return [
            f"GRANT {grant}"
            for grant in (*user.grants, "SHOW DATABASES ON *.*", "SELECT ON system.*", "CREATE TEMPORARY TABLE ON *.*")
        ]
    grants = ["GRANT ALL ON *.*", "REVOKE SOURCES ON *.*", "REVOKE SYSTEM SHUTDOWN ON *.*"]
    if allowed.network:
        grants.append("GRANT SOURCES ON *.*")
    if allowed.files:
        grants.append("GRANT READ, WRITE ON FILE")
    else:
        grants += ["REVOKE READ, WRITE ON FILE", "REVOKE READ, WRITE ON SQLITE", "REVOKE BACKUP ON *.*"]
    return grants


def server_permissions(settings: Settings) -> Permissions:
    return Permissions(files=settings.allow_files, network=settings.allow_network)


def write(directory: Path, settings: Settings, users: Users) -> Path:
    """Write both files, readable by us alone, and return the path of `config.xml`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    users_path, config_path = directory / "users.xml", directory / "config.xml"
    for path, text in ((users_path, users_xml(settings, users)), (config_path, server_xml(settings, users_path))):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    return config_path


def make_default_database(db_path: Path) -> None:
    """Lay down the metadata of the Atomic database `default`, once; the engine attaches it at start.

    The link `metadata/default` is for people only, and made anew by the engine. It has to go before a start: the
    overlay, whatever its name, would follow it and load the same tables a second time, which ends the process.
    """
    sql = db_path / "metadata" / "default.sql"
    sql.with_suffix("").unlink(missing_ok=True)
    if sql.exists():
        return
    identity = str(uuid.uuid4())
    (db_path / "store" / identity[:3] / identity).mkdir(parents=True, exist_ok=True)
    sql.parent.mkdir(parents=True, exist_ok=True)
    draft = sql.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8") as file:
        file.write(f"ATTACH DATABASE _ UUID '{identity}'\nENGINE = Atomic\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(sql)


def _put_shard(cluster: ET.Element, replicas: tuple[str, ...]) -> None:
    shard = ET.SubElement(cluster, "shard")
    _put(shard, "internal_replication", "true")
    for replica in replicas:
        host, _, port = replica.rpartition(":")
        node = ET.SubElement(shard, "replica")
        _put(node, "host", host)
        _put(node, "port", port)


def _put_grants(parent: ET.Element, queries: list[str] | tuple[str, ...]) -> None:
    grants = ET.SubElement(parent, "grants")
    for query in queries:
        _put(grants, "query", query)


def _put(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text


def _xml(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"

"""Settings of the process, from `FEEDPLANE_CLICKHOUSE_LITE_*` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from feedplane_ops.settings import LogLevel, usage_lines
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

ENV_PREFIX: Final = "FEEDPLANE_CLICKHOUSE_LITE_"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

_MIB: Final = 1 << 20

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
HostPort = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}:[0-9]{1,5}$")]
Value = Annotated[str, Field(max_length=4_096)]


class Settings(BaseSettings):
    """What the process can be told. Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    data_dir: Path
    """Holds everything: `db/` (the engine), `config/` (written at every start), `http.port`, `lock`."""
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    """0 takes a free one; the chosen one is in `<data_dir>/http.port`."""
    users_file: Path | None = None
    password_file: Path | None = None
    """Password of the user `default`, where no users file is wanted."""
    default_database: Name = "default"
    """Made at start where missing; what a request without `database` works in."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may send requests; others are refused, so that no page a user visits can reach the data."""

    max_body_bytes: int = Field(default=256 * _MIB, ge=1_024)
    """Of one request, before and after decompression."""
    max_query_bytes: int = Field(default=4 * _MIB, ge=1_024)
    """Of the SQL text itself, data of an INSERT not counted."""
    max_buffered_bytes: int = Field(default=1_024 * _MIB, ge=1_024)
    """Of all request bodies held at once; beyond it requests are told to come back."""
    max_result_buffer_bytes: int = Field(default=64 * _MIB, ge=1_024)
    """Of one result held back so that an error can still become the status; then it is streamed."""
    max_concurrent_queries: int = Field(default=16, ge=1, le=1_000)
    max_concurrent_inserts: int = Field(default=4, ge=1, le=1_000)
    max_queued: int = Field(default=64, ge=0, le=100_000)
    """Requests of each of the two kinds that wait for a place; more are refused with 503."""
    max_sessions: int = Field(default=256, ge=1, le=100_000)
    send_timeout_s: float = Field(default=300.0, gt=0)
    """How long a client may leave a streamed result unread."""
    stop_timeout_s: float = Field(default=1.5, gt=0)
    """What running inserts get to finish after SIGTERM; reads are cancelled at once."""

    max_threads: int = Field(default=0, ge=0, le=1_024)
    """Threads of one query; 0 leaves it to the engine."""
    max_server_memory_bytes: int = Field(default=0, ge=0)
    """Engine memory beyond which queries fail with code 241; 0 leaves it to the engine (a share of the machine's)."""
    profile: dict[Name, Value] = {}
    """ClickHouse settings that every query starts with: `{"max_execution_time": "60"}`."""
    fsync: bool = False
    """Sync each inserted part to disk: survives power loss, not only kill -9; about 1 ms more per insert."""
    allow_files: bool = False
    """Let SQL read and write files of the host: `file()`, engine File, BACKUP. Never for users with readonly 1."""
    allow_network: bool = False
    """Let SQL reach other hosts: `url()`, `s3()`, `remote()`, engine Kafka. Never for users with readonly 1."""
    clusters: dict[Name, tuple[tuple[HostPort, ...], ...]] = {}
    """`remote_servers`: name -> shards -> replicas, so that Distributed tables can be created."""
    tcp_port: int = Field(default=9_000, ge=1, le=65_535)
    """Nothing listens on it: a replica on 127.0.0.1 with this port means this very process."""
    macros: dict[Name, Value] = {}
    log_level: LogLevel = "info"

    @field_validator("data_dir")
    @classmethod
    def _usable_path(cls, path: Path) -> Path:
        path = path.absolute()
        if any(mark in str(path) for mark in "?&#%"):  # the engine takes its path as part of a URL
            raise ValueError("must not contain any of ? & # %")
        return path

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK


def setting_lines(error: ValidationError | SettingsError) -> list[str]:
    """One line per wrong setting, naming its variable and never its value."""
    return [line.replace("FEEDPLANE_", ENV_PREFIX, 1) for line in usage_lines(error)]

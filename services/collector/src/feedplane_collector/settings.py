"""Settings of a collector process: environment and flags; what to collect is in the config file."""

from __future__ import annotations

import argparse
from pathlib import Path

from feedplane_core.cores import problem_with
from feedplane_core.names import Mode
from feedplane_ops.settings import ServiceSettings
from pydantic import Field, field_validator

from feedplane_collector.transport import SocketLibrary


class CollectorSettings(ServiceSettings):
    """`FEEDPLANE_*` variables of a collector."""

    config: Path
    """Rendered collector settings (JSON). Watched: changed symbols are applied while it runs."""
    symbols: Path | None = None
    """File of the symbols alone (JSON), where `config` does not name them. Watched likewise."""
    mode: Mode = Mode.LIVE
    """Marks all that is written; simulated and replayed data never pass for live data."""
    endpoints: dict[str, str] = Field(default_factory=dict)
    """Base URLs by endpoint name instead of the venue's own, as JSON: a simulator, a sandbox."""
    switches: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Per exchange, the switches that its README names for facts that are not settled, as JSON."""
    socket_library: SocketLibrary = SocketLibrary.WEBSOCKETS
    core: str = ""
    """`native` or `python`: numbers, books and columns in C, or their reference; empty takes what is installed. Read at import by `feedplane_native`, refused here."""
    commit_interval_ms: int = Field(default=10, ge=1, le=1_000)
    """Longest wait for a group commit."""
    strict_symbols: bool = False
    """End with exit code 2 when the venue does not list a symbol; else follow the others and say so."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""

    @field_validator("core")
    @classmethod
    def _core_can_run(cls, wish: str) -> str:
        if problem := problem_with(wish):
            raise ValueError(problem)
        return wish


def read_settings(argv: list[str]) -> CollectorSettings:
    """Flags override the environment. Raises: pydantic.ValidationError."""
    parser = argparse.ArgumentParser(
        prog="feedplane_collector", description="Collect one venue's shard into a journal."
    )
    parser.add_argument("--config", help="rendered collector settings (JSON)")
    parser.add_argument("--mode", choices=[str(mode) for mode in Mode])
    parser.add_argument("--metrics-port", type=int)
    parser.add_argument("--strict-symbols", action="store_true", default=None)
    given = {key: value for key, value in vars(parser.parse_args(argv)).items() if value is not None}
    return CollectorSettings(**given)

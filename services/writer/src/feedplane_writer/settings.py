"""Settings of the writer process: what every Feedplane process takes, from `FEEDPLANE_*` variables. The stores are
in `--config`."""

from __future__ import annotations

from pathlib import Path

from feedplane_ops.settings import ServiceSettings


class WriterSettings(ServiceSettings):
    """Instance name, log level, address of the health and metrics port, OTLP."""

    status_file: Path | None = None
    """Where to leave the last status when the process ends."""

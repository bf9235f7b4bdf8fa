"""Settings of the writer process: what every Feedplane process takes, from `FEEDPLANE_*` variables. The stores are
in `--config`."""

from __future__ import annotations

from pathlib import Path

from feedplane_ops.settings import ServiceSettings


class WriterSettings(ServiceSettings):
    """Instance name, log level, address of the health and metrics port, OTLP."""

    status_file: Path | None = None
    """Where to leave the last status when the process ends."""
    termination_file: Path | None = None
    """Where to leave one line of JSON, 4,096 bytes at most, of what was not stored when the process ends: a pod's termination message."""
    spool_dies: bool = False
    """The journal goes with the pod: what is left in it at the end is declared as holes, while there is time."""

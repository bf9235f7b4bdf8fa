"""ConfigMaps of one collector: what needs a new pod when it changes (immutable, named by content), and the symbols,
which the running pod takes up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from feedplane_feedset.config import WriterConfig, write_config, write_standing, write_symbols
from feedplane_feedset.render import Pod

from feedplane_operator.naming import Namer, digest
from feedplane_operator.surroundings import Object

COLLECTOR_FILE: Final = "collector.json"
SYMBOLS_FILE: Final = "symbols.json"
_HASH_IN_NAME: Final = 8


@dataclass(frozen=True, slots=True)
class Configs:
    """The two ConfigMaps of one collector."""

    standing: Object
    symbols: Object
    config_hash: str  # of the content of `standing`, 16 hex digits; its name ends in the first 8


def writer_file(writer: WriterConfig) -> str:
    return f"writer-{writer.sink}.json"


def render_configs(namer: Namer, base: str, pod: Pod, labels: dict[str, str]) -> Configs:
    """`base` leads both names."""
    data = {COLLECTOR_FILE: write_standing(pod.collector)}
    data |= {writer_file(writer): write_config(writer) for writer in pod.writers}
    config_hash = digest(data)
    standing = _config_map(namer.metadata(f"{base}-{config_hash[:_HASH_IN_NAME]}", labels), data)
    symbols = _config_map(
        namer.metadata(f"{base}-symbols", labels), {SYMBOLS_FILE: write_symbols(pod.collector.symbols)}
    )
    return Configs(standing | {"immutable": True}, symbols, config_hash)


def _config_map(metadata: Object, data: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

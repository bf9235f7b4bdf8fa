"""Every process pays for what these modules import, so the heavy libraries stay where they are needed."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import feedplane_ops
import pytest
from feedplane_ops.version import __version__

PACKAGE = Path(feedplane_ops.__path__[0])
HEAVY = {
    "opentelemetry",
    "prometheus_client",
    "pydantic",
    "pydantic_settings",
    "aiohttp",
    "uvloop",
    "msgspec",
    "orjson",
}
ALLOWED = {
    "metrics": {"opentelemetry", "prometheus_client"},
    "settings": {"pydantic", "pydantic_settings"},
    "runtime": {"opentelemetry", "prometheus_client", "pydantic", "pydantic_settings"},
}


@pytest.mark.parametrize("module", sorted(path.stem for path in PACKAGE.glob("*.py")))
def test_heavy_libraries_load_only_where_they_belong(module: str) -> None:
    name = "feedplane_ops" if module == "__init__" else f"feedplane_ops.{module}"
    code = f"import sys, {name}; print(*{{m.split('.')[0] for m in sys.modules}})"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)

    assert set(loaded.stdout.split()) & HEAVY <= ALLOWED.get(module, set())


def test_the_version_is_that_of_the_distribution() -> None:
    pyproject = PACKAGE.parents[1] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text())["project"]["version"] == __version__

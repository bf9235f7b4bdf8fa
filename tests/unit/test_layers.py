"""Who may import whom, read from every file: a pure core stays pure, and services know each other only by their journal."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPURE = frozenset(
    "asyncio concurrent ctypes fcntl http io multiprocessing os pathlib random select selectors shutil signal socket "
    "sqlite3 ssl subprocess tempfile threading time urllib".split()
)
PURE_PARTS = frozenset({"urllib.parse"})  # of an impure module: a URL is only text
PURE_BASE = {"feedplane_core", "feedplane_native", "msgspec", "orjson"}  # feedplane_native: the core, compiled
SHARED = {"feedplane_core", "feedplane_feedset", "feedplane_journal", "feedplane_ops"}
WIRE_DECODERS = {"google"}  # protobuf, for a venue that speaks it

ALLOWED: dict[
    str, set[str] | None
] = {  # None: any third-party library, the shared packages, no other Feedplane package
    "feedplane_core": PURE_BASE,
    "feedplane_native": {"feedplane_native"},
    "feedplane_feedset": PURE_BASE | {"feedplane_feedset", "pydantic", "pydantic_core", "annotated_types", "yaml"},
    "feedplane_journal": {"feedplane_core", "feedplane_journal", "pyarrow", "google_crc32c"},
    "feedplane_ops": {
        "feedplane_core",
        "feedplane_ops",
        "pydantic",
        "pydantic_settings",
        "prometheus_client",
        "opentelemetry",
        "uvloop",
    },
    "feedplane_ddl": {"feedplane_core", "feedplane_ddl"},
}
PURE_PREFIXES = ("feedplane_core", "feedplane_feedset", "feedplane_adapter_", "feedplane_dialect_")
OPERATOR_CORE = frozenset(
    "surroundings.py naming.py configs.py pods.py workloads.py network.py desired.py observed.py health.py "
    "rollout.py conditions.py transitions.py views.py status.py".split()
)
"""What the operator computes; everything else of it may talk to the cluster, and know Kopf."""
COMPOSER = "feedplane_cli"
"""The command composes services by module name and entry point; it may import their pure and library parts."""


def packages() -> dict[str, Path]:
    """Import name -> folder, over all distributions."""
    found = {}
    for pyproject in sorted(ROOT.glob("*/pyproject.toml")) + sorted(ROOT.glob("s*/**/pyproject.toml")):
        if ".venv" not in pyproject.parts:
            found.update({path.name: path for path in sorted((pyproject.parent / "src").glob("feedplane_*"))})
    return found


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(top-level module, line) of every absolute import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name not in PURE_PARTS]
            yield from ((name.partition(".")[0], node.lineno) for name in names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and node.module not in PURE_PARTS:
            yield node.module.partition(".")[0], node.lineno


def breach(package: str, module: str) -> str | None:
    """Why `package` may not import `module`."""
    if module == package:
        return None
    if module in sys.stdlib_module_names:
        pure = package.startswith(PURE_PREFIXES)
        return f"{module} is I/O, clock or environment" if pure and module in IMPURE else None
    if package.startswith(("feedplane_adapter_", "feedplane_dialect_")):
        return None if module in PURE_BASE | WIRE_DECODERS else f"{module} is not for a venue"
    allowed = ALLOWED.get(package)
    if allowed is not None:
        return None if module in allowed else f"{module} is outside its layer"
    if module.startswith("feedplane_") and module not in SHARED and package != COMPOSER:
        return None if module == "feedplane_ddl" else f"{module} is another service"
    return None


@pytest.mark.parametrize("package", sorted(packages()))
def test_package_imports_only_what_its_layer_may(package: str) -> None:
    breaches = [
        f"{path.relative_to(ROOT)}:{line}: {reason}"
        for path in sorted(packages()[package].rglob("*.py"))
        for module, line in imports(path)
        if (reason := breach(package, module))
    ]

    assert breaches == []


@pytest.mark.parametrize("name", sorted(OPERATOR_CORE))
def test_what_the_operator_computes_stays_pure(name: str) -> None:
    path = packages()["feedplane_operator"] / name
    allowed = {"feedplane_core", "feedplane_feedset", "feedplane_ops", "feedplane_operator"}

    assert [
        f"{name}:{line}: {module}"
        for module, line in imports(path)
        if module in IMPURE or (module not in sys.stdlib_module_names and module not in allowed)
    ] == []


def test_a_breach_is_seen() -> None:
    assert breach("feedplane_core", "asyncio")
    assert breach("feedplane_adapter_x", "feedplane_adapter_y")
    assert breach("feedplane_collector", "feedplane_writer")
    assert not breach("feedplane_collector", "aiohttp")


def test_repository_root_hides_no_standard_module() -> None:
    """`operator/` and friends are folders, never packages: an `__init__.py` there would shadow the standard library."""
    assert [path.parent.name for path in ROOT.glob("*/__init__.py")] == []

"""What a distribution imports is what it declares: images install the declared and nothing else."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from image_plan import closure, images, layers, own_distributions, project, requirement_files  # noqa: E402

OWN = own_distributions(ROOT)
SHARED_EXTRAS = {
    "feedplane_core": "",
    "feedplane_feedset": "feedset",
    "feedplane_journal": "journal",
    "feedplane_ops": "ops",
}
INSTALLED = packages_distributions()


def imported(package: Path) -> Iterator[str]:
    """Top-level modules that the files of a package import, anywhere in them."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.partition(".")[0]


def undeclared(packages: list[Path], declared: set[str]) -> set[str]:
    """Modules of third parties that no declared distribution brings."""
    third = {module for package in packages for module in imported(package)} - sys.stdlib_module_names
    return {
        module
        for module in third
        if not module.startswith("feedplane_")
        and not {canonicalize_name(name) for name in INSTALLED.get(module, [])} & declared
    }


@pytest.mark.parametrize("package", SHARED_EXTRAS)
def test_each_shared_package_declares_its_imports_as_an_extra(package: str) -> None:
    declared = closure([f"feedplane-shared[{SHARED_EXTRAS[package]}]"], OWN)

    assert undeclared([ROOT / "shared" / "src" / package], declared) == set()


@pytest.mark.parametrize("name", sorted(set(OWN) - {"feedplane-shared"}))
def test_a_distribution_declares_its_imports(name: str) -> None:
    """The shared packages that it imports bring their extras: a service that reads the journal asks for Arrow."""
    packages = sorted((OWN[name] / "src").glob("feedplane_*"))
    shared = {module for package in packages for module in imported(package)} & SHARED_EXTRAS.keys()
    packages += [ROOT / "shared" / "src" / module for module in shared]
    declared = closure([name], OWN) | closure(["feedplane-shared"], OWN)  # every image has the shared one

    assert undeclared(packages, declared) == set()


def test_what_is_not_declared_is_seen() -> None:
    assert undeclared([ROOT / "services" / "collector" / "src"], set()) >= {"msgspec", "urllib3", "websockets"}


def test_an_image_holds_the_closure_of_its_distributions_and_no_more() -> None:
    installed = layers(ROOT)
    for image in images(ROOT):
        held = set().union(*(installed[layer] for layer in image.layers))
        wanted = closure([project(ROOT / folder)["project"]["name"] for folder in image.folders], OWN)
        assert held >= wanted, image.name
        if image.exchange == "" and image.folders:
            assert held == wanted, image.name


def test_no_image_holds_tools_of_tests_or_builds() -> None:
    tools = {
        Requirement(line).name for line in (ROOT / "requirements" / "dev.in").read_text().splitlines() if line[0] != "-"
    }
    installed = layers(ROOT)
    in_images = set().union(*(installed[layer] for image in images(ROOT) for layer in image.layers))

    assert not in_images & (tools | {"pip", "setuptools", "wheel", "pandas", "numpy"})
    assert "chdb-core" not in set().union(*(names for layer, names in installed.items() if layer != "clickhouse-lite"))
    assert [layer for layer, names in installed.items() if "pyarrow" in names] == ["journal"]


def test_every_pin_has_a_hash() -> None:
    for name, text in requirement_files(ROOT).items():
        pinned = [line for line in text.splitlines() if "==" in line]
        assert pinned, name
        assert text.count("\\\n    --hash=sha256:") >= len(pinned), name

"""What developers and pipelines start: the configuration of skaffold and of kind is what these programs read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from feedplane_testing.charts import CHARTS, ROOT, tool

KIND = ROOT / "tests" / "k8s" / "kind.yaml"
SKAFFOLD = ROOT / "skaffold.yaml"
SKAFFOLD_MODULE = "github.com/GoogleContainerTools/skaffold/v2@v2.16.1"
"""Holds the schema of each version of its configuration."""


@pytest.fixture(scope="session")
def skaffold() -> Any:
    return yaml.safe_load(SKAFFOLD.read_text())


@pytest.fixture(scope="session")
def schema_folder(skaffold: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """skaffold's own schema, where kubeconform looks for it."""
    try:
        command = ["go", "mod", "download", "-json", SKAFFOLD_MODULE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    except (OSError, subprocess.SubprocessError) as e:
        pytest.skip(f"skaffold's Go module cannot be had: {e}")
    version = skaffold["apiVersion"].rpartition("/")[2]
    schemas = Path(json.loads(done.stdout)["Dir"]) / "docs-v2" / "content" / "en" / "schemas"
    folder = tmp_path_factory.mktemp("skaffold")
    shutil.copy(schemas / f"{version}.json", folder / f"config-skaffold-{version}.json")
    return folder


@pytest.fixture
def accepted(schema_folder: Path, tmp_path: Path) -> Callable[[Any], str]:
    """What skaffold's schema has against a document; empty when nothing."""
    program = tool("kubeconform")
    if program is None:
        pytest.skip("kubeconform is not installed: `make chart-tools` builds it")

    def check(document: Any) -> str:
        path = tmp_path / "skaffold.yaml"
        path.write_text(yaml.safe_dump(document))
        place = f"{schema_folder}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
        command = [program, "-schema-location", place, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr or "failed"

    return check


def test_skaffold_accepts_its_configuration(skaffold: Any, accepted: Callable[[Any], str]) -> None:
    wrong = {**skaffold, "build": {**skaffold["build"], "artefacts": []}}

    assert accepted(skaffold) == ""
    assert "artefacts" in accepted(wrong)


def test_skaffold_builds_and_deploys_every_image(skaffold: Any) -> None:
    """Each artifact has its recipe and the chart is told its tag."""
    venues = {path.parent.name for path in (ROOT / "services" / "feeds").glob("*/pyproject.toml")}
    artifacts = {one["image"].removeprefix("feedplane/"): one["docker"] for one in skaffold["build"]["artifacts"]}
    (release,) = skaffold["deploy"]["helm"]["releases"]

    assert {docker.get("buildArgs", {}).get("EXCHANGE") for docker in artifacts.values()} - {None} == venues
    assert release["setValueTemplates"] == {
        f"images.tags.{name}": "{{.IMAGE_TAG_feedplane_" + re.sub("[^a-z]", "_", name) + "}}" for name in artifacts
    }
    assert (ROOT / release["chartPath"]).is_dir()
    assert all((ROOT / path).is_file() for path in release["valuesFiles"])
    assert all((ROOT / docker["dockerfile"]).is_file() for docker in artifacts.values())


def test_the_image_of_every_pod_of_the_chart_is_built(skaffold: Any) -> None:
    used = set(re.findall(r'"feedplane.image" \(dict "root" . "name" "([a-z-]+)"\)', "".join(
        path.read_text() for path in (CHARTS / "feedplane" / "templates").rglob("*.yaml")
    )))  # fmt: skip
    built = {one["image"].removeprefix("feedplane/") for one in skaffold["build"]["artifacts"]}

    assert {"operator", "simex", "redis", "clickhouse-lite"} <= used <= built


def decoded(path: Path) -> str:
    """What kind says of a configuration when there is no engine to create a cluster with: it reads the file first."""
    program = tool("kind")
    if program is None:
        pytest.skip("kind is not installed: `make chart-tools` builds it")
    nowhere = {"DOCKER_HOST": "unix:///nonexistent", "KIND_EXPERIMENTAL_PROVIDER": "docker"}
    command = [program, "create", "cluster", "--name", "never", "--config", str(path), "--kubeconfig", os.devnull]
    done = subprocess.run(command, env=os.environ | nowhere, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0, "there must be no engine here"
    return done.stderr


@pytest.mark.skipif(shutil.which("docker") is None, reason="kind needs the docker client to get as far")
def test_kind_reads_its_configuration(tmp_path: Path) -> None:
    wrong = tmp_path / "kind.yaml"
    wrong.write_text(KIND.read_text().replace("labels:", "lables:"))

    assert "unable to decode config" in decoded(wrong)
    assert "unable to decode config" not in decoded(KIND)


def test_kind_has_workers_in_two_zones() -> None:
    nodes = yaml.safe_load(KIND.read_text())["nodes"]
    zones = {node["labels"]["topology.kubernetes.io/zone"] for node in nodes if node["role"] == "worker"}

    assert zones == {"zone-a", "zone-b"}

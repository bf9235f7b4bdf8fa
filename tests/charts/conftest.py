from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from feedplane_testing.charts import CHARTS, KUBERNETES, ROOT, Helm, Object, tool
from feedplane_testing.kube_schemas import openapi_document, write_crd_schemas, write_schemas

ENVIRONMENTS = ("dev", "staging", "prod")


@pytest.fixture(scope="session")
def helm() -> Helm:
    program = tool("helm")
    if program is None:
        pytest.skip("helm is not installed: `make chart-tools` builds it")
    return Helm(program)


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def rendered(helm: Helm, environment: str) -> list[Object]:
    """All objects of one environment."""
    return helm.template("feedplane", "-f", CHARTS / "feedplane" / f"values-{environment}.yaml")


@pytest.fixture(scope="session")
def everything(helm: Helm) -> list[Object]:
    """All objects that the chart can make, in one release."""
    on = {"enabled": True}
    monitors = {"serviceMonitor": on, "podMonitor": on}
    values = {"simex": on, "redis": on | {"mode": "Cluster"}, "clickhouseLite": on | {"shards": 2}, "metrics": monitors}
    return helm.template(values=values)


@pytest.fixture(scope="session", params=KUBERNETES)
def schemas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of schemas of one Kubernetes release, and of FeedSet."""
    try:
        document = openapi_document(request.param)
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"Kubernetes' Go module {request.param} cannot be had: {e}")
    folder = tmp_path_factory.mktemp(f"schemas-{request.param}")
    write_schemas(document, folder)
    write_crd_schemas(ROOT / "operator" / "crd" / "feedset.yaml", folder)
    return folder


@pytest.fixture
def conform(schemas: Path, tmp_path: Path) -> Callable[[list[Object]], str]:
    """What kubeconform -strict finds wrong with the objects; empty when nothing is."""
    program = tool("kubeconform")
    if program is None:
        pytest.skip("kubeconform is not installed: `make chart-tools` builds it")

    def check(objects: list[Object]) -> str:
        path = tmp_path / "objects.yaml"
        path.write_text(yaml.safe_dump_all(objects))
        place = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
        command = [program, "-strict", "-schema-location", place, "-skip", "ServiceMonitor,PodMonitor", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr or "failed"

    return check

"""Charts rendered by the real helm, and checked by the real kubeconform against Kubernetes' own schemas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHARTS = ROOT / "charts"
KUBERNETES = ("1.29.14", "1.34.4")
"""The oldest release that the charts allow, and the one that the cluster of the tests runs."""
_TIMEOUT_S = 120

Object = dict[str, Any]


def tool(name: str) -> str | None:
    """The program, from the path or where `go install` puts it; None where it is not installed."""
    places = [os.environ.get("PATH", ""), os.environ.get("GOBIN", ""), str(Path.home() / "go" / "bin")]
    return shutil.which(name, path=os.pathsep.join(filter(None, places)))


class Refused(Exception):
    """helm ended with an error; the text is what it said."""


class Helm:
    """The helm program, without any cluster."""

    def __init__(self, program: str) -> None:
        self.program = program

    def run(self, *words: str | Path) -> str:
        """Standard output. Raises: Refused."""
        command = [self.program, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
        return done.stdout

    def template(
        self,
        chart: str = "feedplane",
        *words: str | Path,
        values: Object | None = None,
        kubernetes: str = KUBERNETES[-1],
        release: str = "feedplane",
        namespace: str = "md",
    ) -> list[Object]:
        """All objects, hooks too. `words` go to helm as they are. Raises: Refused."""
        given = ("-f", "-") if values is not None else ()
        command = [self.program, "template", release, CHARTS / chart, "-n", namespace, "--kube-version", kubernetes]
        done = subprocess.run(
            [*map(str, command), *map(str, words), *given],
            input=json.dumps(values) if values is not None else None,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
        return [document for document in yaml.safe_load_all(done.stdout) if document]


def kinds(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def pod_specs(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Name, metadata of the pod and its spec, of everything that runs pods."""
    for one in objects:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, one["metadata"], one["spec"]
        elif one["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            template = one["spec"]["template"]
            yield name, template["metadata"], template["spec"]


def containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", ()), *spec["containers"]]

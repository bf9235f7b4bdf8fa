"""JSON Schemas for kubeconform, made of the OpenAPI document inside of Kubernetes' own Go module and of our CRD.

kubeconform's own schemas are an export of the same document, from a site that a machine without internet cannot ask.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]

_REF = "#/definitions/"
_NUMBER_OR_TEXT = ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "io.k8s.apimachinery.pkg.api.resource.Quantity")


def openapi_document(version: str) -> Path:
    """`swagger.json` of a release, by the ordinary Go client. Raises: OSError, CalledProcessError where it cannot be had."""
    command = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    return Path(json.loads(done.stdout)["Dir"]) / "api" / "openapi-spec" / "swagger.json"


def write_schemas(openapi: Path, folder: Path) -> None:
    """One strict schema per kind and version, named as kubeconform looks for it: `deployment-apps-v1.json`."""
    definitions = {name: _strict(name, body) for name, body in json.loads(openapi.read_text())["definitions"].items()}
    for name, body in definitions.items():
        for kind in body.get("x-kubernetes-group-version-kind", ()):
            needed = _closure(name, definitions)
            text = json.dumps({"$ref": _REF + name, "definitions": {key: definitions[key] for key in sorted(needed)}})
            (folder / _file(kind["group"], kind["version"], kind["kind"])).write_text(text)


def write_crd_schemas(crd: Path, folder: Path) -> None:
    """The same for each version of a CustomResourceDefinition."""
    spec = yaml.safe_load(crd.read_text())["spec"]
    for version in spec["versions"]:
        schema = _closed(version["schema"]["openAPIV3Schema"])
        (folder / _file(spec["group"], version["name"], spec["names"]["kind"])).write_text(json.dumps(schema))


def _file(group: str, version: str, kind: str) -> str:
    return "-".join(filter(None, (kind.lower(), group.partition(".")[0], version))) + ".json"


def _strict(name: str, body: Schema) -> Schema:
    if name in _NUMBER_OR_TEXT:
        return {"type": ["string", "integer", "number"]}
    return body | {"additionalProperties": False} if "properties" in body else body


def _closure(name: str, definitions: dict[str, Schema]) -> set[str]:
    found: set[str] = set()
    open_names = [name]
    while open_names:
        current = open_names.pop()
        if current not in found:
            found.add(current)
            open_names += _references(definitions[current])
    return found


def _references(node: object) -> list[str]:
    if isinstance(node, list):
        return [name for child in node for name in _references(child)]
    if not isinstance(node, dict):
        return []
    own = node.get("$ref")
    names = [own.removeprefix(_REF)] if isinstance(own, str) else []
    return names + [name for child in node.values() for name in _references(child)]


def _closed(node: Any) -> Any:
    """Every mapping with named keys allows no other; metadata is the API server's own."""
    if isinstance(node, list):
        return [_closed(child) for child in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _closed(child) for key, child in node.items() if not key.startswith("x-kubernetes-")}
    if node.get("type") == "object" and isinstance(node.get("properties"), dict):
        plain["additionalProperties"] = False
    return plain

"""Drift is found in every field that is ours and in none that is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from feedplane_operator.ownership import difference

MANAGER = "feedset-operator"

DESIRED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "d",
        "namespace": "n",
        "labels": {"app.kubernetes.io/name": "feedplane"},
        "ownerReferences": [{"apiVersion": "feedplane.io/v1alpha1", "kind": "FeedSet", "name": "f", "uid": "u"}],
    },
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "collector",
                        "args": ["--config", "/etc/x"],
                        "ports": [{"containerPort": 9100, "name": "http"}],
                        "env": [
                            {"name": "A", "value": "1"},
                            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        ],
                        "resources": {"limits": {"memory": "1024Mi"}},
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
            }
        },
    },
}
FIELDS: dict[str, Any] = {
    "f:metadata": {
        "f:labels": {"f:app.kubernetes.io/name": {}},
        "f:ownerReferences": {'k:{"uid":"u"}': {}},
    },
    "f:spec": {
        "f:replicas": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"collector"}': {
                        ".": {},
                        "f:name": {},
                        "f:args": {},
                        "f:ports": {
                            'k:{"containerPort":9100,"protocol":"TCP"}': {
                                ".": {},
                                "f:containerPort": {},
                                "f:name": {},
                            }
                        },
                        "f:env": {
                            'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}},
                            'k:{"name":"POD"}': {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}},
                        },
                        "f:resources": {"f:limits": {"f:memory": {}}},
                    }
                },
                "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {"f:sizeLimit": {}}}},
            }
        },
    },
}


def live() -> dict[str, Any]:
    """The object as a server returns it: defaults filled in, quantities in their canonical unit, other managers."""
    obj = copy.deepcopy(DESIRED)
    obj["metadata"] |= {
        "uid": "x",
        "annotations": {"deployment.kubernetes.io/revision": "1"},
        "managedFields": [
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
            {"manager": MANAGER, "operation": "Apply", "subresource": "status", "fieldsV1": {}},
            {"manager": MANAGER, "operation": "Apply", "fieldsV1": copy.deepcopy(FIELDS)},
        ],
    }
    obj["spec"]["revisionHistoryLimit"] = 10
    container = obj["spec"]["template"]["spec"]["containers"][0]
    container["imagePullPolicy"] = "IfNotPresent"
    container["ports"][0]["protocol"] = "TCP"
    container["env"][1]["valueFrom"]["fieldRef"]["apiVersion"] = "v1"
    container["resources"]["limits"]["memory"] = "1Gi"
    obj["spec"]["template"]["spec"]["containers"].append({"name": "injected"})
    return obj


def test_what_the_server_and_others_add_is_no_drift() -> None:
    assert difference(DESIRED, live(), MANAGER) is None


COLLECTOR = ("spec", "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("spec", "replicas"), 2, "spec.replicas"),
        (("metadata", "labels", "app.kubernetes.io/name"), "other", "metadata.labels.app.kubernetes.io/name"),
        ((*COLLECTOR, "args"), ["--config", "/etc/x", "--more"], "spec.template.spec.containers[collector].args"),
        ((*COLLECTOR, "env", 0, "value"), "2", "spec.template.spec.containers[collector].env[A].value"),
        (
            (*COLLECTOR, "env", 1, "valueFrom", "fieldRef", "fieldPath"),
            "metadata.uid",
            "spec.template.spec.containers[collector].env[POD].valueFrom.fieldRef",
        ),
        (
            (*COLLECTOR, "resources", "limits", "memory"),
            "2Gi",
            "spec.template.spec.containers[collector].resources.limits.memory",
        ),
        ((*COLLECTOR, "ports"), [], "spec.template.spec.containers[collector].ports[9100,TCP]"),
        (("metadata", "ownerReferences", 0, "name"), "g", "metadata.ownerReferences[u]"),
        (("spec", "template", "spec", "volumes", 0, "emptyDir", "sizeLimit"), "65Mi", None),
    ],
)
def test_a_changed_field_is_named(path: tuple[str | int, ...], value: Any, told: str | None) -> None:
    obj = live()
    parent: Any = obj
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value

    assert difference(DESIRED, obj, MANAGER) == (told or "spec.template.spec.volumes[tmp].emptyDir.sizeLimit")


def test_a_field_that_somebody_took_over_is_applied_again_even_when_its_value_is_the_same() -> None:
    obj = live()
    del obj["metadata"]["managedFields"][2]["fieldsV1"]["f:spec"]["f:replicas"]

    assert difference(DESIRED, obj, MANAGER) == "spec.replicas"


def test_a_field_that_is_no_longer_wanted_is_released() -> None:
    desired = copy.deepcopy(DESIRED)
    del desired["spec"]["template"]["spec"]["containers"][0]["env"][0]

    assert difference(desired, live(), MANAGER) == "spec.template.spec.containers[collector].env"

    del desired["spec"]["replicas"]
    assert difference(desired, live(), MANAGER) == "spec.replicas"


def test_an_object_we_never_applied_differs() -> None:
    obj = live()
    del obj["metadata"]["managedFields"][2]

    assert difference(DESIRED, obj, MANAGER) == "metadata.managedFields"


def test_a_zero_that_the_server_leaves_out_is_no_drift() -> None:
    desired = copy.deepcopy(DESIRED)
    desired["spec"]["minReadySeconds"] = 0
    obj = live()
    obj["metadata"]["managedFields"][2]["fieldsV1"]["f:spec"]["f:minReadySeconds"] = {}

    assert difference(desired, obj, MANAGER) is None
    obj["spec"]["minReadySeconds"] = 5
    assert difference(desired, obj, MANAGER) == "spec.minReadySeconds"


def test_text_that_looks_like_a_quantity_is_compared_as_text() -> None:
    desired = copy.deepcopy(DESIRED)
    desired["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "1000m"

    assert difference(desired, live(), MANAGER) is not None

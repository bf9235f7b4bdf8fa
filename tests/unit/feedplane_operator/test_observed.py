from __future__ import annotations

from typing import Any

import pytest
from feedplane_operator.observed import observe


def pod(**status: Any) -> dict[str, Any]:
    labels = {"feedplane.io/entry": "a", "feedplane.io/shard": "1"}
    return {"kind": "Pod", "metadata": {"name": "p", "labels": labels}, "status": status}


def problem(**status: Any) -> str | None:
    return observe([pod(**status)], {}).pods[0].problem


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({}, None),
        ({"phase": "Running", "containerStatuses": [container("collector", running={})]}, None),
        ({"containerStatuses": [container("collector", waiting={"reason": "PodInitializing"})]}, None),
        ({"initContainerStatuses": [container("writer-redis", waiting={"reason": "ContainerCreating"})]}, None),
        (
            {"containerStatuses": [container("collector", waiting={"reason": "ErrImagePull", "message": "not found"})]},
            "collector: ErrImagePull: not found",
        ),
        (
            {
                "initContainerStatuses": [
                    container("writer-redis", waiting={"reason": "CrashLoopBackOff", "message": "back-off 40s ..."})
                    | {"lastState": {"terminated": {"exitCode": 2}}, "restartCount": 7}
                ]
            },
            "writer-redis ends again and again (exit code 2)",
        ),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
                ]
            },
            "Unschedulable: 0/1 nodes",
        ),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    ],
)
def test_what_keeps_a_pod_from_running_is_told(status: dict[str, Any], told: str | None) -> None:
    assert problem(**status) == told


def test_a_pod_is_known_by_its_labels() -> None:
    (state,) = observe([pod()], {}).pods

    assert (state.entry, state.shard, state.is_ready, state.is_ending, state.collector) == ("a", 1, False, False, None)


def test_other_kinds_and_strangers_are_passed_over() -> None:
    observed = observe(
        [{"kind": "ConfigMap", "metadata": {"name": "x"}}, {"kind": "Pod", "metadata": {"name": "y"}}], {}
    )

    assert observed.deployments == {}
    assert observed.pods[0].shard == -1


@pytest.mark.parametrize(
    ("generation", "status", "is_complete"),
    [
        (1, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, True),
        (2, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, False),
        (1, {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}, False),
        (1, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}, False),
        (1, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, False),
        (1, {}, False),
    ],
)
def test_a_deployment_is_complete_when_all_pods_are_new_and_available(
    generation: int, status: dict[str, Any], is_complete: bool
) -> None:
    live = {
        "kind": "Deployment",
        "metadata": {"name": "d", "generation": generation},
        "spec": {"replicas": 2},
        "status": status,
    }

    assert observe([live], {}).deployments["d"].is_complete is is_complete

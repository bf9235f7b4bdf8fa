"""The "restricted" profile of the Pod Security Standards, as checks of a pod spec.

Source: Pod Security Standards, profiles Baseline and Restricted (kubernetes.io/docs/concepts/security/pod-security-standards,
read 2026-11-20).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_SECCOMP = frozenset({"RuntimeDefault", "Localhost"})


def violations(spec: Object) -> list[str]:
    """What an enforcing namespace would refuse, empty when it accepts the pod."""
    return [*_pod(spec), *(text for each in _containers(spec) for text in _container(each, spec))]


def _containers(spec: Object) -> list[Object]:
    return [each for key in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(key, ())]


def _pod(spec: Object) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key} is set"
    context = spec.get("securityContext", {})
    if context.get("sysctls"):
        yield "sysctls are set"
    if context.get("runAsUser") == 0:
        yield "runs as root"
    for volume in spec.get("volumes", ()):
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume {volume['name']} is {', '.join(sorted(kinds))}"


def _container(container: Object, spec: Object) -> Iterator[str]:
    name, own, shared = container["name"], container.get("securityContext", {}), spec.get("securityContext", {})
    if own.get("privileged"):
        yield f"{name} is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may escalate privileges"
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield f"{name} may run as root"
    if own.get("runAsUser") == 0:
        yield f"{name} runs as root"
    if own.get("seccompProfile", shared.get("seccompProfile", {})).get("type") not in _SECCOMP:
        yield f"{name} has no seccomp profile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield f"{name} keeps capabilities"
    if not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"}:
        yield f"{name} adds capabilities"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield f"{name} takes a port of the host"
    if own.get("procMount", "Default") != "Default":
        yield f"{name} unmasks /proc"

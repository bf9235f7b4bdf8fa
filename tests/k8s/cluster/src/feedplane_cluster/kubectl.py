"""A client for tests of any cluster: kubectl as it is, with JSON where a test reads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from feedplane_cluster.commands import ClusterError, run, wait_until

Object = dict[str, Any]
_TIMEOUT_S: Final = 60.0


class Kubectl:
    """Commands against one cluster and, where a namespace is set, in it."""

    def __init__(self, kubeconfig: Path, program: str = "kubectl", *, namespace: str = "", user: str = "") -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self._program = program
        self._user = user

    def in_namespace(self, namespace: str) -> Self:
        """The same cluster, commands in a namespace."""
        return type(self)(self.kubeconfig, self._program, namespace=namespace, user=self._user)

    def as_user(self, user: str) -> Self:
        """The same with another's rights: `system:serviceaccount:<namespace>:<name>`."""
        return type(self)(self.kubeconfig, self._program, namespace=self.namespace, user=user)

    def command(self, *arguments: str) -> list[str]:
        """The command line, for processes that a test keeps."""
        namespace = ["--namespace", self.namespace] if self.namespace else []
        user = ["--as", self._user] if self._user else []
        return [self._program, "--kubeconfig", str(self.kubeconfig), *namespace, *user, *arguments]

    def __call__(self, *arguments: str, input_text: str | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """Output of one command.

        Raises:
            ClusterError: it failed; the text is what kubectl said.
        """
        return run(self.command(*arguments), input_text=input_text, timeout_s=timeout_s)

    def said(self, *arguments: str, input_text: str | None = None) -> tuple[int, str]:
        """Exit code and all that a command printed, whether it succeeds or not."""
        done = subprocess.run(
            self.command(*arguments), input=input_text, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def refusal(self, *arguments: str, input_text: str | None = None) -> str:
        """What the API server says to a command that must fail.

        Raises:
            AssertionError: it was accepted.
        """
        code, text = self.said(*arguments, input_text=input_text)
        assert code != 0, f"accepted: {text}"
        return text

    def get(self, kind: str, name: str) -> Object:
        """One object."""
        return self._json("get", kind, name)

    def find(self, kind: str, name: str) -> Object | None:
        """One object, if it is there."""
        text = self("get", kind, name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(text)) if text.strip() else None

    def list(self, kind: str, selector: str = "") -> Sequence[Object]:
        """All objects of a kind, or those that a label selector matches."""
        items = self._json("get", kind, *(["--selector", selector] if selector else []))["items"]
        return [dict(item) for item in items]

    def apply(self, *objects: Mapping[str, Any], manager: str = "tests") -> None:
        """Server-side apply; conflicts are errors."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self("apply", "--server-side", "--field-manager", manager, "-f", "-", input_text=text)

    def create(self, *objects: Mapping[str, Any], dry_run: bool = False) -> None:
        """Create, or let the server say whether it would."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self("create", *(["--dry-run=server"] if dry_run else []), "-f", "-", input_text=text)

    def merge(self, kind: str, name: str, patch: Mapping[str, Any], *, subresource: str = "") -> None:
        """A JSON merge patch."""
        part = ["--subresource", subresource] if subresource else []
        self("patch", kind, name, "--type", "merge", *part, "-p", json.dumps(patch))

    def delete(self, kind: str, *names: str, wait: bool = True, timeout_s: float = _TIMEOUT_S) -> None:
        """Delete by name; what is not there is well."""
        self("delete", kind, *names, "--ignore-not-found", f"--wait={str(wait).lower()}", timeout_s=timeout_s)

    def exists(self, kind: str, name: str) -> bool:
        """Whether an object is there."""
        return self.find(kind, name) is not None

    def conditions(self, kind: str, name: str) -> dict[str, Object]:
        """Type -> condition of one object; empty while it has none or is not there."""
        found = self.find(kind, name) or {}
        return {each["type"]: each for each in (found.get("status") or {}).get("conditions") or []}

    def wait_for_condition(
        self, kind: str, name: str, condition: str, status: str = "True", *, timeout_s: float = _TIMEOUT_S
    ) -> float:
        """Seconds until a condition has a status that speaks of the present generation. (`kubectl wait` fails on an object without any.)

        Raises:
            ClusterError: not within `timeout_s`.
        """

        def holds() -> bool:
            found = self.find(kind, name) or {}
            generation = found.get("metadata", {}).get("generation")
            told = [each for each in (found.get("status") or {}).get("conditions") or [] if each["type"] == condition]
            return (
                bool(told)
                and told[0]["status"] == status
                and told[0].get("observedGeneration", generation) == generation
            )

        return wait_until(f"{kind}/{name} {condition}={status}", holds, timeout_s=timeout_s, every_s=0.25)

    def told(self) -> str:
        """State of the namespace for a person who reads why a test failed: objects, events, last lines of each container."""
        parts = [
            self._try("get", "feedsets,deployments,replicasets,pods,persistentvolumeclaims", "-o", "wide"),
            self._try("get", "events", "--sort-by", ".lastTimestamp"),
        ]
        for pod in self._try("get", "pods", "-o", "name").split():
            parts.append(self._try("logs", pod, "--all-containers", "--ignore-errors", "--tail", "25", "--prefix"))
        return "\n".join(parts)

    def _try(self, *arguments: str) -> str:
        try:
            return self(*arguments)
        except ClusterError as e:
            return f"{' '.join(arguments)}: {e}\n"

    def _json(self, *arguments: str) -> Object:
        return dict(json.loads(self(*arguments, "-o", "json")))

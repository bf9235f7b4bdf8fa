"""The API server over plain HTTP, by `kubectl proxy`: many small requests a second, and statuses as the server gave them."""

from __future__ import annotations

import json
import re
import selectors
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from feedplane_cluster.commands import ClusterError
from feedplane_cluster.kubectl import Kubectl

_START_TIMEOUT_S: Final = 15.0
_TIMEOUT_S: Final = 30.0
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    body: Any

    @property
    def is_ok(self) -> bool:
        """Whether it did what was asked."""
        return self.status < 300

    @property
    def causes(self) -> list[tuple[str, str]]:
        """(field, message) of each reason for a refusal."""
        details = self.body.get("details") or {} if isinstance(self.body, dict) else {}
        return [(cause.get("field", ""), cause.get("message", "")) for cause in details.get("causes") or []]


class Api:
    """`with Api(kubectl) as api: api.call("GET", "/api/v1/namespaces")`."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._process: subprocess.Popen[str] | None = None
        self._url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._kubectl.command("proxy", "--port=0", "--address=127.0.0.1"), stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(_START_TIMEOUT_S) else ""
        found = re.search(r"127\.0\.0\.1:\d+", line)
        if found is None:
            self._end()
            raise ClusterError(f"kubectl proxy does not start: {line}")
        self._url = f"http://{found[0]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Answer:
        """One request; `path` with its query."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data=data, method=method, headers={"Content-Type": content_type}
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                return Answer(answer.status, _decoded(answer.read()))
        except urllib.error.HTTPError as e:
            return Answer(e.code, _decoded(e.read()))


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")

"""One shard over ClickHouse's HTTP interface, and no more of it than a writer needs.

Not clickhouse-connect: it is 5 MB more per writer process, and hides how many times and where a request was sent,
which is what the insert contract is about.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

from feedplane_core.errors import UsageError
from feedplane_ops.settings import read_secret

from ..hooks import Stage, reached

_CODE: Final = re.compile(rb"Code: (\d+)\.")
_MAX_ANSWER_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 256 << 10
_IDLE_S: Final = (
    2.5  # servers close idle connections after 3 s or more; a request on a closing one would look like an outage
)
_CONNECT_TIMEOUT_S: Final = 5.0


class Unreachable(Exception):
    """No answer, or none from ClickHouse: what became of the insert is not known."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


class ServerError(Exception):
    """ClickHouse answered with an error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"code {code}: {message}")
        self.code = code


class ShardClient:
    """Requests to one shard, one at a time. After a failure the next replica is asked. Not thread-safe."""

    def __init__(
        self, endpoints: Sequence[str], *, user: str, password_file: Path | None, tls: bool, timeout_s: float
    ) -> None:
        self._endpoints = list(endpoints)
        self._user = user
        self._password_file = password_file
        self._context = ssl.create_default_context() if tls else None
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    @property
    def endpoint(self) -> str:
        """Where the next request goes."""
        return self._endpoints[0]

    def insert(self, statement: str, body: bytes, settings: Mapping[str, str]) -> None:
        """Run an INSERT whose data is `body`; it is stored, or was before under the same token, when this returns.

        Raises: ServerError, Unreachable.
        """
        self._request(statement, body, settings)

    def execute(self, statement: str) -> None:
        """Run a statement that gives nothing back. Raises: ServerError, Unreachable."""
        self._request("", statement.encode(), {})

    def query(self, statement: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Rows of a SELECT with bound parameters. Raises: ServerError, Unreachable."""
        bound = {f"param_{name}": value for name, value in parameters.items()}
        answer = self._request(statement + " FORMAT JSONEachRow", b"", bound)
        return [json.loads(line) for line in answer.splitlines() if line]

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(self, statement: str, body: bytes, parameters: Mapping[str, str]) -> bytes:
        named = {"query": statement} if statement else {}  # else the body is the statement, which may be long
        path = "/?" + urlencode({**named, "wait_end_of_query": "1", **parameters}, quote_via=quote)
        try:
            status, code, answer = self._exchange(path, body)
        except (OSError, http.client.HTTPException) as e:
            self._next_endpoint()
            raise Unreachable(type(e).__name__, str(e)) from e
        if status == 200 and code is None:
            return answer
        self.close()
        if code is None:
            self._next_endpoint()
            raise Unreachable(f"http_{status}", answer[:200].decode("utf-8", "replace"))
        raise ServerError(code, answer[:1_000].decode("utf-8", "replace").strip())

    def _exchange(self, path: str, body: bytes) -> tuple[int, int | None, bytes]:
        connection = self._connected()
        connection.putrequest("POST", path, skip_accept_encoding=True)
        for name, value in self._headers().items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        self._send(connection, memoryview(body))
        response = connection.getresponse()
        answer = response.read(_MAX_ANSWER_BYTES)
        if response.read(1):
            connection.close()
        self._used_at = monotonic()
        header = response.getheader("X-ClickHouse-Exception-Code")
        if header and header.isdigit():
            return response.status, int(header), answer
        match = _CODE.match(answer) if response.status != 200 else None
        return response.status, int(match[1]) if match else None, answer

    @staticmethod
    def _send(connection: http.client.HTTPConnection, body: memoryview) -> None:
        half = min(_CHUNK_BYTES, len(body) // 2)
        connection.send(body[:half])
        reached(Stage.DURING_SEND)
        for start in range(half, len(body), _CHUNK_BYTES):
            connection.send(body[start : start + _CHUNK_BYTES])

    def _headers(self) -> dict[str, str]:
        """The password is read anew for every request, so that a rotated one is picked up; unchanged, it costs one
        `stat`."""
        headers = {
            "X-ClickHouse-User": self._user,
            "Content-Type": "application/octet-stream",
            "User-Agent": "feedplane-writer",
        }
        if self._password_file is not None:
            try:
                headers["X-ClickHouse-Key"] = read_secret(self._password_file).get_secret_value()
            except UsageError as e:  # in the middle of a rotation the file may be missing
                raise Unreachable("password_file", str(e)) from e
        return headers

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is not None and monotonic() - self._used_at > _IDLE_S:
            self.close()
        if self._connection is None:
            host, _, port = self.endpoint.rpartition(":")
            connection: http.client.HTTPConnection
            if self._context is not None:
                connection = http.client.HTTPSConnection(
                    host.strip("[]"), int(port), timeout=_CONNECT_TIMEOUT_S, context=self._context
                )
            else:
                connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_CONNECT_TIMEOUT_S)
            connection.connect()
            connection.sock.settimeout(self._timeout_s)
            self._connection = connection
        return self._connection

    def _next_endpoint(self) -> None:
        self.close()
        self._endpoints.append(self._endpoints.pop(0))

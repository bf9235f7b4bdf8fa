"""How the API server is reached: the pod's service account, or a kubeconfig on a person's machine. Every call is counted."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import kopf
from feedplane_core.errors import UsageError
from feedplane_ops.settings import read_secret
from yarl import URL

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Count = Callable[[str, str], None]
"""Told the verb and the status code (or the error's name) of each call."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the API server is and who we are."""

    server: str
    ssl: ssl.SSLContext
    headers: Mapping[str, str]
    token_file: Path | None
    namespace: str | None

    def session(self, count: Count, agent: str) -> aiohttp.ClientSession:
        """A session that counts its calls and reads a rotated token from its file."""

        async def through(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            if self.token_file is not None:  # one stat; the kubelet renews it before it expires
                request.headers["Authorization"] = f"Bearer {read_secret(self.token_file).get_secret_value()}"
            verb = verb_of(request.method, request.url)
            try:
                response = await handler(request)
            except Exception as e:
                count(verb, type(e).__name__)
                raise
            count(verb, str(response.status))
            return response

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self.ssl, limit=0),
            headers={"User-Agent": agent, **self.headers},
            middlewares=(through,),
        )


def connect(
    environment: Mapping[str, str], settings: kopf.OperatorSettings, root: Path = SERVICE_ACCOUNT
) -> Connection:
    """The service account of the pod, else the kubeconfig that `KUBECONFIG` or the home folder names.

    Raises:
        UsageError: there is neither, or it cannot be read.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST")
    if host and (root / "token").exists():
        return _from_pod(host, environment.get("KUBERNETES_SERVICE_PORT", "443"), root)
    try:
        info = kopf.login_with_kubeconfig(settings=settings)
    except (OSError, kopf.LoginError, ValueError) as e:
        raise UsageError("KUBECONFIG", f"cannot be used: {e}") from e
    if info is None:
        raise UsageError("KUBECONFIG", "is not set, and this is no pod with a service account")
    return Connection(info.server, info.as_ssl_context(), info.as_http_headers(), None, info.default_namespace)


def _from_pod(host: str, port: str, root: Path) -> Connection:
    """By address, as other clients do: the operator works while the cluster's DNS does not."""
    namespace = root / "namespace"
    return Connection(
        server=str(URL.build(scheme="https", host=host, port=int(port))),
        ssl=ssl.create_default_context(cafile=str(root / "ca.crt")),
        headers={},
        token_file=root / "token",
        namespace=namespace.read_text().strip() if namespace.exists() else None,
    )


def verb_of(method: str, url: URL) -> str:
    """The verb that RBAC and the server's own metrics know a request by: get, list, watch, create, patch, delete."""
    if method != "GET":
        return {"POST": "create", "PUT": "update"}.get(method, method.lower())
    if url.query.get("watch") == "true":
        return "watch"
    parts = url.path.strip("/").split("/")
    below = parts[2:] if parts[0] == "api" else parts[3:]  # after the version
    if below[:1] == ["namespaces"] and len(below) > 2:
        below = below[2:]
    return "list" if len(below) == 1 else "get"


def login(connection: Connection, count: Count, agent: str) -> Callable[..., Any]:
    """A login handler that gives Kopf a session of the same kind."""

    async def give(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            server=connection.server,
            default_namespace=connection.namespace,
            aiohttp_session=connection.session(count, agent),
        )

    return give

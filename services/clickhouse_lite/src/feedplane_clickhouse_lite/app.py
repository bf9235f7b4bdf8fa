"""The HTTP side: ClickHouse's paths, headers and status codes over the executor."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from time import monotonic_ns
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from feedplane_clickhouse_lite import codec, formats
from feedplane_clickhouse_lite.admission import ByteBudget
from feedplane_clickhouse_lite.body import Body
from feedplane_clickhouse_lite.engine import Stats
from feedplane_clickhouse_lite.engine_config import server_permissions
from feedplane_clickhouse_lite.errors import (
    ACCESS_DENIED,
    BAD_REQUEST_PARAMETER,
    NOT_IMPLEMENTED,
    QUERY_IS_TOO_LARGE,
    SYNTAX_ERROR,
    ClickHouseError,
)
from feedplane_clickhouse_lite.executor import Executor
from feedplane_clickhouse_lite.job import Caller, Job
from feedplane_clickhouse_lite.request import External, Request, external_table, read_request
from feedplane_clickhouse_lite.settings import Settings
from feedplane_clickhouse_lite.sink import Sink
from feedplane_clickhouse_lite.statement import Kind, Statement, parse
from feedplane_clickhouse_lite.telemetry import Telemetry
from feedplane_clickhouse_lite.users import User, Users, role_of

logger = logging.getLogger(__name__)

_OK = "Ok.\n"
_FIRST_STREAM_BYTES = 256 << 10
"""A result up to this size is sent whole, with a length and a true summary; a larger one is streamed."""


@dataclass(frozen=True)
class Served:
    """What responses tell about the server."""

    version: str
    timezone: str
    instance: str


class ResultBrokenOff(Exception):
    """The query failed with a part of its result sent: its status is spent, and its connection closed."""

    def __init__(self, response: web.StreamResponse) -> None:
        super().__init__()
        self.response = response


class Front:
    """The handlers. One per process, on one event loop."""

    def __init__(self, settings: Settings, users: Users, executor: Executor, telemetry: Telemetry, served: Served):
        self._settings = settings
        self._users = users
        self._executor = executor
        self._telemetry = telemetry
        self._served = served
        self._budget = ByteBudget(settings.max_buffered_bytes)
        self._permissions = server_permissions(settings)

    def application(self) -> web.Application:
        """The routes. Every path that is not one of ours is 404, as on a server."""
        app = web.Application(client_max_size=self._settings.max_body_bytes)
        for path in ("/ping", "/replicas_status"):
            app.router.add_get(path, self._on_ping)
        app.router.add_get("/metrics", self._on_metrics)
        app.router.add_route("*", "/", self._on_query)
        return app

    async def _on_ping(self, request: web.Request) -> web.Response:
        return web.Response(text=_OK, headers=self._common_headers())

    async def _on_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._telemetry.render(), content_type="text/plain")

    async def _on_query(self, request: web.Request) -> web.StreamResponse:
        body = Body(self._budget, self._settings.max_body_bytes)
        try:
            self._require_own_origin(request)
            return await self._answer(request, body)
        except ClickHouseError as e:
            self._telemetry.on_error(e.code)
            if e.http_status >= 500:
                logger.warning("query failed", extra={"error_code": e.code, "error": e.text[:300]})
            return self._error_response(e)
        finally:
            body.release()

    async def _answer(self, request: web.Request, body: Body) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD", "POST", "PUT"):
            raise ClickHouseError(NOT_IMPLEMENTED, f"HTTP method {request.method} is not supported")
        asked = self._read(request)
        user = self._users.authenticate(asked.user, asked.password)
        if request.method in ("GET", "HEAD") and not request.query_string:
            return web.Response(text=_OK, headers=self._common_headers())
        asked, job = await self._read_job(request, asked, user, body)
        return await self._run(request, asked, job, user, body)

    def _read(self, request: web.Request, extra: Iterable[tuple[str, str]] = ()) -> Request:
        headers = {name.lower(): value for name, value in request.headers.items()}
        pairs = parse_qsl(request.query_string, keep_blank_values=True, errors="strict")
        return read_request(request.method, chain(pairs, extra), headers)

    async def _read_job(self, request: web.Request, asked: Request, user: User, body: Body) -> tuple[Request, Job]:
        externals: tuple[External, ...] = ()
        raw = b""
        if request.content_type == "multipart/form-data":
            asked, externals = await self._read_form(request, body)
        else:
            raw = await body.read(request)
            self._telemetry.on_body(len(raw))
        encoding = request.headers.get("Content-Encoding", "")
        statement, data = self._split(asked, raw, encoding)
        if asked.compress_native:
            raise ClickHouseError(NOT_IMPLEMENTED, "compress=1 is not supported: use Accept-Encoding")
        caller = Caller(
            role=role_of(user),
            readonly=user.readonly,
            permissions=user.permissions(self._permissions),
            database=self._settings.default_database,
        )
        job = Job(
            statement=statement,
            caller=caller,
            output_format=asked.default_format or formats.DEFAULT_FORMAT,
            is_get=asked.is_get,
            database=asked.database,
            settings=asked.settings,
            parameters=asked.parameters,
            externals=externals,
            data=data,
        )
        return asked, job

    async def _read_form(self, request: web.Request, body: Body) -> tuple[Request, tuple[External, ...]]:
        """A form: its parts named `query` and `param_*` are parameters, every other part is a table."""
        parts = await body.read_form(request)
        self._telemetry.on_body(sum(map(len, parts.values())))
        described = dict(parse_qsl(request.query_string, keep_blank_values=True))
        fields = {name for name in parts if name == "query" or name.startswith("param_")}
        try:
            extra = [(name, parts[name].decode()) for name in fields]
        except UnicodeDecodeError:
            raise ClickHouseError(BAD_REQUEST_PARAMETER, "A form field is not UTF-8") from None
        tables = tuple(external_table(name, parts[name], described) for name in parts if name not in fields)
        return self._read(request, extra), tables

    def _split(self, asked: Request, raw: bytes, encoding: str) -> tuple[Statement, Iterable[bytes]]:
        """The statement, from the URL or the body or both, and the data that follows it."""
        statement = parse(asked.query) if asked.query.strip() else None
        if statement is not None and statement.kind is Kind.INSERT_DATA:
            inline = asked.query[statement.data_at :]
            return statement, self._data(asked, raw, encoding, inline + b"\n" if inline.strip() else b"")
        max_bytes = self._settings.max_body_bytes
        text = b"".join(self._decode(asked, raw, encoding, max_bytes))
        if asked.query.strip():
            text = asked.query + b"\n" + text if text else asked.query
        statement = parse(text)
        if not text.strip():
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error: failed at position 1 (end of query): Empty query")
        if len(statement.head) > self._settings.max_query_bytes:
            raise ClickHouseError(
                QUERY_IS_TOO_LARGE, f"The query is larger than {self._settings.max_query_bytes} bytes"
            )
        return statement, (memory_bytes(text, statement.data_at),) if statement.data_at is not None else ()

    def _data(self, asked: Request, raw: bytes, encoding: str, inline: bytes) -> Iterable[bytes]:
        return chain((inline,) if inline else (), self._decode(asked, raw, encoding, self._settings.max_body_bytes))

    def _decode(self, asked: Request, raw: bytes, encoding: str, max_bytes: int) -> Iterable[bytes]:
        """The body without what HTTP and then ClickHouse's own compression put around it."""
        if not asked.decompress_native or not raw:
            return codec.decoded(raw, encoding, max_bytes) if raw else ()
        plain = b"".join(codec.decoded(raw, encoding, max_bytes)) if encoding else raw
        return codec.native_decoded(plain, max_bytes)

    async def _run(self, request: web.Request, asked: Request, job: Job, user: User, body: Body) -> web.StreamResponse:
        accepted = request.headers.get("Accept-Encoding", "") if asked.http_compression else ""
        encoding = codec.negotiate(accepted) if job.statement.kind is not Kind.INSERT_DATA else None
        sink = Sink(
            self._settings.max_result_buffer_bytes if asked.wait_end else _FIRST_STREAM_BYTES,
            codec.encoder(encoding, asked.zlib_level) if encoding else None,
            self._settings.send_timeout_s,
        )
        started_ns = monotonic_ns()
        future = await self._executor.start(asked.query_id, job, asked.session, user.name, sink)
        future.add_done_callback(lambda _: body.release())  # the engine may read it longer than the client waits
        try:
            headers = self._headers(asked, job, encoding)
            response = await self._reply(request, headers, future, sink, started_ns)
            stats = future.result()
        except ResultBrokenOff as broken:
            return broken.response
        except BaseException:  # the client has gone, or the query failed: either way nobody reads the result
            self._executor.cancel(asked.query_id)
            raise
        self._telemetry.on_done(job.statement.kind, stats, sink.sent_bytes, monotonic_ns() - started_ns)
        return response

    async def _reply(
        self, request: web.Request, headers: dict[str, str], future: asyncio.Future[Stats], sink: Sink, started_ns: int
    ) -> web.StreamResponse:
        starting: asyncio.Future[bool] = asyncio.ensure_future(sink.started.wait())
        try:
            await _first_of(future, starting)
        finally:
            starting.cancel()
        if not sink.started.is_set():
            stats = future.result()
            headers["X-ClickHouse-Summary"] = _summary(stats, monotonic_ns() - started_ns)
            return web.Response(body=sink.held(), headers=headers)
        headers["X-ClickHouse-Summary"] = _summary(Stats(), monotonic_ns() - started_ns)
        headers["X-ClickHouse-Exception-Tag"] = sink.tag
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for piece in sink.pieces():
            await response.write(piece)
        await asyncio.wait({future})  # not `await future`: a client that goes now must not cancel the thread's future
        if isinstance(error := future.exception(), ClickHouseError):
            self._break_off(request, error)
            raise ResultBrokenOff(response) from error
        await response.write_eof()
        return response

    def _break_off(self, request: web.Request, error: ClickHouseError) -> None:
        """Close the connection without the last chunk, so that no client takes a part for the whole."""
        self._telemetry.on_error(error.code)
        logger.warning("result broken off", extra={"error_code": error.code, "error": error.text[:300]})
        if request.transport is not None:
            request.transport.close()

    def _require_own_origin(self, request: web.Request) -> None:
        """Refuse requests that a web page of somebody else's makes in its visitor's browser."""
        origin = request.headers.get("Origin")
        if origin is None or origin in self._settings.allowed_origins or urlsplit(origin).netloc == request.host:
            return
        raise ClickHouseError(ACCESS_DENIED, "Requests from web pages of another origin are not allowed")

    def _headers(self, asked: Request, job: Job, encoding: str | None) -> dict[str, str]:
        headers = self._common_headers()
        headers["X-ClickHouse-Query-Id"] = asked.query_id
        headers["X-ClickHouse-Timezone"] = self._served.timezone
        name = job.statement.format or job.output_format
        if job.statement.kind is Kind.INSERT_DATA:
            headers["Content-Type"] = formats.content_type(None)
        else:
            headers["X-ClickHouse-Format"] = name
            headers["Content-Type"] = formats.content_type(name)
        if encoding:
            headers["Content-Encoding"] = encoding
            headers["Vary"] = "Accept-Encoding"
        return headers

    def _common_headers(self) -> dict[str, str]:
        return {"X-ClickHouse-Server-Display-Name": self._served.instance, "Cache-Control": "no-store"}

    def _error_response(self, error: ClickHouseError) -> web.Response:
        headers = self._common_headers()
        headers["X-ClickHouse-Exception-Code"] = str(error.code)
        if error.http_status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        return web.Response(status=error.http_status, text=error.body(self._served.version), headers=headers)


async def _first_of(*futures: asyncio.Future[Any]) -> None:
    """Return when one of them is done; cancels none."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def memory_bytes(text: bytes, start: int) -> bytes:
    """`text` from `start`, without a copy when that is all of it."""
    return text[start:] if start else text


def _summary(stats: Stats, elapsed_ns: int) -> str:
    """Numbers are strings, as a server writes them."""
    return json.dumps(
        {
            "read_rows": str(stats.read_rows),
            "read_bytes": str(stats.read_bytes),
            "written_rows": str(stats.written_rows),
            "written_bytes": str(stats.written_bytes),
            "total_rows_to_read": "0",
            "result_rows": str(stats.result_rows),
            "result_bytes": str(stats.result_bytes),
            "elapsed_ns": str(elapsed_ns),
        },
        separators=(",", ":"),
    )

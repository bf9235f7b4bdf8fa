"""Settings of a process: read once at its edge from `FEEDPLANE_*` variables, then passed on as plain values."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn, Self, TextIO

from feedplane_core.errors import UsageError
from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from feedplane_ops.redaction import conceal

ENV_PREFIX: Final = "FEEDPLANE_"
EXIT_USAGE: Final = 2
MAX_SECRET_BYTES: Final = 65_536

LogLevel = Literal["debug", "info", "warning", "error"]

_HTTP_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


def _http_url(text: str) -> str:
    url = _HTTP_URL.validate_python(text)
    if url.username or url.password:
        raise ValueError("credentials do not belong in a URL; name a *_file instead")
    return text.rstrip("/")


HttpUrlText = Annotated[str, AfterValidator(_http_url)]
"""An http or https URL, kept as the text that was given, without user information and final slash."""


class ServiceSettings(BaseSettings):
    """What every process can be told. Subclasses add fields; secrets are `<name>_file: Path` plus `read_secret`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    instance: str = Field(default_factory=socket.gethostname, min_length=1, max_length=253)
    """Name of this process among its like: the pod's name, or the supervisor's name for it."""
    log_level: LogLevel = "info"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    """Port of health and metrics; 0 takes a free one."""
    otlp_endpoint: HttpUrlText | None = None
    """OTLP over HTTP, `http://collector:4318`; without a path, `/v1/metrics` is added."""
    otlp_interval_s: float = Field(default=15.0, gt=0, le=3_600)
    otlp_headers_file: Path | None = None
    """File with `name=value` lines sent to the OTLP endpoint, such as an authorization header."""

    @classmethod
    def from_environment(cls) -> Self:
        """The settings of this process; bad ones end it with code 2, each bad field on a line of stderr."""
        try:
            return cls()
        except (ValidationError, SettingsError) as e:
            fail_usage(e, prefix=cls.model_config["env_prefix"])

    def otlp_headers(self) -> dict[str, str]:
        """The headers of `otlp_headers_file`; none without one.

        Raises:
            UsageError: the file cannot be read, or a line is not `name=value`.
        """
        if self.otlp_headers_file is None:
            return {}
        headers = {}
        for line in read_secret(self.otlp_headers_file).get_secret_value().splitlines():
            name, separator, value = line.partition("=")
            if not separator or not name.strip():
                raise UsageError("otlp_headers_file", "a line is not name=value")
            headers[name.strip()] = value.strip()
            conceal(value.strip())
        return headers


def fail_usage(
    error: ValidationError | SettingsError, stream: TextIO | None = None, *, prefix: str = ENV_PREFIX
) -> NoReturn:
    """Print one line per bad field, naming it and its variable but never its value, and exit with code 2."""
    for line in usage_lines(error, prefix):
        print(line, file=stream if stream is not None else sys.stderr)
    raise SystemExit(EXIT_USAGE)


def usage_lines(error: ValidationError | SettingsError, prefix: str = ENV_PREFIX) -> list[str]:
    """`FEEDPLANE_METRICS_PORT (metrics_port): Input should be less than or equal to 65535`, one per bad field."""
    if isinstance(error, SettingsError):  # a variable that should hold JSON does not; the message names the field
        return [str(error)]
    lines = []
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        path = [str(part) for part in detail["loc"]]
        field = ".".join(path) or error.title
        names = [part for part in path if not part.isdigit()]
        variable = prefix + "__".join(names).upper()
        lines.append(f"{variable} ({field}): {' '.join(detail['msg'].split())}")
    return lines


_Identity = tuple[int, int, int, int]
_read: dict[Path, tuple[_Identity, SecretStr]] = {}


def read_secret(path: Path | str) -> SecretStr:
    """The text of the file without its final line break; costs one `stat` while the file is unchanged.

    Kubernetes rotates a mounted Secret by swapping a symlink, which gives the path a new inode: callers that ask on
    every connect pick up the new value. The value is concealed in all logs from now on.

    Raises:
        UsageError: the file is missing, unreadable, empty, too large or not text. The message names the path only.
    """
    path = Path(path)
    try:
        status = path.stat()
        identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        held = _read.get(path)
        if held is not None and held[0] == identity:
            return held[1]
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
    except OSError as e:
        raise UsageError(str(path), f"secret file cannot be read: {e.strerror}") from e
    secret = SecretStr(_text(path, raw))
    conceal(secret.get_secret_value())
    _read[path] = (identity, secret)
    return secret


def _text(path: Path, raw: bytes) -> str:
    if len(raw) > MAX_SECRET_BYTES:
        raise UsageError(str(path), f"secret file is larger than {MAX_SECRET_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(str(path), "secret file is not UTF-8 text") from None  # the cause would quote the bytes
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UsageError(str(path), "secret file is empty")
    return text

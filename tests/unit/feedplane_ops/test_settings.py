import io
import os
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from feedplane_core.errors import UsageError
from feedplane_ops import redaction
from feedplane_ops.settings import MAX_SECRET_BYTES, ServiceSettings, read_secret
from pydantic import BaseModel, Field, ValidationError


class Store(BaseModel):
    port: int = Field(default=1, ge=1)


class WriterSettings(ServiceSettings):
    sink: str
    batch_rows: int = Field(default=5_000, ge=1)
    limits: list[int] = Field(default_factory=list)
    store: Store = Store()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("FEEDPLANE_"):
            monkeypatch.delenv(name)


def usage_of(monkeypatch: pytest.MonkeyPatch, **env: str) -> list[str]:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    printed = io.StringIO()
    with pytest.raises(SystemExit) as exited, redirect_stderr(printed):
        WriterSettings.from_environment()
    assert exited.value.code == 2
    return printed.getvalue().splitlines()


def test_settings_come_from_prefixed_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDPLANE_SINK", "redis")
    monkeypatch.setenv("FEEDPLANE_METRICS_PORT", "9100")
    monkeypatch.setenv("FEEDPLANE_STORE__PORT", "6379")
    monkeypatch.setenv("FEEDPLANE_OTLP_ENDPOINT", "http://otel:4318/")
    monkeypatch.setenv("FEEDPLANE_INSTANCE", "")  # empty is unset
    settings = WriterSettings.from_environment()

    assert (settings.sink, settings.metrics_port, settings.store.port) == ("redis", 9100, 6379)
    assert settings.otlp_endpoint == "http://otel:4318"
    assert settings.metrics_host == "127.0.0.1"
    assert settings.instance
    with pytest.raises(ValidationError):
        settings.sink = "kafka"


def test_each_bad_field_is_one_line_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = usage_of(
        monkeypatch,
        FEEDPLANE_METRICS_PORT="70000",
        FEEDPLANE_LOG_LEVEL="loud",
        FEEDPLANE_STORE__PORT="0",
        FEEDPLANE_OTLP_ENDPOINT="ftp://x",
    )

    assert [line.split(":")[0] for line in lines] == [
        "FEEDPLANE_LOG_LEVEL (log_level)",
        "FEEDPLANE_METRICS_PORT (metrics_port)",
        "FEEDPLANE_OTLP_ENDPOINT (otlp_endpoint)",
        "FEEDPLANE_SINK (sink)",
        "FEEDPLANE_STORE__PORT (store.port)",
    ]
    assert "less than or equal to 65535" in lines[1]


def test_a_value_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = usage_of(
        monkeypatch,
        FEEDPLANE_SINK="redis",
        FEEDPLANE_BATCH_ROWS="canary-1",
        FEEDPLANE_OTLP_ENDPOINT="http://user:canary-2@x",
    )

    assert len(lines) == 2
    assert "canary" not in " ".join(lines)


def test_a_variable_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = usage_of(monkeypatch, FEEDPLANE_SINK="redis", FEEDPLANE_LIMITS="[1,")

    assert len(lines) == 1
    assert "limits" in lines[0]


def test_secret_is_read_without_its_line_break_and_masked(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("canary value\n")
    secret = read_secret(path)

    assert secret.get_secret_value() == "canary value"
    assert "canary" not in str(secret) + repr(secret)
    assert redaction.redacted("wrong: canary value!") == "wrong: ***!"


def test_secret_is_read_again_when_rotated_and_only_then(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "password").write_text(f"secret-{version}")
    data = tmp_path / "data"
    data.symlink_to("v1")
    first = read_secret(data / "password")
    assert read_secret(data / "password") is first

    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").replace(data)  # as the kubelet does
    assert read_secret(data / "password").get_secret_value() == "secret-v2"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read"), (b"", "empty"), (b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (b"x" * 70_000, "larger")],
)
def test_a_secret_that_cannot_be_had_names_the_path_only(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=reason) as raised:
        read_secret(path)

    assert raised.value.field == str(path)
    assert MAX_SECRET_BYTES < 70_000


def test_otlp_headers_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    path.write_text("authorization = Basic abc=\nx-tenant=a\n")
    settings = WriterSettings(sink="redis", otlp_headers_file=path)

    assert settings.otlp_headers() == {"authorization": "Basic abc=", "x-tenant": "a"}
    path.write_text("canary without separator")
    with pytest.raises(UsageError) as raised:
        settings.otlp_headers()
    assert "canary" not in str(raised.value)
    assert WriterSettings(sink="redis").otlp_headers() == {}

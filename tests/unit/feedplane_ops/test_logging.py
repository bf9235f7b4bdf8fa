import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from feedplane_ops import redaction
from feedplane_ops.logging import JsonFormatter, Sampler, iso_ns, setup_logging
from hypothesis import given
from hypothesis import strategies as st

T = 1_763_689_390_123_456_789


def line_of(event: str, /, *args: object, exc_info: Any = None, **fields: object) -> str:
    record = logging.LogRecord("feedplane.test", logging.WARNING, "x.py", 1, event, args, exc_info)
    vars(record).update(fields)
    return JsonFormatter("collector", {"instance": "a-0"}, clock=lambda: T).format(record)


def parsed(event: str, /, *args: object, exc_info: Any = None, **fields: object) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(line_of(event, *args, exc_info=exc_info, **fields))
    return line


@pytest.fixture
def known_secrets() -> Iterator[set[str]]:
    before = redaction._known.copy()
    yield redaction._known
    redaction._known.clear()
    redaction._known.update(before)


def test_a_line_has_the_fixed_phrase_and_flat_fields() -> None:
    assert parsed("frame not decoded", exchange="kraken", seq_expected=7) == {
        "ts": "2025-11-21T01:43:10.123456789Z",
        "level": "warning",
        "logger": "feedplane.test",
        "service": "collector",
        "event": "frame not decoded",
        "instance": "a-0",
        "exchange": "kraken",
        "seq_expected": 7,
    }


def test_time_keeps_its_nanoseconds() -> None:
    assert iso_ns(0) == "1970-01-01T00:00:00.000000000Z"
    assert iso_ns(1) == "1970-01-01T00:00:00.000000001Z"


@given(st.text(), st.text(), st.binary(max_size=200))
def test_no_value_can_forge_a_line_or_reach_a_terminal(event: str, text: str, frame: bytes) -> None:
    line = line_of(event, detail=text + "\r\n\x1b[31m\x9b1m\x7f", frame=frame)

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["level"] == "warning"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {1: {2: {3: {4: {5: 6}}}}}, {"s", "t"}, [b"\xff"], 10**30, None]
)
def test_any_value_makes_valid_json(value: object) -> None:
    assert "value" in parsed("odd", value=value)


def test_a_value_whose_text_fails_does_not_lose_the_line() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert parsed("odd", value=Broken())["value"] == "<Broken: RuntimeError in str()>"
    assert parsed("%s %d", "one")["event"] == "%s %d"


def test_long_values_are_cut_and_say_so() -> None:
    assert parsed("big", frame=b"x" * 10_000_000)["frame"].startswith("xxxx")
    assert len(line_of("big", frame="x" * 10_000_000, items=list(range(10**5)))) < 10_000
    assert parsed("big", body="x" * 9_000)["body"].endswith("...(of 9000)")


def test_fields_cannot_overwrite_what_a_line_is() -> None:
    line = parsed("told", event="forged", level="info", ts=0)

    assert (line["event"], line["level"], line["event_"], line["level_"]) == ("told", "warning", "forged", "info")


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "hunter-canary"},
        {"redis_password": "hunter-canary"},
        {"headers": {"Authorization": "hunter-canary", "X-MBX-APIKEY": "hunter-canary"}},
        {"url": "redis://user:hunter-canary@redis:6379/0"},
        {"url": "https://x.test/?a=1&signature=hunter-canary&b=2"},
        {"detail": "login failed: password: hunter-canary"},
        {"detail": '{"token": "hunter-canary"}'},
        {"detail": "Authorization: Bearer hunter-canary"},
        {"detail": ["nested", {"api_key": "hunter-canary"}]},
    ],
)
def test_secrets_are_masked_by_name_and_by_shape(fields: dict[str, object]) -> None:
    assert "hunter-canary" not in line_of("request failed", **fields)


def test_a_known_secret_is_masked_wherever_it_appears(known_secrets: set[str]) -> None:
    redaction.conceal("s3cr3t/value")
    try:
        raise ValueError("server said s3cr3t/value is wrong")
    except ValueError as e:
        line = line_of("failed with %s", "s3cr3t/value", exc_info=(type(e), e, e.__traceback__), note="xs3cr3t/valuex")

    assert "s3cr3t" not in line
    assert json.loads(line)["error"] == "server said *** is wrong"
    assert json.loads(line)["note"] == "x***x"


def test_a_secret_at_the_cut_leaves_no_front_half(known_secrets: set[str]) -> None:
    redaction.conceal("canary-" * 10)

    assert "canary" not in line_of("big", body="x" * 4_090 + "canary-" * 10 + "y" * 9_000)


def test_an_exception_is_one_line_with_its_traceback() -> None:
    try:
        raise KeyError("BTCUSDT")
    except KeyError as e:
        line = parsed("service failed", exc_info=(type(e), e, e.__traceback__))

    assert (line["error_type"], line["error"]) == ("KeyError", "'BTCUSDT'")
    assert "test_logging.py" in line["traceback"]


@pytest.fixture
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)


@pytest.mark.usefixtures("logging_restored")
def test_setup_sends_everything_to_one_stream() -> None:
    stream = io.StringIO()
    setup_logging("writer", "warning", stream, instance="w-1")
    logging.getLogger("a.b").warning("batch refused", extra={"table": "trades"})
    logging.getLogger("a.b").info("silent")

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["table"] == "trades"
    assert json.loads(lines[0])["instance"] == "w-1"


@pytest.mark.usefixtures("logging_restored")
def test_a_stream_that_fails_is_counted_and_harmless() -> None:
    stream = io.StringIO()
    handler = setup_logging("writer", "info", stream)
    stream.close()
    logging.getLogger("x").warning("into the void")

    assert handler.lines_lost == 1


class Clock:
    ns = 0

    def __call__(self) -> int:
        return self.ns


def test_sampler_allows_a_few_per_key_and_minute_and_counts_the_rest() -> None:
    clock = Clock()
    sampler = Sampler(2, clock)

    assert [sampler.allow("json") for _ in range(5)] == [True, True, False, False, False]
    assert sampler.allow("schema")
    assert sampler.take_suppressed("json") == 3
    assert sampler.take_suppressed("json") == 0
    assert sampler.take_suppressed("never seen") == 0
    clock.ns = 60 * 10**9
    assert sampler.allow("json")


def test_sampler_holds_a_bounded_number_of_keys() -> None:
    sampler = Sampler(1, Clock(), max_keys=10)
    for n in range(1_000):
        sampler.allow(f"key{n}")

    assert len(sampler._windows) == 10

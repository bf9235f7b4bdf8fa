import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

PREAMBLE = """
import asyncio, sys
from feedplane_core.errors import UsageError
from feedplane_ops.logging import setup_logging
from feedplane_ops.signals import run_service
setup_logging("test")
"""


def service(body: str, *, uvloop: bool = True) -> subprocess.Popen[str]:
    """A real process whose `main(stop)` is `body`; it prints "up" when it waits for something."""
    code = PREAMBLE + ("" if uvloop else "sys.modules['uvloop'] = None\n")
    code += "async def main(stop):\n" + textwrap.indent(textwrap.dedent(body), "    ")
    code += "\nsys.exit(run_service(main))"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def wait_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"


def finish(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, object]]]:
    _, err = process.communicate(timeout=10)
    return process.returncode, [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize("uvloop", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_asks_to_stop(number: signal.Signals, uvloop: bool) -> None:
    process = service('print("up", flush=True); await stop.wait(); print(stop.reason); return 7', uvloop=uvloop)
    wait_up(process)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)

    assert (process.returncode, out.strip()) == (7, number.name)
    assert json.loads(err)["signal"] == number.name


@pytest.mark.parametrize("uvloop", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_even_a_blocked_loop(number: signal.Signals, uvloop: bool) -> None:
    process = service(
        """
        print("up", flush=True)
        await stop.wait()
        print("stopping", flush=True)
        while True:
            pass
        """,
        uvloop=uvloop,
    )
    wait_up(process)
    process.send_signal(number)
    assert process.stdout is not None
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(number)

    assert finish(process)[0] == -number


def test_an_uncaught_exception_is_one_line_and_code_1() -> None:
    code, lines = finish(service("raise KeyError('BTCUSDT')"))

    assert code == 1
    (line,) = lines
    assert (line["event"], line["error_type"], line["level"]) == ("service failed", "KeyError", "critical")


def test_wrong_use_is_one_line_and_code_2() -> None:
    code, lines = finish(service("raise UsageError('spec.shards', 'must be positive', 'set it to 1')"))

    assert code == 2
    (line,) = lines
    assert (line["field"], line["error"], line["remedy"]) == ("spec.shards", "must be positive", "set it to 1")


def test_a_task_that_nobody_awaits_is_told() -> None:
    code, lines = finish(
        service(
            """
            async def bug(): raise ValueError("lost")
            asyncio.create_task(bug())
            await asyncio.sleep(0.01)
            import gc; gc.collect()
            return 0
            """
        )
    )

    assert code == 0
    assert [(line["event"], line["error"]) for line in lines] == [("unhandled error in task", "lost")]


def test_stop_wakes_a_sleeper() -> None:
    process = service('print("up", flush=True); return 5 if await stop.sleep(60) else 6')
    wait_up(process)
    process.terminate()

    assert finish(process)[0] == 5
    assert finish(service("return 5 if await stop.sleep(0.01) else 6"))[0] == 6

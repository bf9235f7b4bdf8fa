import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from feedplane_ops import parentguard
from feedplane_ops.parentguard import guarded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_program_runs_as_if_started_directly() -> None:
    argv = ["sh", "-c", 'echo "$0 $1 $GREETING"; grep SigIgn /proc/self/status; exit 7', "a b", "*"]
    env = {"PATH": os.environ["PATH"], "GREETING": "hello", "PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}
    direct = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    through = subprocess.run(guarded(argv), capture_output=True, text=True, env=env, check=False)

    assert (through.returncode, through.stdout, through.stderr) == (7, direct.stdout, "")
    assert through.stdout.startswith("a b * hello\n")


@pytest.mark.parametrize(("program", "code"), [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_a_program_that_cannot_be_started_is_told_as_by_a_shell(program: str, code: int) -> None:
    done = subprocess.run(guarded([program]), capture_output=True, text=True, check=False)

    assert done.returncode == code
    assert done.stderr.startswith(f"cannot start {program}: ")


def test_a_child_whose_parent_has_gone_already_does_not_start() -> None:
    argv = [sys.executable, "-I", "-S", parentguard.__file__, "1", "echo", "started"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (128 + signal.SIGKILL, "")


def test_a_child_does_not_outlive_a_parent_killed_with_9() -> None:
    code = """
import subprocess, time
from feedplane_ops.parentguard import guarded
child = subprocess.Popen(guarded(["sh", "-c", "echo up; exec sleep 60"]), stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)
    assert parent.stdout is not None
    child_pid = int(parent.stdout.readline())
    assert alive(child_pid)
    parent.kill()
    parent.communicate()

    deadline = time.monotonic() + 5
    while alive(child_pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)

"""First process of a machine's namespaces: `python -m feedplane_cluster.init PIDFILE`.

It mounts its own /proc, says where it can be found and sleeps. When it ends the kernel ends every process of the
namespaces and their mounts and interfaces go: no unclean stop can leave anything behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def main() -> None:
    pidfile = Path(sys.argv[1])
    outer_pid = os.readlink("/proc/self")  # the old /proc still tells the number that the outer world knows us by
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)  # volumes that pods share propagate inside
    if "--loopback" in sys.argv:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans (container shims' children) are reaped by the kernel
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    partial = pidfile.with_suffix(".new")
    partial.write_text(outer_pid)
    partial.rename(pidfile)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()

"""Coverage-guided fuzzing of every venue's decoders: `make fuzz EXCHANGE=x FOR=60s`; see README.md beside this file.

Exit code 0: nothing found; 1: findings, printed and saved in build/fuzz/<exchange>/findings/; 2: wrong use.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
from feedplane_testing.venues import REPOSITORY, exchanges

FUZZER = Path(__file__).with_name("venue_fuzzer.py")
OUTPUT = REPOSITORY / "build" / "fuzz"
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_GRACE_S = 60  # to import, read the corpus and finish the last input


def seconds_of(text: str) -> int:
    """`90`, `60s`, `10m`, `1h` as seconds."""
    found = re.fullmatch(r"([1-9][0-9]*)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 60s, 10m or 1h")
    return int(found[1]) * _UNITS_S[found[2] or "s"]


def fuzz(exchange: str, seconds: int, seed: int) -> int:
    """Fuzz one venue for `seconds`, print what was found and return how many findings there are."""
    folder = OUTPUT / exchange
    shutil.rmtree(folder / "findings", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    command = [sys.executable, str(FUZZER), exchange, str(seconds), str(seed), str(folder)]
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command, stdout=output, stderr=output, timeout=seconds + _GRACE_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    text = log.read_text(errors="replace")
    runs = re.findall(r"^Done (\d+) runs", text, re.MULTILINE)
    covered = re.findall(r" cov: (\d+) ", text)
    findings = sorted((folder / "findings").glob("*")) if (folder / "findings").exists() else []
    for path in findings:
        print_finding(path)
    ended_well = code == 0 and runs
    if not ended_well:
        print(
            f"{exchange}: the fuzzer ended with code {code}; the end of {log.relative_to(REPOSITORY)}:\n{text[-2000:]}"
        )
    print(
        f"{exchange}: {runs[-1] if runs else '?'} inputs, coverage {covered[-1] if covered else '?'}, {len(findings)} findings",
        flush=True,
    )
    return len(findings) or int(not ended_well)


def print_finding(path: Path) -> None:
    """A finding of ours as text; an input at which libFuzzer itself gave up (too slow, too much memory) by its path."""
    print(f"--- {path.relative_to(REPOSITORY)}")
    if path.suffix == ".json":
        finding = orjson.loads(path.read_bytes())
        print(f"{finding['exchange']}: {finding['door']}")
        print("\n".join(f"base64:{text}" for text in finding["inputs_base64"]))
        print(finding["traceback"])


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Fuzz the decoders of one venue, or of all in equal parts of the time."
    )
    parser.add_argument("--exchange", choices=exchanges(), help="default: all of them")
    parser.add_argument("--for", dest="seconds", type=seconds_of, default=60, help="in all, such as 60s or 10m")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations")
    options = parser.parse_args()
    chosen = exchanges(options.exchange)
    each = max(1, options.seconds // len(chosen))
    found = sum(fuzz(exchange, each, options.seed) for exchange in chosen)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""`helm test`: the operator is ready, the API server accepts a good FeedSet and refuses a bad one. Writes nothing.

Arguments: the operator's base URL, and a namespace that it watches. Runs in the operator's image with the standard
library alone. Exit code 0 when all hold, else 1 and a line for what does not.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
READY_WITHIN_S = 30.0
ENTRY: Mapping[str, object] = {
    "name": "binance-spot",
    "exchange": "binance_spot",
    "feeds": ["trades"],
    "symbols": {"include": ["BTCUSDT"]},
}


def fetch_readiness(operator: str) -> str:
    """Empty once the operator says that it is ready, else what it said last."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(f"{operator}/readyz", timeout=5):  # noqa: S310 - the chart names it
                return ""
        except OSError as e:  # refused, unknown name, 503
            said = str(e)
        if time.monotonic() > deadline:
            return f"the operator is not ready after {READY_WITHIN_S:.0f} s: {said}"
        time.sleep(1)


def fetch_verdict(namespace: str, entry: Mapping[str, object]) -> tuple[int, str]:
    """Status and message of the API server about a FeedSet with this entry, as a dry run."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    feedset = {
        "apiVersion": "feedplane.io/v1alpha1",
        "kind": "FeedSet",
        "metadata": {"name": "helm-test"},
        "spec": {"exchanges": [entry]},
    }
    request = urllib.request.Request(
        f"https://{host}:{port}/apis/feedplane.io/v1alpha1/namespaces/{namespace}/feedsets?dryRun=All",
        data=json.dumps(feedset).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"},
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, timeout=15, context=context) as reply:  # noqa: S310
            return reply.status, ""
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read()).get("message", "")


def main(operator: str, namespace: str) -> int:
    """Ask all three, and say what was found."""
    problems = [fetch_readiness(operator)]
    status, message = fetch_verdict(namespace, ENTRY)
    problems.append("" if status == 201 else f"a good FeedSet is refused with {status}: {message}")
    status, message = fetch_verdict(namespace, {**ENTRY, "exchange": "no_such_exchange"})
    is_refused = status == 422 and "spec.exchanges[0].exchange" in message
    problems.append("" if is_refused else f"a bad FeedSet is answered with {status}: {message}")
    for problem in filter(None, problems):
        print(problem)
    print("failed" if any(problems) else "operator ready, good FeedSet accepted, bad FeedSet refused")
    return 1 if any(problems) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

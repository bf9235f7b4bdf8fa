"""What an error reply asks for."""

from __future__ import annotations

import pytest
from feedplane_writer.redis_sink.errors import Verdict, code_of, is_old_id, verdict_of


@pytest.mark.parametrize(
    ("text", "code", "verdict"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", Verdict.RETRY),
        ("-OOM command not allowed when used memory > 'maxmemory'.", "OOM", Verdict.RETRY),
        ("ERR Error running script (call to f_1): @user_script: 3: -OOM command not allowed", "OOM", Verdict.RETRY),
        ("LOADING Redis is loading the dataset in memory", "LOADING", Verdict.RETRY),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", Verdict.RETRY),
        ("READONLY You can't write against a read only replica.", "READONLY", Verdict.ELSEWHERE),
        ("CLUSTERDOWN Hash slot not served", "CLUSTERDOWN", Verdict.ELSEWHERE),
        ("MOVED 3999 127.0.0.1:6381", "MOVED", Verdict.MOVED),
        ("ASK 3999 127.0.0.1:6381", "ASK", Verdict.ASK),
        ("NOSCRIPT No matching script. Please use EVAL.", "NOSCRIPT", Verdict.LOAD_SCRIPTS),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE", Verdict.REPLACE_KEY),
        ("NOAUTH Authentication required.", "NOAUTH", Verdict.LOGIN),
        ("NOPERM this user has no permissions to run the 'xadd' command", "NOPERM", Verdict.GIVE_UP),
        ("ERR value is not an integer", "ERR", Verdict.GIVE_UP),
        ("something odd", "ERR", Verdict.GIVE_UP),
    ],
)
def test_verdicts_go_by_code(text: str, code: str, verdict: Verdict) -> None:
    assert code_of(text) == code
    assert verdict_of(code) is verdict


def test_a_trade_that_is_there_already_is_told_by_text() -> None:
    assert is_old_id("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    assert not is_old_id("ERR wrong number of arguments for 'xadd' command")

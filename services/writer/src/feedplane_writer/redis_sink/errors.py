"""What an error reply asks of the writer, told by its code. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Verdict(Enum):
    """What to do with the command that was refused."""

    RETRY = "retry"  # later, at the same server
    ELSEWHERE = "elsewhere"  # this server is not, or no longer, the one: look who is, then again
    MOVED = "moved"
    ASK = "ask"
    LOAD_SCRIPTS = "load_scripts"
    LOGIN = "login"
    REPLACE_KEY = "replace_key"
    GIVE_UP = "give_up"  # no retry can help: counted, and the key's next value tries again


_VERDICTS: Final = {
    "MOVED": Verdict.MOVED,
    "ASK": Verdict.ASK,
    "NOSCRIPT": Verdict.LOAD_SCRIPTS,
    "WRONGTYPE": Verdict.REPLACE_KEY,
    "NOAUTH": Verdict.LOGIN,
    "WRONGPASS": Verdict.LOGIN,
    "OOM": Verdict.RETRY,
    "LOADING": Verdict.RETRY,
    "BUSY": Verdict.RETRY,
    "TRYAGAIN": Verdict.RETRY,
    "MISCONF": Verdict.RETRY,
    "NOREPLICAS": Verdict.RETRY,
    "READONLY": Verdict.ELSEWHERE,
    "MASTERDOWN": Verdict.ELSEWHERE,
    "CLUSTERDOWN": Verdict.ELSEWHERE,
}

_INSIDE_SCRIPT: Final = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "WRONGTYPE")


def code_of(error: str) -> str:
    """`OOM` of `OOM command not allowed ...`. Old servers hide the code of a script's command in `ERR Error running script (...): @user_script: 17: -OOM ...`."""
    code = error.split(" ", 1)[0].lstrip("-")
    if code == "ERR" and "script" in error:
        return next((inner for inner in _INSIDE_SCRIPT if inner in error), code)
    return code if code.isupper() else "ERR"


def verdict_of(code: str) -> Verdict:
    """What a code asks for."""
    return _VERDICTS.get(code, Verdict.GIVE_UP)


def is_old_id(error: str) -> bool:
    """Whether XADD found the trade in the stream already, or something newer. The server gives this refusal no code of its own."""
    return "equal or smaller than the target stream top item" in error

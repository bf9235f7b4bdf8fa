"""What all parts of the FeedSet model share: the rules of the base class and the kinds of text."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

_UNIT_SUFFIX = re.compile(r"_(ns|bytes)$")


def yaml_key(field: str) -> str:
    """`stale_after_ns` is written `staleAfter`: in the file the value carries its unit, in Python the name does."""
    return to_camel(_UNIT_SUFFIX.sub("", field))


class Spec(BaseModel):
    """A part of the FeedSet: camelCase in the file, snake_case here; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=yaml_key, validate_default=False)


NAME_MAX_CHARS = 30
DNS_LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
QUOTE_PATTERN = r"^[A-Za-z0-9]+$"
IDENTIFIER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
USER_PATTERN = r"^[A-Za-z0-9_.@-]+$"
DATA_KEY_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"

SYMBOL_PATTERN = r"^[\p{L}\p{N}]+([._:/-][\p{L}\p{N}]+)*$"
"""Letters and digits of any script (venues list non-ASCII names), single separators inside: `BTCUSDT`, `BTC-USD`,
`BTC/USD`, `tBTCF0:USTF0`. No braces, blanks, quotes or `..`: a symbol becomes part of Redis keys, URLs and file names.
"""
SYMBOL_MAX_CHARS = 40
_SYMBOL = re.compile(r"[^\W_]+(?:[._:/-][^\W_]+)*").fullmatch  # the same rule: `re` knows no \p

_HOST = r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*"
ENDPOINT_PATTERN = rf"^({_HOST}|\[[0-9a-fA-F:.]+\]):[1-9][0-9]{{0,4}}$"
ENDPOINT_MAX_CHARS = 260
_ENDPOINT = re.compile(ENDPOINT_PATTERN).fullmatch
_MAX_PORT = 65_535
_USER_INFO = re.compile(r"//[^/]*@")  # a password somebody wrote into an address is not repeated in the refusal
_SCHEME_AND_REST = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@]*@)?([^/?#]*).*$", re.DOTALL)


def is_dns_label(text: str) -> bool:
    return len(text) <= NAME_MAX_CHARS and re.fullmatch(DNS_LABEL_PATTERN, text) is not None


def is_symbol(text: str) -> bool:
    return len(text) <= SYMBOL_MAX_CHARS and _SYMBOL(text) is not None


def _check_symbol(text: str) -> str:
    if is_symbol(text):
        return text
    mended = text.strip()
    raise PydanticCustomError(
        "symbol",
        "{got} cannot be a symbol: up to {most} letters and digits with single . _ : / - between them, "
        "as the venue spells it",
        {"got": repr(text[:60]), "most": SYMBOL_MAX_CHARS, "suggestion": mended if is_symbol(mended) else None},
    )


def _check_endpoint(text: str) -> str:
    if len(text) <= ENDPOINT_MAX_CHARS and _ENDPOINT(text) and int(text.rpartition(":")[2]) <= _MAX_PORT:
        return text
    bare = _SCHEME_AND_REST.sub(r"\1", text)
    raise PydanticCustomError(
        "endpoint",
        "{got} is no host:port (no scheme, path or password; the port is 1..65535)",
        {
            "got": repr(_USER_INFO.sub("//", text)[:80]),
            "suggestion": bare if bare != text and _ENDPOINT(bare) else None,
        },
    )


DnsLabel = Annotated[str, Field(pattern=DNS_LABEL_PATTERN, max_length=NAME_MAX_CHARS)]
Symbol = Annotated[
    str,
    AfterValidator(_check_symbol),
    WithJsonSchema({"type": "string", "pattern": SYMBOL_PATTERN, "maxLength": SYMBOL_MAX_CHARS}),
]
Endpoint = Annotated[
    str,
    AfterValidator(_check_endpoint),
    WithJsonSchema({"type": "string", "pattern": ENDPOINT_PATTERN, "maxLength": ENDPOINT_MAX_CHARS}),
]
Quote = Annotated[str, Field(pattern=QUOTE_PATTERN, max_length=20)]
Identifier = Annotated[str, Field(pattern=IDENTIFIER_PATTERN, max_length=64)]
UserName = Annotated[str, Field(pattern=USER_PATTERN, max_length=64)]
Count = StrictInt


def unique(values: tuple[str, ...]) -> tuple[str, ...]:
    """Raises: PydanticCustomError naming the first value that stands twice, and where."""
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        if value in seen:
            context = {"got": str(value), "first": seen[value], "index": index}
            raise PydanticCustomError("duplicate", "{got} stands twice (already at [{first}])", context)
        seen[value] = index
    return values

"""What to do about an error, decided by its code and never by its text. Pure. Source: ClickHouse
src/Common/ErrorCodes.cpp, read 2026-11."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Verdict(Enum):
    """What an error code means for the insert."""

    RETRY = "retry"  # the server's trouble: it passes
    SCHEMA = "schema"  # the table is not as it should be: wait for whoever migrates
    AUTH = "auth"  # the credentials: wait for the secret to be rotated
    REJECT = "reject"  # these very rows will never be taken: bisect
    UNKNOWN = "unknown"  # retried like RETRY, and told


_RETRY: Final = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE: the body was cut
        23,  # CANNOT_READ_FROM_ISTREAM
        24,  # CANNOT_WRITE_TO_OSTREAM
        33,  # CANNOT_READ_ALL_DATA: the body was cut; ours are whole when they leave
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        95,  # CANNOT_READ_FROM_SOCKET
        96,  # CANNOT_WRITE_TO_SOCKET
        99,  # UNKNOWN_PACKET_FROM_CLIENT
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        164,  # READONLY
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        244,  # UNEXPECTED_ZOOKEEPER_ERROR
        252,  # TOO_MANY_PARTS
        265,  # NO_AVAILABLE_REPLICA
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        341,  # UNFINISHED
        373,  # SESSION_IS_LOCKED
        394,  # QUERY_WAS_CANCELLED
        415,  # ALL_REPLICAS_LOST
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        499,  # S3_ERROR
        667,  # NOT_INITIALIZED
        668,  # INVALID_STATE
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
        1000,  # POCO_EXCEPTION: files and sockets
        1001,  # STD_EXCEPTION: files, memory
    }
)
_SCHEMA: Final = frozenset(
    {
        8,  # THERE_IS_NO_COLUMN
        10,  # NOT_FOUND_COLUMN_IN_BLOCK
        16,  # NO_SUCH_COLUMN_IN_TABLE
        20,  # NUMBER_OF_COLUMNS_DOESNT_MATCH
        47,  # UNKNOWN_IDENTIFIER
        60,  # UNKNOWN_TABLE
        81,  # UNKNOWN_DATABASE
        122,  # INCOMPATIBLE_COLUMNS
        218,  # TABLE_IS_DROPPED
    }
)
_AUTH: Final = frozenset({192, 193, 194, 195, 497, 516})
_REJECT: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        25,  # CANNOT_PARSE_ESCAPE_SEQUENCE
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        441,  # CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)


def verdict(code: int) -> Verdict:
    """What the server's error code means."""
    for codes, meaning in (
        (_RETRY, Verdict.RETRY),
        (_REJECT, Verdict.REJECT),
        (_SCHEMA, Verdict.SCHEMA),
        (_AUTH, Verdict.AUTH),
    ):
        if code in codes:
            return meaning
    return Verdict.UNKNOWN

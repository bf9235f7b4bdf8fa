"""A WebSocket server that sends one precomputed stream as fast as its reader takes it, from a process and a core of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import multiprocessing
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def pack(messages: list[bytes]) -> bytes:
    """Server frames (text, unmasked), one after the other."""
    parts = []
    for message in messages:
        size = len(message)
        header = struct.pack("!BB", 0x81, size) if size < 126 else (
            struct.pack("!BBH", 0x81, 126, size) if size < 65_536 else struct.pack("!BBQ", 0x81, 127, size)
        )  # fmt: skip
        parts += (header, message)
    return b"".join(parts)


def _serve(stream: bytes, port_pipe: object, core: int) -> None:
    os.sched_setaffinity(0, {core})

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        writer.write(head.encode())
        step = 256 << 10
        for at in range(0, len(stream), step):
            writer.write(stream[at : at + step])
            await writer.drain()
        await reader.read()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port_pipe.send(server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def firehose(messages: list[bytes], core: int) -> Iterator[str]:
    """URL of a server for these messages; each connection gets them all once."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_serve, args=(pack(messages), theirs, core), daemon=True
    )
    process.start()
    try:
        yield f"ws://127.0.0.1:{ours.recv()}/stream"
    finally:
        process.kill()
        process.join()

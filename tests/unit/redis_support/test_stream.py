"""One who knows where Redis is, and says far more than anybody has asked."""

from __future__ import annotations

import asyncio

import hiredis
import pytest

from gateway.redis_support.stream import MAX_REPLY_BYTES, Place, Stream


async def test_of_an_answer_no_more_is_kept_than_any_can_have() -> None:
    """Red with the bound of what Redis stores: three Sentinels cost each worker 800 MB."""

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"$%d\r\n" % (4 * MAX_REPLY_BYTES))
        for _ in range(2 * MAX_REPLY_BYTES >> 20):
            writer.write(b"x" * (1 << 20))
        try:
            await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        stream = await Stream.open(Place(host, port, host), None)
        try:
            with pytest.raises(hiredis.ProtocolError):
                await stream.read()
        finally:
            stream.close()

"""A web app without dependencies on one thread, which takes as many connections as come."""

import asyncio
import os

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def serve(reader, writer):
    try:
        is_last = False
        while not is_last:
            head = await reader.readuntil(b"\r\n\r\n")
            is_last = b"\r\nconnection: close" in head.lower()
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def main():
    port = int(os.environ["PORT"])
    server = await asyncio.start_server(serve, "0.0.0.0", port, backlog=2048)
    await server.serve_forever()


asyncio.run(main())

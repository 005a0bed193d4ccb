"""What the originals need of a web framework: a route is a coroutine, and whatever it keeps is in memory.

A few lines in place of aiohttp, so that they run wherever Python does. Their faults are their own and not of these lines: with aiohttp
they would be the same. For the programs beside this one only: it reads what well-behaved clients send.
"""
import asyncio, base64, hashlib, http, json, os, struct, urllib.parse


class Request:
    def __init__(self, reader, writer, head):
        self.reader, self.writer = reader, writer
        first, *lines = head.decode().strip().split("\r\n")
        self.method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        self.path, self.query = urllib.parse.unquote(path), dict(urllib.parse.parse_qsl(query))
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.left = int(self.headers.get("content-length", 0))

    async def text(self):
        return (await self.reader.readexactly(self.left)).decode()

    async def json(self):
        return json.loads(await self.text())

    async def lines(self):
        """The body line by line, as it arrives."""
        while self.left > 0 and (line := await self.reader.readline()).endswith(b"\n"):
            self.left -= len(line)
            yield line
        if self.left > 0:
            raise ConnectionError("the client went away in the middle")


class WebSocket:
    """Of RFC 6455 what short texts take."""

    def __init__(self, request):
        self.reader, self.writer = request.reader, request.writer
        key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.writer.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())

    async def send(self, text):
        body = text.encode()
        size = bytes([len(body)]) if len(body) < 126 else struct.pack(">BH", 126, len(body))
        self.writer.write(b"\x81" + size + body)
        await self.writer.drain()

    async def __aiter__(self):
        """What the other side says, until it closes or is gone."""
        try:
            while True:
                first, size = await self.reader.readexactly(2)
                size &= 127
                if size == 126:
                    size = int.from_bytes(await self.reader.readexactly(2), "big")
                mask, body = await self.reader.readexactly(4), await self.reader.readexactly(size)
                if first & 15 == 8:
                    return
                yield bytes(byte ^ mask[n % 4] for n, byte in enumerate(body)).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return


async def serve(handle):
    """Serves `handle(request) -> (status, answer)` at LISTEN; an answer is a text or what JSON can say. Prints the URL once it is there."""

    async def answer(reader, writer):
        try:
            request = Request(reader, writer, await reader.readuntil(b"\r\n\r\n"))
            try:
                answered = await handle(request)
            except Exception as error:
                answered = 500, {"error": repr(error)}
            if answered is not None:
                status, said = answered
                body = said if isinstance(said, str) else json.dumps(said)
                kind = "text/plain" if isinstance(said, str) else "application/json"
                head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {len(body.encode())}\r\n\r\n"
                writer.write((head + body).encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The client is gone.
        finally:
            writer.close()

    host, port = os.environ.get("LISTEN", "127.0.0.1:3000").split(":")
    server = await asyncio.start_server(answer, host, int(port), backlog=1000)
    print("http://%s:%d" % server.sockets[0].getsockname(), flush=True)
    await server.serve_forever()


def run(handle, *tasks):
    """Serves until Ctrl-C, which takes what is in memory with it. `tasks` run beside."""

    async def main():
        await asyncio.gather(serve(handle), *tasks)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass


def setting(name, otherwise):
    return type(otherwise)(os.environ.get(name, otherwise))

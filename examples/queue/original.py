#!/usr/bin/env python3
"""What this began as: a server, an asyncio.Queue, three workers and a dict of results. Plain Python, nothing else.

It works, until it does not: see README.md. Written for this comparison; kept as short as such programs are.
"""
import asyncio, itertools, json, os, signal

queue, results, ids = asyncio.Queue(), {}, itertools.count(1)


async def worker():
    while True:
        id, text = await queue.get()
        words = text.split()
        for word in words:
            if word == "crash":
                raise ValueError("a defect of the program")  # Nobody hears of it, and this worker is gone for good.
            await asyncio.sleep(float(os.environ.get("WORD_MS", "200")) / 1000)
        results[id] = {"words": len(words)}  # Nothing ever takes it out again.
        queue.task_done()


async def serve(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, path, _ = head.split("\r\n")[0].split()
    length = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
    body = (await reader.readexactly(int(length[0]))).decode() if length else ""
    if method == "POST":
        id = str(next(ids))
        await queue.put((id, body))  # Without a bound.
        answer = {"id": id}
    else:
        answer = results.get(path[1:], {"state": "not ready"})  # Also what never was.
    body = json.dumps(answer).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


async def main():
    host, port = os.environ.get("LISTEN", "127.0.0.1:3000").split(":")
    workers = [asyncio.create_task(worker()) for _ in range(int(os.environ.get("WORKERS", "3")))]
    server = await asyncio.start_server(serve, host, int(port))
    print("http://%s:%d" % server.sockets[0].getsockname(), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    await stop.wait()
    server.close()
    await queue.join()  # For ever, where a worker is gone.
    for task in workers:
        task.cancel()


asyncio.run(main())

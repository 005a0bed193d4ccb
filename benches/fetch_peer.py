"""Fetches a list of URLs with aiohttp over uvloop, and keeps nothing: what `benches/fetch` tells `raincheck fetch` against.

    python fetch_peer.py LIST CONCURRENCY      prints seconds, requests and bytes

One session, so many workers that take from one iterator: how aiohttp is used where it shall be fast. It needs aiohttp and uvloop.
"""
import asyncio
import sys
import time

import aiohttp
import uvloop


async def main(path, concurrency):
    with open(path, encoding="ascii") as lines:
        urls = iter([line.strip() for line in lines])
    done = size = 0
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def worker():
            nonlocal done, size
            for url in urls:
                async with session.get(url) as response:
                    size += len(await response.read())
                    done += 1

        began = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        print(time.monotonic() - began, done, size)


uvloop.run(main(sys.argv[1], int(sys.argv[2])))

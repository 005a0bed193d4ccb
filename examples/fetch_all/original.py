#!/usr/bin/env python3
"""The pages of a list as everybody fetches them: `gather`, thousands in chunks of 30. URLs on standard input, a line each.

It prints what it has once it has everything; see README.md for what becomes of it. Plain HTTP only: with aiohttp it would be the same lines.
"""
import asyncio, json, sys, urllib.parse

CHUNK = 30


async def fetch(url):
    parts = urllib.parse.urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    writer.write(f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
    head, _, text = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    status = int(head.split()[1])
    if status >= 400:
        raise RuntimeError(f"{url}: {status}")  # What `raise_for_status` does.
    return {"url": url, "status": status, "text": text.decode()}


async def fetch_all(urls):
    pages = []
    for start in range(0, len(urls), CHUNK):
        # Waits for the slowest of the chunk; raises what the first of them raises, and the pages are gone with it.
        pages += await asyncio.gather(*(fetch(url) for url in urls[start : start + CHUNK]))
    return pages


for page in asyncio.run(fetch_all(sys.stdin.read().split())):
    print(json.dumps(page))

#!/usr/bin/env python3
"""The shop as it usually begins: orders go into an asyncio.Queue, whoever sends them and however many they are; four workers take them out.

Understands the customers of `run`; see README.md for what becomes of it.
"""
import asyncio, itertools, pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import plain

orders, served, ids = asyncio.Queue(), {}, itertools.count(1)


async def work():
    while True:
        id, order = await orders.get()
        await asyncio.sleep(plain.setting("WORK_MS", 100) / 1000)
        served[id] = order


async def handle(request):
    if request.method == "POST" and request.path == "/v1/queues/orders/jobs":
        id = next(ids)
        orders.put_nowait((id, await request.text()))
        return 202, {"id": id}
    if request.path == "/v1/queues/orders":
        return 200, {"counts": {"queued": orders.qsize()}}
    return 404, "nothing here"


plain.run(handle, *(work() for _ in range(4)))

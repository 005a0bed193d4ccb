#!/usr/bin/env python3
"""Devices that send readings, as it usually begins: each line goes into an asyncio.Queue as it comes, workers take them out.

It understands the same device.py; see README.md for what becomes of it.
"""
import asyncio, json, pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import plain

readings, devices = asyncio.Queue(plain.setting("DEPTH", 10_000)), {}


async def judge():
    while True:
        reading = await readings.get()
        await asyncio.sleep(plain.setting("WORK_MS", 1) / 1000)
        device = devices.setdefault(reading["device"], {"readings": 0, "highest": None})
        device["readings"] += 1  # Also one that was counted before its upload was cut.
        device["highest"] = max(device["highest"] or reading["celsius"], reading["celsius"])


async def handle(request):
    if request.path == "/devices":
        return 200, devices
    if request.path == "/waiting":
        return 200, {"waiting": readings.qsize()}
    if request.method == "POST" and request.path == "/v1/batches":
        lines = 0
        async for line in request.lines():
            lines += 1
            try:
                readings.put_nowait(json.loads(line)["input"])
            except asyncio.QueueFull:
                pass  # What else? The device is half way through its upload.
        return 202, {"lines": lines, "rejected": 0, "rejected_lines": []}
    return 404, "nothing here"


plain.run(handle, *(judge() for _ in range(plain.setting("WORKERS", 16))))

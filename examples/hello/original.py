#!/usr/bin/env python3
"""Hello, world, as it usually begins: a greeting that takes its time holds its connection for so long, and is in nobody's hands but its.

See README.md for what becomes of it.
"""
import asyncio, pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import plain


async def handle(request):
    if request.path == "/":
        return 200, "Hello, world!\n"
    if request.path == "/json":
        return 200, {"message": "Hello, world!"}
    if request.method == "POST" and request.path.startswith("/greetings/"):
        await asyncio.sleep(plain.setting("BREATH_MS", 1000) / 1000)
        return 200, f"Hello, {request.path.split('/')[2]}!"
    return 404, "nothing here"


plain.run(handle)

#!/usr/bin/env python3
"""Chat as it usually begins: the sockets of a room in a dict, and what is said sent to each of them in turn.

See README.md for what becomes of it.
"""
import asyncio, json, pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import plain

rooms = {}


async def tell(room, **what):
    for socket in list(rooms[room]):
        try:
            await socket.send(json.dumps(what))  # One who does not read is waited for, by all.
        except ConnectionError:
            pass


async def answer(room, said):
    for word in f"{said['by']}, you said {said['text']}: it is raining cats and dogs.".split():
        await asyncio.sleep(plain.setting("WORD_MS", 150) / 1000)
        await tell(room, word=word)  # Told to those who are here now, kept nowhere.
    await tell(room, done=True)


async def handle(request):
    if "sec-websocket-key" not in request.headers:
        return 404, "nothing here"
    room, socket = request.path.split("/")[2], plain.WebSocket(request)
    rooms.setdefault(room, []).append(socket)
    try:
        async for text in socket:
            said = json.loads(text)
            await tell(room, **said)
            if said.get("answered", True):
                await answer(room, said)
    finally:
        rooms[room].remove(socket)


plain.run(handle)

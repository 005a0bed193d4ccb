#!/usr/bin/env python3
"""The model behind HTTP as it usually is: whoever asks waits on his connection, and the model is asked for one line at a time.

See README.md for what becomes of it. The same model as beside it, hence the same guesses.
"""
import asyncio, json, math, pathlib, sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import plain
from train import features, scores

head, _, body = (HERE / "model.bin").read_bytes().partition(b"\n")
head = json.loads(head)
SIZE, KINDS, BIASES = head["size"], head["kinds"], head["biases"]
weights = [(byte - 256 if byte > 127 else byte) * head["scale"] for byte in body]
WEIGHTS = [weights[start : start + SIZE] for start in range(0, len(weights), SIZE)]

model, waiting, asked = asyncio.Semaphore(1), 0, 0


async def guess(line):
    """One line. A model on a graphics card takes as long for one line as for sixty: ASK_MS."""
    global waiting, asked
    waiting += 1  # Without a bound: each holds a connection and its memory.
    try:
        async with model:
            asked += 1
            await asyncio.sleep(plain.setting("ASK_MS", 2) / 1000)
            values = scores(WEIGHTS, BIASES, features(line))
    finally:
        waiting -= 1
    best = max(values)
    return {"kind": KINDS[values.index(best)], "certainty": 1 / sum(math.exp(value - best) for value in values)}


async def handle(request):
    if request.path == "/":
        return 200, {"kinds": KINDS, "accuracy": head["accuracy"], "waiting": waiting, "asked": asked}
    if request.method == "POST" and request.path == "/guess":
        return 200, await guess(await request.text())
    return 404, "nothing here"


plain.run(handle)

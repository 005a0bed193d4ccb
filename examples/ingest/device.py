#!/usr/bin/env python3
"""A device: uploads its readings in batches, keeps what was not taken, and goes slower when it is told to.

    device.py NAME READINGS        URL (http://localhost:3000), BATCH lines an upload (200), CUT=1: the first upload breaks off
"""
import http.client, json, math, os, sys, time, urllib.parse

URL = urllib.parse.urlsplit(os.environ.get("URL", "http://localhost:3000"))
NAME, COUNT, BATCH = sys.argv[1], int(sys.argv[2]), int(os.environ.get("BATCH", "200"))


def reading(n):
    return {"device": NAME, "n": n, "celsius": round(60 + 30 * math.sin(n / 9), 1)}


def upload(key, numbers, cut=False):
    """One batch. Repeated under its key it goes on where it broke off."""
    lines = [json.dumps({"input": reading(n), "idempotency_key": f"{NAME}-{n}"}) + "\n" for n in numbers]
    body = "".join(lines).encode()
    connection = http.client.HTTPConnection(URL.netloc, timeout=90)
    connection.putrequest("POST", "/v1/batches?queue=readings")
    connection.putheader("Content-Type", "application/x-ndjson")
    connection.putheader("Idempotency-Key", key)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    if cut:
        connection.send(body[: len(body) // 2])
        connection.close()  # The network went away in the middle.
        raise OSError("cut on purpose")
    connection.send(body)
    answer = connection.getresponse()
    document = json.loads(answer.read())
    if answer.status == 429 or answer.status == 503:
        time.sleep(int(answer.headers.get("Retry-After", "1")))
        raise OSError(document["detail"])
    if answer.status != 202:
        sys.exit(f"{answer.status}: {document}")
    return document


left, cut, uploads, rejected = list(range(COUNT)), os.environ.get("CUT") == "1", 0, 0
while left:
    now, left = left[:BATCH], left[BATCH:]
    key = f"{NAME}-upload-{uploads}"
    while True:
        try:
            batch = upload(key, now, cut)
            break
        except OSError as error:
            print("again:", error, flush=True)
            cut = False
            time.sleep(0.2)
    uploads += 1
    # What a full queue did not take comes again, later. The first 100 rejected lines are listed: no more are sent at once then.
    again = [now[line["index"]] for line in batch["rejected_lines"] if line["code"] == "queue-full"]
    if batch["rejected"] > len(batch["rejected_lines"]):
        last = batch["rejected_lines"][-1]["index"]
        again += now[last + 1 :]
    if again:
        rejected += len(again)
        BATCH = max(10, BATCH // 2)
        left = again + left
        time.sleep(0.3)
print(json.dumps({"device": NAME, "readings": COUNT, "uploads": uploads, "came_again": rejected}), flush=True)

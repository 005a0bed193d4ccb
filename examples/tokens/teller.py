#!/usr/bin/env python3
"""A Raincheck worker that tells its answer word by word, as a language model does: plain Python, nothing else.

    teller.py QUEUE        RAINCHECK_URL (http://localhost:7246), PACE in seconds a word (0.05)
"""
import json, os, sys, time, urllib.error, urllib.request

URL, PACE = os.environ.get("RAINCHECK_URL", "http://localhost:7246"), float(os.environ.get("PACE", "0.05"))


def post(path, body=b"", headers={}):
    request = urllib.request.Request(URL + path, body, {"Content-Type": "application/json"} | headers)
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.loads(answer.read() or "{}")


class Emitter:
    """Numbers chunks, and repeats one whose answer was lost: the same chunk again is kept once."""

    def __init__(self, lease):
        self.path, self.seq = "/v1/leases/" + lease, 0

    def emit(self, **chunk):
        body = json.dumps({"seq": self.seq} | chunk).encode()
        while True:
            try:
                answer = post(self.path + "/emit", body)
                break
            except urllib.error.HTTPError:  # 409: the lease is over; stop.
                raise
            except OSError:  # The server restarts: the lease lives on.
                time.sleep(0.5)
        self.seq += 1
        if answer["cancel_requested"]:
            raise InterruptedError("cancelled")


def tell(question, out):
    """Yours. What is emitted is kept at once; what is given back is the result."""
    out.emit(log=f"thinking about {len(question)} characters\n")
    words = [word + " " for word in f"You said {question} and I say it is raining cats and dogs.".split()]
    for word in words:
        time.sleep(PACE)
        out.emit(output=word)
    return "".join(words)


while True:
    try:
        claim = json.dumps({"worker": f"teller-{os.getpid()}", "lease_for": "5m"}).encode()
        for lease in post(f"/v1/queues/{sys.argv[1]}/claim?wait=30", claim).get("leases", []):
            given, out = lease["input"], Emitter(lease["lease"])
            question = given["text"] if "text" in given else json.dumps(given.get("json"))
            try:
                answer = tell(question, out)
            except InterruptedError:
                post(out.path + "/release")
                continue
            # The result equals what was emitted, so it is stored once.
            post(out.path + "/succeed", answer.encode(), {"Content-Type": "text/plain; charset=utf-8"})
    except urllib.error.HTTPError as error:
        print(error.code, json.load(error).get("detail"), flush=True)
        time.sleep(1)
    except OSError as error:
        print("again in 1 s:", error, flush=True)
        time.sleep(1)

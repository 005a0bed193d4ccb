#!/usr/bin/env python3
"""A Raincheck worker in plain Python: counts the words of each input of a queue.

    worker.py [QUEUE]      RAINCHECK_QUEUE where none is named, RAINCHECK_URL (http://localhost:7246),
                           RAINCHECK_WORKER, RAINCHECK_API_KEY, LEASE in seconds (30)
"""
import base64, json, os, signal, sys, threading, time, urllib.error, urllib.request

URL, LEASE = os.environ.get("RAINCHECK_URL", "http://localhost:7246"), int(os.environ.get("LEASE", "30"))
QUEUE = sys.argv[1] if len(sys.argv) > 1 else os.environ["RAINCHECK_QUEUE"]
CLAIM = {"worker": os.environ.get("RAINCHECK_WORKER", f"python-{os.getpid()}"), "lease_for": f"{LEASE}s"}
KEY = {"Authorization": "Bearer " + os.environ["RAINCHECK_API_KEY"]} if "RAINCHECK_API_KEY" in os.environ else {}


def post(path, body=b"", headers={}):
    request = urllib.request.Request(URL + path, body, {"Content-Type": "application/json"} | KEY | headers)
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.loads(answer.read() or "{}")


def content(it):
    if "url" in it:  # More than 64 KiB.
        return urllib.request.urlopen(urllib.request.Request(URL + it["url"], headers=KEY)).read()
    if "base64" in it:
        return base64.b64decode(it["base64"])
    return (it["text"] if "text" in it else json.dumps(it["json"])).encode()


def work(data):
    """Yours. Raise to have the job tried again."""
    time.sleep(float(os.environ.get("SLOWLY", "0")))
    return json.dumps({"words": len(data.split())}).encode()


def renew(path, done):
    while not done.wait(LEASE / 3):
        try:
            if post(path + "/renew")["cancel_requested"]:
                print("asked to stop: this small worker finishes first", flush=True)
        except OSError as error:  # The server restarts, or the lease is over: settling will tell.
            print("not renewed:", error, flush=True)


def attempt(lease):
    """Runs one attempt and gives back the next leases: they come in the answer to the settlement."""
    path, done = "/v1/leases/" + lease["lease"], threading.Event()
    threading.Thread(target=renew, args=(path, done), daemon=True).start()
    try:
        verb, body = "/succeed", work(content(lease["input"]))
    except Exception as error:
        verb, body = "/fail", json.dumps({"error": {"code": "raised", "detail": repr(error)}}).encode()
    except BaseException:  # Told to leave: another worker takes over, the attempt is not charged.
        post(path + "/release")
        raise
    finally:
        done.set()
    return post(path + verb, body, {"Raincheck-Claim": "1"})["leases"]


for number in signal.SIGTERM, signal.SIGINT:
    signal.signal(number, lambda *_: sys.exit(0))
leases = []
while True:
    try:
        leases = leases or post(f"/v1/queues/{QUEUE}/claim?wait=30", json.dumps(CLAIM).encode()).get("leases", [])
        if leases:
            leases = attempt(leases.pop())
    except urllib.error.HTTPError as error:  # 409: the lease is over, and this result counts for nothing.
        print(error.code, json.load(error).get("detail"), flush=True)
        time.sleep(float(error.headers.get("Retry-After", "0" if error.code == 409 else "1")))
    except OSError as error:  # The server is away for a moment.
        print("again in 1 s:", error, flush=True)
        time.sleep(1)

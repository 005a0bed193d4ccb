#!/usr/bin/env python3
"""The same three services as they usually call each other: each waits for the next one. Shows what becomes of an order. Plain Python.

    original.py                    orders while the payments are down, then while the mails are, and counts what came of it
    original.py shop|payments|mails   one of them; prints its URL
"""
import json, os, subprocess, sys, urllib.error, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def ask(url, body=None):
    """An answer's status and what it says; 502 where nobody is there."""
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 502, {}


class Service(BaseHTTPRequestHandler):
    seen = 0

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Service.seen += 1
        status = 200
        if NAME == "shop":
            # The customer waits for the payments, then for the mail; what fails in between stays as it is.
            for other in ("PAYMENTS", "MAILS"):
                if status == 200:
                    status, _ = ask(os.environ[other], order)
        self.answer(status, {"order": order["number"]})

    def do_GET(self):
        self.answer(200, {"seen": Service.seen})

    def answer(self, status, said):
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    started = []

    def start(name, **env):
        process = subprocess.Popen([sys.executable, __file__, name], stdout=subprocess.PIPE, text=True, env=os.environ | env)
        started.append(process)
        return process.stdout.readline().strip()

    def down(name):
        """Where it will be, once it is there."""
        url = start(name)
        process = started.pop()
        process.terminate()
        process.wait()
        return url

    def up(name, url):
        start(name, LISTEN=url.removeprefix("http://"))

    try:
        payments, mails = down("payments"), down("mails")
        shop = start("shop", PAYMENTS=payments, MAILS=mails)
        status, _ = ask(shop, {"number": 7, "euros": 42})
        print(f"the customer is answered {status} while the payments are down", flush=True)
        up("payments", payments)
        print(f"the payments are up again: {ask(payments)[1]['seen']} paid", flush=True)
        status, _ = ask(shop, {"number": 7, "euros": 42})
        print(f"the customer is answered {status} while the mails are down: {ask(payments)[1]['seen']} paid", flush=True)
        up("mails", mails)
        status, _ = ask(shop, {"number": 7, "euros": 42})
        print(f"the customer asks again and is answered {status}: {ask(payments)[1]['seen']} paid, {ask(mails)[1]['seen']} mails", flush=True)
    finally:
        for process in started:
            process.terminate()
            process.wait()


if len(sys.argv) > 1:
    NAME = sys.argv[1]
    host, port = os.environ.get("LISTEN", "127.0.0.1:0").split(":")
    server = ThreadingHTTPServer((host, int(port)), Service)
    print("http://%s:%d" % server.server_address[:2], flush=True)
    server.serve_forever()
main()

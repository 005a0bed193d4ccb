#!/usr/bin/env python3
"""Three services that call each other without waiting, and a collector of traces. Plain Python, nothing else.

    service.py shop|payments|mails|collector      prints its URL, then a line for each request: NAME TRACE WHAT

The shop answers its customer once the order is on Raincheck's disk. Raincheck calls payments (push), then the shop again
(callback), which has the mail sent (push). Nobody waits for anybody, and nothing is lost where one of them is down.
"""
import base64, hashlib, hmac, json, os, sys, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROUTES = {"shop": ("orders", "paid"), "payments": ("pay",), "mails": ("send",), "collector": ()}
NAME, RAINCHECK = sys.argv[1], os.environ.get("RAINCHECK_URL", "http://localhost:7246")


def ask(path, body=None, headers={}):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(RAINCHECK + path, data, {"Content-Type": "application/json"} | headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def signed(headers, body):
    """Whether Raincheck sent this (Standard Webhooks): anybody could ask this URL."""
    secret = base64.b64decode(os.environ["SECRET"].split("_", 1)[1])
    told = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(secret, told, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(f"v1,{mac}", one) for one in headers["webhook-signature"].split())


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if NAME == "collector":
            return self.collect(body)
        route = self.path[1:]
        status, answer = getattr(self, route)(body) if route in ROUTES[NAME] else (404, {})
        answer = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def say(self, what):
        trace = self.headers.get("traceparent", "--").split("-")[1] or "none"
        print(NAME, trace, what, flush=True)

    def orders(self, body):
        """The shop: a customer orders. `Idempotency-Key` is the order's number: a customer who asks twice pays once."""
        order = json.loads(body)
        self.say(f"order {order['number']}")
        job = ask("/v1/queues/payments/jobs", order, {
            "Idempotency-Key": f'"order-{order["number"]}"',
            "Raincheck-Callback": f'"http://{self.headers["Host"]}/paid";events="succeeded"',
            "traceparent": self.headers.get("traceparent", ""),
        })
        return 202, {"order": order["number"], "follow": RAINCHECK + job["urls"]["self"]}

    def pay(self, body):
        """Payments, called by Raincheck. `Idempotency-Key` is the job's id: called again, it does not pay again."""
        order = json.loads(body)
        self.say(f"{order['euros']} euros for order {order['number']}, attempt {self.headers['Raincheck-Attempt']}")
        return 201, {"number": order["number"], "paid": order["euros"]}

    def paid(self, body):
        """The shop again: Raincheck tells that the payment is done."""
        if not signed(self.headers, body):
            return 401, {}
        told = json.loads(body)
        number = told["data"]["result"]["json"]["number"]
        self.say(f"order {number} is paid ({told['type']})")
        ask("/v1/queues/mails/jobs", {"to": "customer", "number": number},
            {"Idempotency-Key": f'"mail-{number}"', "traceparent": self.headers.get("traceparent", "")})
        return 200, {}

    def send(self, body):
        self.say(f"mail about order {json.loads(body)['number']}")
        return 200, {"sent": True}

    def collect(self, body):
        """Spans, as protobuf: a trace's id stands in them as it is, so looking for it takes no parser."""
        trace = os.environ.get("TRACE", "")
        if trace:
            print(NAME, trace, f"{body.count(bytes.fromhex(trace))} spans", flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


host, port = os.environ.get("LISTEN", "127.0.0.1:0").split(":")
server = ThreadingHTTPServer((host, int(port)), Service)
print(f"http://{host}:{server.server_address[1]}", flush=True)
server.serve_forever()

#!/usr/bin/env python3
"""The web application as it usually is: the report is made by its route, with code that was never written for an event loop.

See README.md for what becomes of it.
"""
import pathlib, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import plain

made = 0


def make_report(month):
    """As from a library: it computes, or asks a database, and does not return before it is done."""
    global made
    for _page in range(4):
        time.sleep(plain.setting("PAGE_MS", 500) / 1000)
    made += 1
    return f"month,cats,dogs\n{month},12,7\n"


async def handle(request):
    if request.path == "/empty":
        return 204, ""
    if request.path.startswith("/json/"):
        return 200, {"name": request.path.split("/")[2], "query": request.query}
    if request.path == "/made":
        return 200, {"made": made}
    if request.method == "POST" and request.path.startswith("/reports/"):
        # Nobody else is answered meanwhile; and a second click makes it a second time.
        return 200, make_report(request.path.split("/")[2])
    return 404, "nothing here"


plain.run(handle)

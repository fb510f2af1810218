"""The upstream of the benchmarks: prepared bytes over a real socket, in a process of its own."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

Scope = dict[str, Any]

ROW = {"id": "1", "name": "Customer 1", "email": "c1@example.org", "tier": "gold"}
ONE = json.dumps({"data": {"customer": ROW}}).encode()
HUNDRED = json.dumps({"data": {"customers": [{**ROW, "id": str(i)} for i in range(100)]}}).encode()
_TYPE = (b"content-type", b"application/json")


async def app(scope: Scope, receive: Any, send: Any) -> None:
    """Answers `/one` and `/hundred`, whatever is asked."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    body = HUNDRED if scope["path"] == "/hundred" else ONE
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [_TYPE, length]})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def running(port: int = 4290) -> Iterator[str]:
    """The upstream's address, while it runs; on the last CPU, away from what is measured."""
    command = [sys.executable, "-m", "uvicorn", "benchmarks.upstream:app", "--port", str(port), "--no-access-log"]
    with subprocess.Popen([*command, "--log-level", "error", "--lifespan", "off"]) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(100):
                try:
                    urllib.request.urlopen(f"{url}/one", timeout=1).read()
                    break
                except OSError:
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()

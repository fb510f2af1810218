"""An upstream that costs next to nothing, in a process of its own: for measuring the gateway at its limit."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.faults.process import text_of
from tests.testkit.ports import free_port

DELAY_S = 0.01


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers a batch of orders, ten milliseconds late."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await asyncio.sleep(DELAY_S)
    keys = json.loads(body)["variables"]["ids"] if body else []
    answer = json.dumps({"data": {"orders": [{"id": key, "text": text_of("orders", key)} for key in keys]}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Its address, while it runs."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.faults.fast_upstream:app", "--port", str(port)]
    quiet = ["--no-access-log", "--log-level", "error", "--lifespan", "off"]
    with subprocess.Popen([*command, *quiet]) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(200):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(url, timeout=1).read()
                    break
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()

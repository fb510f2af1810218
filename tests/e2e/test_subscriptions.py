"""Subscriptions of `gateway serve` as a process: what becomes of them when it is told to stop."""

import asyncio
import json
import signal
from pathlib import Path

import httpx
import websockets
import yaml

from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, running

_END_S = 20  # uvicorn would wait for 30 seconds, and then say so
WAIT = "subscription { onceAndWait { number } }"
CONFIG = {
    "mode": "development",
    "imports": ["schema.customers", "tests.gateway.subscriptions.ticks"],
    "services": {name: {"rest": "http://127.0.0.1:9"} for name in ("customers", "bank")},
}


async def test_a_process_that_is_told_to_stop_lets_everybody_go_and_ends_at_once(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [*GATEWAY, "serve", "--config", str(file), "--port", str(port)]
    with running(command, f"{url}/health/ready", environment={"PYTHONWARNINGS": "error"}) as process:
        async with (
            websockets.connect(
                url.replace("http", "ws") + "/graphql", subprotocols=[websockets.Subprotocol("graphql-transport-ws")]
            ) as socket,
            httpx.AsyncClient(trust_env=False, timeout=30) as http,
            http.stream(
                "POST", f"{url}/graphql", json={"query": WAIT}, headers={"accept": "text/event-stream"}
            ) as stream,
        ):
            await socket.send('{"type":"connection_init"}')
            assert json.loads(await socket.recv()) == {"type": "connection_ack"}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": WAIT}}))
            assert json.loads(await socket.recv())["type"] == "next"
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: next"
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(_END_S):
                await socket.wait_closed()
                rest = [line async for line in lines]
        assert socket.close_code == 1001
        assert "event: complete" not in rest
        said, _ = await asyncio.to_thread(process.communicate, timeout=_END_S)
        assert "Traceback" not in said
        assert "running task" not in said
        assert said.count("subscription ended") == 2

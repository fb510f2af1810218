import httpx
import pytest

from tests.testkit.balancer import balancer
from tests.testkit.ports import bound_port
from tests.testkit.raw_server import Connection, Handler, raw_server

CLOSE = {"connection": "close"}


def saying(text: bytes) -> Handler:
    async def answer(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\n" + text)

    return answer


async def leaving(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def test_requests_go_to_the_servers_in_turn() -> None:
    async with (
        raw_server(saying(b"one")) as one,
        raw_server(saying(b"two")) as two,
        balancer([one.port, two.port]) as between,
        httpx.AsyncClient(headers=CLOSE, trust_env=False) as http,
    ):
        said = [(await http.post(between.url, content=b"body")).text for _ in range(4)]
        assert sorted(said) == ["one", "one", "two", "two"]
        assert (between.moved_on, between.given_up) == (0, 0)


async def test_a_server_that_refuses_or_leaves_is_passed_over() -> None:
    with bound_port() as nobody:
        async with (
            raw_server(leaving) as gone,
            raw_server(saying(b"two")) as two,
            balancer([nobody, gone.port, two.port]) as between,
            httpx.AsyncClient(headers=CLOSE, trust_env=False) as http,
        ):
            assert {(await http.post(between.url, content=b"body")).text for _ in range(6)} == {"two"}
            assert between.moved_on == 4


async def test_a_request_that_nobody_answers_is_counted() -> None:
    with bound_port() as nobody:
        async with balancer([nobody]) as between, httpx.AsyncClient(headers=CLOSE, trust_env=False) as http:
            with pytest.raises(httpx.TransportError):
                await http.get(between.url)
        assert between.given_up == 1

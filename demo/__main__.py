"""`python -m demo`: the upstreams alone, until Ctrl-C."""

import asyncio
import contextlib
import signal

from demo.run import serve_demo


async def main() -> None:
    """Serve until interrupted."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve_demo() as demo:
        for name, url in demo.urls.items():
            print(f"{name:10} {url}")
        print(f"{'switches':10} {demo.control_url}")
        await stop.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

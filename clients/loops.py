"""The running event loop, for who needs it often.

CPython before 3.12 asks for the process's id each time that it is asked for the running loop or task: a system call.
Together they were a sixth of a small request.
"""

import asyncio
from typing import Any


class RunningLoop:
    """Remembers the loop that its owner runs on; notices when it is another one."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop; to be asked by a task. One that runs a task now is the one that runs."""
        loop = self._loop
        if loop is None or asyncio.current_task(loop) is None:
            loop = self._loop = asyncio.get_running_loop()
        return loop

    def task(self) -> asyncio.Task[Any]:
        """The running task.

        Raises:
            RuntimeError: there is none.
        """
        loop = self._loop
        task = None if loop is None else asyncio.current_task(loop)
        if task is None:
            self._loop = asyncio.get_running_loop()
            task = asyncio.current_task(self._loop)
            if task is None:
                raise RuntimeError("this needs a task")
        return task

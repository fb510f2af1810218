"""What stands before everything that is for operators only."""

from typing import Any

from starlette.requests import Request

from gateway.identity.operators import Operators
from gateway.ops.envelope import Ask


def for_operators(operators: Operators, ask: Ask) -> Ask:
    """The same, but it refuses everybody else; `request.state.caller` is who asks."""

    async def guarded(request: Request) -> Any:
        request.state.caller = await operators.require(request.scope)
        return await ask(request)

    return guarded

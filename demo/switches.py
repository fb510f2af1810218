"""Break and mend a running demo from another process."""

from typing import Any

import httpx

from demo.faults import Mode

CONTROL_URL = "http://127.0.0.1:4100"
"""Where the demo's control server listens by default."""


class DemoError(Exception):
    """A switch that could not be thrown: the demo does not run, or the target or mode is unknown. Says what to do."""


def break_(target: str, mode: str, *, control_url: str = CONTROL_URL, **options: float) -> dict[str, Any]:
    """Break `target` (`customers.graphql`, `customers`, `all`), and give back the fault it has now.

    Args:
        target: an upstream's protocol, a whole upstream, or `all`.
        mode: one of `demo.faults.Mode`.
        control_url: the demo's control server.
        options: `delay_ms`, `rate`, `retry_after_s`, for the modes that use them.

    Raises:
        DemoError: with the valid targets or modes.
    """
    if mode not in list(Mode):
        raise DemoError(f"there is no mode {mode}; the modes are {', '.join(Mode)}")
    fault: dict[str, Any] = _ask("POST", target, control_url, {"mode": mode, **options})["fault"]
    return fault


def mend(target: str, *, control_url: str = CONTROL_URL) -> None:
    """Mend `target`, whether it is broken or not.

    Raises:
        DemoError: with the valid targets.
    """
    _ask("DELETE", target, control_url)


def list_faults(*, control_url: str = CONTROL_URL) -> dict[str, Any]:
    """By upstream: `url`, `down`, and by protocol `fault` (or None), `requests`, `failed`.

    Raises:
        DemoError: the demo does not run.
    """
    upstreams: dict[str, Any] = _ask("GET", "", control_url)["upstreams"]
    return upstreams


def _ask(method: str, target: str, control_url: str, body: dict[str, Any] | None = None) -> Any:
    try:
        with httpx.Client(trust_env=False, timeout=5) as client:
            answer = client.request(method, f"{control_url}/{target}", json=body)
            found = answer.json()
    except (httpx.TransportError, ValueError) as error:
        raise DemoError(f"the demo does not run: no answer from {control_url}; start it with: make run") from error
    if answer.is_error:
        raise DemoError(found["error"])
    return found

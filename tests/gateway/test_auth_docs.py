"""The examples of docs/how-to/authenticate.md work as they stand there."""

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from clients.auth import sign
from gateway.config import load
from tests.testkit.certificates import make_certificates

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "authenticate.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(source: str, name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(source, vars(module))
    return module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where gateway.yaml stands, with the files that the examples name."""
    for name in ("crm-token", "erp-key", "crm-client-secret", "crm-signing-key"):
        (tmp_path / name).write_text("0123456789abcdef\n")
    made = make_certificates(tmp_path)
    made.client.rename(tmp_path / "gateway.crt")
    made.client_key.rename(tmp_path / "gateway.key")
    own = run(next(text for text in PYTHON if "acme/auth.py" in text), "acme.auth")
    monkeypatch.setitem(sys.modules, "acme", types.ModuleType("acme"))
    monkeypatch.setitem(sys.modules, "acme.auth", own)
    return tmp_path


def test_every_example_of_gateway_yaml_is_valid(folder: Path) -> None:
    kinds = set()
    for text in YAML:
        (folder / "gateway.yaml").write_text(text)
        config = load(folder / "gateway.yaml", {"CRM_KEY": "k", "GEO_KEY": "k", "OLD_PASSWORD": "p"})
        kinds |= {type(service.auth).__name__ for service in config.services.values()}
    assert kinds == {"ApiKeyAuth", "BasicAuth", "BearerAuth", "CustomAuth", "HmacAuth", "NoneType", "OAuth2Auth"}


def test_the_verifying_example_takes_what_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    example: Any = run(next(text for text in PYTHON if "def who_signed" in text), "backend")
    url, key = "http://crm/api?a=1", b"0123456789abcdef"
    monkeypatch.setattr(example, "time", types.SimpleNamespace(time=lambda: 1000))
    headers = sign("GET", url, {}, b"", key=key, key_id="gateway", created=1000, nonce="1")
    assert example.who_signed("GET", url, headers, b"") == "gateway"
    assert example.who_signed("GET", url, {**headers, "x-tenant-id": "evil"}, b"") is None

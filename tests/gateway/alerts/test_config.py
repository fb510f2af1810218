"""`alerts:` of gateway.yaml."""

from pathlib import Path

import pytest

from gateway.auth import SecretFile
from gateway.config import ConfigError, load, parse

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def _refused(text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse(text, environment)
    return str(refused.value)


def test_without_a_section_troubles_are_lines_of_the_log() -> None:
    assert parse("", {}).alerts.webhooks == []
    assert parse("", {}).alerts.stale_ratio == 0.1


@pytest.mark.parametrize(
    ("webhook", "said"),
    [
        ("{ url: ftp://c4n4ry, secret: SECRET }", "alerts.webhooks[0].url: expected a URL"),
        ("{ url: 'https://h/{c4n4ry}', secret: SECRET }", "alerts.webhooks[0].url: has characters"),
        ("{ url: 'https://h/ c4n4ry', secret: SECRET }", "alerts.webhooks[0].url: has characters"),
        ("{ url: 'https://h:port/c4n4ry', secret: SECRET }", "alerts.webhooks[0].url: expected a URL"),
        ("{ url: 'https://c4n4ry:x@h/', secret: SECRET }", "alerts.webhooks[0].url: expected neither user"),
        ("{ url: https://h/, secret: whsec_c4n4ry }", "alerts.webhooks[0].secret: expected whsec_ and base64"),
        ("{ url: https://h/, secret: [c4n4ry] }", "alerts.webhooks[0].secret: "),
        ("{ url: https://h/, secret: SECRET, types: [] }", "alerts.webhooks[0].types: is empty"),
        ("{ url: https://h/, secret: SECRET, types: [circuit.open] }", "alerts.webhooks[0].types[0]: "),
        ("{ url: https://h/, secret: { file: /nowhere/secret } }", "alerts.webhooks[0].secret.file: /nowhere/secret"),
    ],
)
def test_what_cannot_be_used_is_refused_and_not_quoted(webhook: str, said: str) -> None:
    refusal = _refused(f"alerts: {{ webhooks: [{webhook.replace('SECRET', SECRET)}] }}")
    assert said in refusal
    assert "c4n4ry" not in refusal


def test_an_address_that_is_there_twice_is_refused() -> None:
    webhook = f"{{ url: https://h/a, secret: {SECRET} }}"
    assert "alerts.webhooks[1].url: is there twice" in _refused(f"alerts: {{ webhooks: [{webhook}, {webhook}] }}")


def test_a_secret_comes_from_the_environment_or_from_a_file_beside_gateway_yaml(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "alerts: { webhooks: [{ url: https://a/, secret: '${HOOK}' }, { url: https://b/, secret: { file: secret } }] }"
    )
    one, other = load(file, {"HOOK": SECRET}).alerts.webhooks
    assert one.secret == SECRET
    assert other.secret == SecretFile(str(tmp_path / "secret"))
    assert SECRET not in repr((one, other))
    assert "https" not in repr((one, other))

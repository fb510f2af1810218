"""The examples of docs/how-to/identify.md and of `ops:` in operate.md work as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import yaml

from gateway.app import create_app
from gateway.config import load, parse
from tests.testkit.serve import serve

FOLDER = Path(__file__).parents[3] / "docs" / "how-to"
PAGE = (FOLDER / "identify.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
OPERATE = re.search(r"```yaml\n(ops:.*?)```", (FOLDER / "operate.md").read_text(), re.DOTALL)


def test_every_example_of_gateway_yaml_is_valid() -> None:
    assert len(YAML) == 3
    for text in YAML:
        parse(f"{text}\nredis: {{ url: redis://redis }}", {})
    assert OPERATE is not None
    parse(OPERATE[1], {"ADMIN_TOKEN": "0123456789abcdef"})


def printed(source: str, folder: Path) -> str:
    """What a script prints."""
    made = subprocess.run(
        [sys.executable, "-c", source], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return made.stdout.strip()


async def test_a_token_of_the_example_is_good(tmp_path: Path) -> None:
    source = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    token = printed(source, tmp_path)
    config = yaml.safe_load(YAML[0])
    config["identity"]["jwt"]["issuers"][0]["jwks"] = "keys.json"
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
    headers = {"authorization": f"Bearer {token}"}
    async with (
        serve(create_app(load(tmp_path / "gateway.yaml"))) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        answers = [
            await http.post("/graphql", json={"query": "{ health { status } }"}, headers=sent)
            for sent in (headers, {}, {**headers, "x-tenant-id": "other"})
        ]
    assert [answer.status_code for answer in answers] == [200, 401, 403]
    assert answers[0].text == '{"data":{"health":{"status":"OK"}}}'

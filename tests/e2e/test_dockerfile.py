"""The Dockerfile's steps, run in a clean folder: what it copies is enough to install, and what it installs serves."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.testkit.ports import free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
BUILD, FINAL = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]


def steps(stage: str, word: str) -> list[str]:
    return [line.removeprefix(word).strip() for line in stage.splitlines() if line.startswith(f"{word} ")]


def test_the_steps_install_a_gateway_that_serves(tmp_path: Path) -> None:
    for step in steps(BUILD, "COPY"):
        *sources, target = step.split()
        for source in sources:
            found = ROOT / source
            if found.is_dir():
                shutil.copytree(found, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(found, tmp_path / target)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    for step in steps(BUILD, "RUN"):
        subprocess.run(["sh", "-ec", step], cwd=tmp_path, env=environment, check=True, timeout=300)
    config = tmp_path / "gateway.yaml"
    config.write_text("mode: production\n")
    port = str(free_port())
    inside = {**environment, "PATH": f"{tmp_path / '.venv' / 'bin'}:{environment['PATH']}"}
    command = [*json.loads(steps(FINAL, "ENTRYPOINT")[0]), *json.loads(steps(FINAL, "CMD")[0])]
    here = {"/etc/breakwater/gateway.yaml": str(config), "0.0.0.0": "127.0.0.1", "4000": port}
    command = [here.get(part, part) for part in command]
    with subprocess.Popen(command, cwd="/", env=inside, stderr=subprocess.PIPE) as process:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=8), trust_env=False) as client:
                assert client.get(f"http://127.0.0.1:{port}/health/ready", timeout=30).status_code == 200
            check = steps(FINAL, "HEALTHCHECK")[0].split("CMD ", 1)[1].replace(":4000/", f":{port}/")
            subprocess.run(json.loads(check), env=inside, check=True, timeout=30)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def test_the_image_runs_without_root_and_has_a_health_check() -> None:
    assert steps(FINAL, "USER") == ["10001:10001"]
    assert steps(FINAL, "STOPSIGNAL") == ["SIGTERM"]
    assert len(steps(FINAL, "HEALTHCHECK")) == 1
    assert all(re.search(r"-slim\b", line) for line in DOCKERFILE.splitlines() if line.startswith("FROM"))


def test_no_build_tool_is_in_the_last_stage() -> None:
    assert "pip" not in FINAL
    assert "apt" not in FINAL

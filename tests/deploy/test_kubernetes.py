"""The manifests of deploy/ fit the gateway, the image, and one another."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.alerts.sending import FLUSH_S
from gateway.config import Config, load
from gateway.telemetry.config import MetricsConfig
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, gateway, running
from tests.testkit.redis import RedisServer
from tests.testkit.webhooks import SECRET

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SECRETS = {
    "ADMIN_TOKEN": "0123456789abcdef0123456789abcdef",
    "REDIS_URL": "redis://redis:6379/0",
    "ALERTS_URL": "https://hooks.example.org/breakwater",
    "ALERTS_SECRET": SECRET,
}


def _kind(kind: str) -> Any:
    manifests = [manifest for file in KUBERNETES.glob("*.yaml") for manifest in yaml.safe_load_all(file.read_text())]
    [found] = [manifest for manifest in manifests if manifest.get("kind") == kind]
    return found


def _deployment() -> Any:
    return _kind("Deployment")


def _pod() -> Any:
    return _deployment()["spec"]["template"]["spec"]


@pytest.fixture
def config() -> Config:
    return load(KUBERNETES / "gateway.yaml", SECRETS)


def test_every_file_is_part_of_the_kustomization_but_those_that_need_an_operator() -> None:
    kustomization = _kind("Kustomization")
    [config_map], [secret] = kustomization["configMapGenerator"], kustomization["secretGenerator"]
    named = {*kustomization["resources"], *config_map["files"], "kustomization.yaml", "podmonitor.yaml"}
    assert named == {file.name for file in KUBERNETES.iterdir() if file.name != "secret.env"}
    [container] = _pod()["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": secret["name"]}}]
    assert {"name": "config", "configMap": {"name": config_map["name"]}} in _pod()["volumes"]
    assert [image["name"] for image in kustomization["images"]] == [container["image"]]


def test_everything_selects_the_pods_that_there_are() -> None:
    labels = _deployment()["spec"]["template"]["metadata"]["labels"]
    selectors = [
        _deployment()["spec"]["selector"]["matchLabels"],
        _kind("Service")["spec"]["selector"],
        _kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        _kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        _kind("PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    target = _kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", _deployment()["metadata"]["name"])
    [monitored] = _kind("PodMonitor")["spec"]["podMetricsEndpoints"]
    [port] = _pod()["containers"][0]["ports"]
    [served] = _kind("Service")["spec"]["ports"]
    assert monitored["port"] == port["name"] == served["targetPort"] == "http"
    annotations = _deployment()["spec"]["template"]["metadata"]["annotations"]
    assert monitored["path"] == annotations["prometheus.io/path"] == MetricsConfig().path
    assert str(port["containerPort"]) == annotations["prometheus.io/port"]
    assert f"EXPOSE {port['containerPort']}\n" in DOCKERFILE


def test_the_configuration_passes_the_check() -> None:
    checked = gateway("check", "--config", str(KUBERNETES / "gateway.yaml"), environment=SECRETS)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_variable_of_the_configuration_is_in_the_secret_and_in_compose() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", (KUBERNETES / "gateway.yaml").read_text()))
    assert used == set(SECRETS)
    told = re.search(r"^secretGenerator:.*$", (KUBERNETES / "kustomization.yaml").read_text(), re.MULTILINE)
    assert told is not None
    assert set(re.findall(r"(\w+)=", told[0])) == used
    assert set(yaml.safe_load(COMPOSE.read_text())["services"]["gateway"]["environment"]) == used


def test_there_is_time_to_stop(config: Config) -> None:
    needed_s = config.server.grace_s(development=False) + config.server.shutdown_timeout_s + FLUSH_S
    assert _pod()["terminationGracePeriodSeconds"] >= needed_s + 5
    assert yaml.safe_load(COMPOSE.read_text())["services"]["gateway"]["stop_grace_period"] == "60s"
    readiness = _pod()["containers"][0]["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < config.server.grace_s(development=False)


def test_it_runs_as_the_user_of_the_image_without_any_right() -> None:
    [user] = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    pod, container = _pod()["securityContext"], _pod()["containers"][0]["securityContext"]
    assert (str(pod["runAsUser"]), str(pod["runAsGroup"])) == user
    assert pod["runAsNonRoot"] is True
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert _pod()["automountServiceAccountToken"] is False


def test_compose_runs_what_is_in_the_repository() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert (COMPOSE.parent / services["gateway"]["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    for service in services.values():
        for volume in service.get("volumes", ()):
            assert (COMPOSE.parent / volume.split(":")[0]).exists()
    assert services["gateway"]["environment"]["REDIS_URL"].startswith("redis://redis:")


# Refuses writes as a read-only root file system does: all but what is below the folder for temporary files.
_READ_ONLY = """
import errno, os, sys

def _refuse(event, arguments, _tmp=os.environ["TMPDIR"], _log=os.environ["REFUSED"]):
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    elif event in {"os.mkdir", "os.rename", "os.remove", "os.symlink"}:
        path, writes = arguments[0], True
    else:
        return
    if not writes or not isinstance(path, (str, bytes)):
        return
    path = os.path.abspath(os.fsdecode(path))
    if not path.startswith((_tmp, "/dev/", "/proc/self/")):
        if "__pycache__" not in path and path != _log:
            descriptor = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, f"{event} {path}\\n".encode())
            os.close(descriptor)
        if path != _log:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

sys.addaudithook(_refuse)
"""


def test_its_probes_pass_where_nothing_but_tmp_can_be_written(tmp_path: Path, redis: RedisServer) -> None:
    (site := tmp_path / "site").mkdir()
    (site / "sitecustomize.py").write_text(_READ_ONLY)
    (tmp := tmp_path / "tmp").mkdir()
    refused = tmp_path / "refused"
    [container] = _pod()["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts["/tmp"] in {volume["name"] for volume in _pod()["volumes"] if "emptyDir" in volume}
    environment = {
        **SECRETS,
        "REDIS_URL": redis.url,
        "PYTHONPATH": str(site),
        "TMPDIR": str(tmp),
        "REFUSED": str(refused),
    }
    write = [sys.executable, "-c", f"open({str(tmp_path / 'file')!r}, 'w')"]
    tried = {**os.environ, **environment, "REFUSED": str(tmp_path / "tried")}
    assert b"Read-only file system" in subprocess.run(write, env=tried, capture_output=True, check=False).stderr
    port = free_port()
    file = str(KUBERNETES / "gateway.yaml")
    command = [*GATEWAY, "serve", "--config", file, "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(command, f"{url}{container['startupProbe']['httpGet']['path']}", environment=environment):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            response = httpx.get(f"{url}{container[probe]['httpGet']['path']}", trust_env=False, timeout=20)
            assert response.status_code == 200
        metrics = httpx.get(f"{url}/metrics", trust_env=False, timeout=20)
        assert metrics.status_code == 200
        asked = httpx.post(f"{url}/graphql", json={"query": "{ health { status } }"}, trust_env=False, timeout=20)
        assert asked.json()["data"]["health"]["status"]
    assert not refused.exists(), refused.read_text()

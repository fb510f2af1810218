"""The rules for Prometheus and the dashboard for Grafana name metrics and labels that there are."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import yaml
from prometheus_client import parser

from gateway.telemetry.metrics import METRICS, PROCESS_METRICS
from tests.deploy.promql import Named, named
from tests.e2e.test_federation import CROSSING, running_shop
from tests.testkit.redis import redis_server
from tests.testkit.upstream import status

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TARGET = {"job", "instance", "worker"}
"""Labels that Prometheus adds, and the one that processes have which serve together."""


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    expr: str
    record: str | None = None
    alert: str | None = None
    for_: str | None = msgspec.field(name="for", default=None)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Group(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    rules: list[Rule]


class Rules(msgspec.Struct, forbid_unknown_fields=True):
    groups: list[Group]


class Target(msgspec.Struct):
    expr: str
    legendFormat: str  # noqa: N815 - Grafana's name


class Place(msgspec.Struct):
    x: int
    y: int
    w: int
    h: int


class Panel(msgspec.Struct):
    id: int
    type: str
    title: str
    gridPos: Place  # noqa: N815 - Grafana's name
    targets: list[Target] = []
    description: str = ""


class Variables(msgspec.Struct):
    list: list[dict[str, Any]]


class Dashboard(msgspec.Struct):
    uid: str
    title: str
    schemaVersion: int  # noqa: N815 - Grafana's name
    templating: Variables
    panels: list[Panel]


RULES = [
    rule
    for group in msgspec.convert(yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text()), Rules).groups
    for rule in group.rules
]
ALERTS = [rule for rule in RULES if rule.alert is not None]
DASHBOARD = msgspec.json.decode((DEPLOY / "grafana" / "breakwater.json").read_bytes(), type=Dashboard)


def _table() -> dict[str, set[str]]:
    """Labels of every series of the table, those of Prometheus included."""
    found = {"up": TARGET}
    for metric in METRICS:
        if metric.kind == "histogram":
            found |= {f"{metric.name}_{end}": {*metric.labels, *TARGET} for end in ("sum", "count")}
            found[f"{metric.name}_bucket"] = {*metric.labels, "le", *TARGET}
        else:
            found[metric.name] = {*metric.labels, *TARGET}
    found |= {name: {"generation", *TARGET} if "_gc_" in name else TARGET for name in PROCESS_METRICS}
    for rule in RULES:
        if rule.record is not None:
            kept = named(rule.expr).kept
            assert kept is not None
            found[rule.record] = kept - {"le"}
    return found


TABLE = _table()


def _plain(expr: str) -> str:
    """A panel's expression with values for its variables."""
    return re.sub(r"\$\w+", "x", expr.replace("$__rate_interval", "5m"))


PANELS = [(f"{panel.title}: {target.legendFormat}", target) for panel in DASHBOARD.panels for target in panel.targets]


def _unknown(of: Named) -> Iterator[str]:
    reachable = set()
    for metric, matched in of.metrics.items():
        if metric not in TABLE:
            yield metric
            continue
        reachable |= TABLE[metric]
        yield from (f"{metric}{{{label}}}" for label in matched - TABLE[metric])
    yield from of.grouped - reachable


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert or rule.record)
def test_a_rule_names_metrics_and_labels_of_the_table(rule: Rule) -> None:
    assert not list(_unknown(named(rule.expr)))


@pytest.mark.parametrize(("title", "target"), PANELS, ids=[title for title, _ in PANELS])
def test_a_panel_names_metrics_and_labels_of_the_table(title: str, target: Target) -> None:
    found = named(_plain(target.expr))
    assert not list(_unknown(found))
    shown = set(re.findall(r"\{\{(\w+)\}\}", target.legendFormat))
    assert shown <= (found.kept or set())


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.alert)
def test_an_alert_says_what_to_do_and_shows_labels_that_it_has(rule: Rule) -> None:
    assert set(rule.annotations) == {"summary", "description", "runbook"}
    assert rule.labels["severity"] in {"critical", "warning"}
    assert rule.for_ is not None
    found = named(rule.expr)
    has = found.kept if found.kept is not None else set.intersection(*(TABLE[metric] for metric in found.metrics))
    assert set(re.findall(r"\$labels\.(\w+)", " ".join(rule.annotations.values()))) <= has
    page, _, heading = rule.annotations["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    assert not heading or heading in {
        re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings
    }


def test_what_is_recorded_is_of_the_level_its_name_says() -> None:
    for rule in RULES:
        if rule.record is not None:
            level, _, _ = rule.record.split(":")
            assert level in TABLE[rule.record], rule.record


def test_prometheus_scrapes_the_job_that_the_rules_are_about() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    [scraped] = config["scrape_configs"]
    assert f'up{{job="{scraped["job_name"]}"}}' in " ".join(rule.expr for rule in RULES)
    assert all((DEPLOY / "prometheus" / name).exists() for name in config["rule_files"])


def test_the_dashboard_can_be_imported() -> None:
    assert {variable["name"] for variable in DASHBOARD.templating.list} == {"datasource", "job", "instance", "service"}
    for variable in DASHBOARD.templating.list[1:]:
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
        assert label in TABLE[metric]
    assert [panel.title for panel in DASHBOARD.panels if panel.type == "row"] == [
        "Gateway",
        "Upstreams",
        "Circuits",
        "Caches",
        "Process",
    ]
    assert len({panel.id for panel in DASHBOARD.panels}) == len(DASHBOARD.panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel.gridPos for panel in DASHBOARD.panels):
        cells = {(x, y) for x in range(place.x, place.x + place.w) for y in range(place.y, place.y + place.h)}
        assert not cells & taken
        assert place.x + place.w <= 24
        taken |= cells
    assert all(panel.description for panel in DASHBOARD.panels if panel.type != "row")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped() -> AsyncIterator[Mapping[str, set[str]]]:
    """What a federated gateway with Redis tells after good and bad calls: labels by series."""
    endpoints = {"endpoints": {"origins": ["http://127.0.0.1:9"]}, "graphql": "http://erp.test/graphql"}
    services = {"products": {"cache": {"max_age_s": 600}, "rate": {"per_s": 1000, "capacity": 1000}}, "erp": endpoints}
    with redis_server() as redis:
        sections = {"redis": {"url": redis.url, "timeout_s": 0.5}}
        async with running_shop(sections, services) as shop:
            for _ in range(2):
                await shop.ask(CROSSING)
            shop.reviews.graphql.behave(status(500))
            await shop.ask(CROSSING)
            await shop.ask("{ nothing }")
            text = (await shop.gateway.http.get("/metrics")).text
    found: dict[str, set[str]] = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    yield found


@pytest.mark.asyncio(loop_scope="module")
async def test_all_that_is_named_is_in_a_scrape_of_a_gateway(scraped: Mapping[str, set[str]]) -> None:
    exprs = [*(rule.expr for rule in RULES), *(_plain(target.expr) for _, target in PANELS)]
    recorded = {rule.record for rule in RULES}
    for expr in exprs:
        found = named(expr)
        reachable = TARGET.union(*(scraped.get(metric, TABLE[metric]) for metric in found.metrics))
        assert found.grouped <= reachable, expr
        for metric, matched in found.metrics.items():
            if metric != "up" and metric not in recorded:
                assert metric in scraped, expr
                assert matched <= scraped[metric] | TARGET, expr

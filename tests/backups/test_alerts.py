"""Alerts that can fire, and that somebody knows what to do about."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

from streams.figures import Figures, IntakeFigures
from tests.running import ROOT

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "infra/monitoring/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in RULES]
WORKERS = ("conversations", "replies", "history", "live", "billing", "notifications", "outbox")


@pytest.fixture(scope="module")
def told() -> set[str]:
    """Every name that the /metrics of our processes know, and the one that Prometheus makes itself."""
    for module in ("edge.api", "edge.gateway", *(f"streams.workers.{worker}" for worker in WORKERS)):
        import_module(module)
    none = Figures(**{name: {} if "lag" in name or name == "watermarks" else 0 for name in Figures.__annotations__})
    families: list[Metric] = [*REGISTRY.collect(), *IntakeFigures("t", "g", lambda: none).collect()]
    return {"up", *(f"{f.name}_total" if f.type == "counter" else f.name for f in families)}


def names(expression: Any) -> Iterator[str]:
    """The metrics that a PromQL expression reads."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression.name
    for part in ("lhs", "rhs", "expr", "vector_selector"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from names(inner)
    for argument in getattr(expression, "args", None) or []:
        yield from names(argument)


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_reads_what_is_told(rule: dict[str, Any], told: set[str]) -> None:
    """Its expression is PromQL, and each metric in it is one that a process tells: a misspelt one would never fire."""
    read = set(names(promql_parser.parse(rule["expr"])))

    assert read
    assert read <= told


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """It has a severity, a sentence, and a heading in the runbook."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (Path(ROOT) / path).read_text(), re.MULTILINE)
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]

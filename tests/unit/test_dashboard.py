"""The dashboard's file is what its list says, asks for what there is, and leads to help."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana import model
from deploy.grafana.panel import Panel
from deploy.grafana.rows import ROWS
from tests.support.pages import DOCS, ROOT, anchors
from tests.unit.test_docs_reference import ALERTS, metric_families

CORE_PANELS = {"row", "stat", "timeseries"}  # what every Grafana has, without a plugin
GRAFANA = ROOT / "deploy" / "grafana"

Json = dict[str, Any]


def committed() -> Json:
    return json.loads(model.FILE.read_text())


def panels() -> list[Panel]:
    return [panel for row in ROWS for panel in row.panels]


def texts() -> list[str]:
    return [query.expr for panel in panels() for query in panel.queries]


def names() -> set[str]:
    """What may stand in a query: histograms only by their parts."""
    known = {"up"}
    for name, (kind, _) in metric_families().items():
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        known |= {name + part for part in parts}
    return known


# The file


def test_the_file_is_what_the_list_says() -> None:
    assert model.FILE.read_text() == model.written(), "run: python -m deploy.grafana"


def test_the_address_of_the_docs_can_be_written_into_it() -> None:
    variables = model.dashboard("https://docs.example")["templating"]["list"]

    assert [v["current"]["value"] for v in variables if v["name"] == "docs"] == [
        "https://docs.example"
    ]


def test_it_needs_nothing_but_a_grafana_of_version_10() -> None:
    dashboard = committed()

    assert dashboard["schemaVersion"] == 38
    assert dashboard["id"] is None
    assert {panel["type"] for panel in dashboard["panels"]} == CORE_PANELS


def test_the_data_source_is_asked_for_and_not_written_in() -> None:
    sources = re.findall(r'"type": "prometheus",\s+"uid": "([^"]*)"', model.FILE.read_text())

    assert set(sources) == {"${datasource}"}
    assert committed()["templating"]["list"][0]["type"] == "datasource"


def test_no_panel_lies_on_another() -> None:
    places = [panel["gridPos"] for panel in committed()["panels"]]

    for place in places:
        assert place["x"] + place["w"] <= model.WIDTH
    for one, other in combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        ), (one, other)  # fmt: skip


def test_no_two_panels_have_one_number_or_one_title() -> None:
    shown = committed()["panels"]

    assert len({panel["id"] for panel in shown}) == len(shown)
    assert len({panel["title"] for panel in shown}) == len(shown)


# The queries


@pytest.mark.parametrize("text", texts())
def test_a_query_asks_for_metrics_that_are_there(text: str) -> None:
    named = set(re.findall(r"\b(\w+)\{", text))

    assert named
    assert named <= names()


def test_every_metric_has_a_panel() -> None:
    shown = {name for text in texts() for name in re.findall(r"\b(\w+)\{", text)}

    for name, (kind, _) in metric_families().items():
        parts = {f"{name}_bucket", f"{name}_sum"} if kind == "histogram" else {name}
        assert parts & shown, f"no panel shows {name}"


@pytest.mark.parametrize("text", texts())
def test_a_query_asks_for_the_chosen_ports_only(text: str) -> None:
    asked = re.findall(r"\{([^}]*)\}", text)

    assert all(chosen.endswith("OURS") for chosen in asked)
    assert not re.search(r"\b(?:gateway|process)_\w+\b(?!\{)", text)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel.title)
def test_a_legend_names_labels_that_are_kept(panel: Panel) -> None:
    for query in panel.queries:
        kept = {
            label for by in re.findall(r"by \(([^)]*)\)", query.expr) for label in by.split(", ")
        }
        assert query.legend
        assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) == kept - {"le"}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel.title)
def test_labels_are_those_of_the_metric(panel: Panel) -> None:
    families = metric_families()
    for query in panel.queries:
        [*metrics] = re.findall(r"\b(\w+)\{", query.expr)
        known = {"le", "instance"}
        for metric in metrics:
            known |= set(families.get(metric, ("", ()))[1])
        by = {label for by in re.findall(r"by \(([^)]*)\)", query.expr) for label in by.split(", ")}
        asked = set(re.findall(r'(\w+)=~?"', query.expr))
        assert by | asked <= known


# What to do


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel.title)
def test_a_panel_leads_to_a_section_of_the_runbook(panel: Panel) -> None:
    page, _, anchor = panel.runbook.partition("#")

    assert panel.says.endswith(".")
    assert (DOCS / "runbooks" / page).is_file()
    assert not anchor or anchor in anchors(DOCS / "runbooks" / page)


def test_the_panels_of_an_alert_and_the_panel_it_leads_to_agree() -> None:
    """Every alert has a panel, and leads to the first of them."""
    first: dict[str, str] = {}
    for number, panel in model.numbered():
        for alert in panel.alerts:
            first.setdefault(alert, f"/d/{model.UID}?viewPanel={number}")
    led = re.findall(
        r"- alert: (\w+)\n(?:(?!- alert:).)*?dashboard: (\S+)", ALERTS.read_text(), re.DOTALL
    )

    assert dict(led) == first
    assert set(first) == set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel.title)
def test_a_panel_turns_red_where_an_alert_of_its_does(panel: Panel) -> None:
    """But for counts, of which one is worth a look and several are an alert."""
    if panel.bound is None or panel.unit == "short" or not panel.alerts:
        return
    rules = ALERTS.read_text()
    bounds = {
        float(number)
        for alert in panel.alerts
        for rule in re.findall(rf"- alert: {alert}\n(.*?)labels:", rules, re.DOTALL)
        for number in re.findall(r"> ([\d.e]+)", rule)
    }

    assert panel.bound in bounds


# How Grafana finds it


def provisioned(file: str) -> str:
    return (GRAFANA / "provisioning" / file).read_text()


def test_the_guide_puts_the_file_where_the_provider_looks() -> None:
    [path] = re.findall(r"^ +path: (\S+)$", provisioned("dashboards/gateway.yml"), re.MULTILINE)

    assert path in (DOCS / "runbooks" / "README.md").read_text()
    assert Path(path).name == "gateway"


def test_the_data_source_knows_how_often_prometheus_looks() -> None:
    prometheus = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    [scraped] = re.findall(r"scrape_interval: (\w+)", prometheus)
    [told] = re.findall(r"timeInterval: (\w+)", provisioned("datasources/prometheus.yml"))

    assert told == scraped

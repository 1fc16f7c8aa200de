"""The dashboard as Grafana 10 and later read it: the classic JSON model, with core panels only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy.grafana.panel import Panel, Query, Row
from deploy.grafana.rows import ROWS

UID: Final = "gateway"
SCHEMA_VERSION: Final = 38  # of Grafana 10.0; later ones carry it over as they read it
FILE: Final = Path(__file__).parent / "dashboards" / "gateway.json"

WIDTH: Final = 24
_BIG: Final = (6, 4)  # width and height
_CURVES: Final = (8, 8)
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_OURS: Final = 'job=~"$job",instance=~"$instance"'

Json = dict[str, Any]


def written(docs: str = "") -> str:
    """The file. ``docs``: the address of the docs, for links to the runbook."""
    return json.dumps(dashboard(docs), indent=2) + "\n"


def dashboard(docs: str) -> Json:
    return {
        "id": None,
        "uid": UID,
        "title": "Gateway",
        "description": "Are clients served, how fast, who is slow, is Redis well, who is leaving?",
        "tags": ["gateway"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair over all panels: what happened at the same time
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "annotations": {"list": [_alerts_that_fire()]},
        "links": [],
        "templating": {"list": _variables(docs)},
        "panels": list(_panels()),
    }


def numbered() -> Iterator[tuple[int, Panel]]:
    """Every panel with its number, by which alerts lead to it: its row's in the hundreds."""
    for row_number, row in enumerate(ROWS, 1):
        for number, panel in enumerate(row.panels, 1):
            yield 100 * row_number + number, panel


def query_text(query: Query) -> str:
    """What Prometheus is asked, with Grafana's variables."""
    return query.expr.replace("OURS", _OURS).replace("[RATE]", "[$__rate_interval]")


def _variables(docs: str) -> list[Json]:
    return [
        {
            "type": "datasource",
            "name": "datasource",
            "label": "Data source",
            "query": "prometheus",
            "regex": "",
            "current": {},
            "options": [],
            "hide": 0,
            "refresh": 1,
            "multi": False,
            "includeAll": False,
        },
        _label_values("job", "Job", "label_values(gateway_build_info, job)")
        | {"current": {"selected": True, "text": "gateway", "value": "gateway"}},
        # `up` knows those too that cannot be scraped.
        _label_values("instance", "Port", 'label_values(up{job=~"$job"}, instance)')
        | {
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        },
        {
            "type": "textbox",
            "name": "docs",
            "label": "Address of the docs",
            "query": docs,
            "current": {"selected": True, "text": docs, "value": docs},
            "options": [{"selected": True, "text": docs, "value": docs}],
            "hide": 0,
        },
    ]


def _label_values(name: str, label: str, query: str) -> Json:
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"{name}-values"},
        "regex": "",
        "sort": 1,
        "refresh": 2,  # as the range of time changes
        "current": {},
        "options": [],
        "hide": 0,
        "multi": False,
        "includeAll": False,
    }


def _alerts_that_fire() -> Json:
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Gateway.*",alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "step": "30s",
    }


def _panels() -> Iterator[Json]:
    ids = {id(panel): number for number, panel in numbered()}
    y = 0
    for number, row in enumerate(ROWS, 1):
        yield {
            "id": 100 * number,
            "type": "row",
            "title": row.question,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        }
        y += 1
        for panel, place in _placed(row, y):
            yield _panel(panel, ids[id(panel)], place)
            y = max(y, place["y"])
        y += place["h"]


def _placed(row: Row, y: int) -> Iterator[tuple[Panel, Json]]:
    x = height = 0
    for panel in row.panels:
        w, h = _BIG if panel.big else _CURVES
        if x + w > WIDTH or (height and h != height):
            x, y = 0, y + height
        yield panel, {"x": x, "y": y, "w": w, "h": h}
        x, height = x + w, h


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": "stat" if panel.big else "timeseries",
        "title": panel.title,
        "description": _description(panel),
        "datasource": _SOURCE,
        "gridPos": place,
        "links": [
            {
                "title": f"Runbook: {panel.runbook}",
                "url": f"${{docs:raw}}/runbooks/{panel.runbook}",
                "targetBlank": True,
                "type": "link",
                "icon": "",
                "tooltip": "",
                "tags": [],
                "asDropdown": False,
                "includeVars": False,
                "keepTime": False,
            }
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _STAT if panel.big else _TIMESERIES,
        "targets": [
            {
                "refId": chr(ord("A") + n),
                "datasource": _SOURCE,
                "editorMode": "code",
                "expr": query_text(query),
                "legendFormat": query.legend,
                "range": True,
                "instant": False,
            }
            for n, query in enumerate(panel.queries)
        ],
    }


def _description(panel: Panel) -> str:
    alerts = f"\n\nAlerts: {', '.join(panel.alerts)}." if panel.alerts else ""
    return f"{panel.says}\n\nRunbook: docs/runbooks/{panel.runbook}{alerts}"


def _field(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "red" if panel.red_below else "green", "value": None}]
    if panel.bound is not None:
        steps.append({"color": "green" if panel.red_below else "red", "value": panel.bound})
    field: Json = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "thresholds" if panel.big else "palette-classic"},
        "mappings": [],
        "min": 0,
    }
    if not panel.big:
        field["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 10,
            "showPoints": "auto",
            "spanNulls": False,
            "thresholdsStyle": {"mode": "off" if panel.bound is None else "dashed"},
        }
    return field


_STAT: Final[Json] = {
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "colorMode": "value",
    "graphMode": "area",
    "textMode": "auto",
    "justifyMode": "auto",
    "orientation": "auto",
}
_TIMESERIES: Final[Json] = {
    "legend": {
        "showLegend": True,
        "displayMode": "table",
        "placement": "bottom",
        "calcs": ["lastNotNull", "max"],
    },
    "tooltip": {"mode": "multi", "sort": "desc"},
}

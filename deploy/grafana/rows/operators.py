"""What concerns those who run the gateway, and none of its clients."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panel import Panel, Query, Row

OPERATORS: Final = Row("Are operators served?", (
    Panel(
        "Keys refused at the admin page",
        "Keys shown at its socket that are none. A few: somebody types, or has a page from before"
        " the keys were changed. Many: somebody tries; `admin key refused` in the log says from"
        " where.",
        "operators.md#keys-are-refused",
        (Query("sum by (instance) (increase(gateway_admin_keys_refused_total{OURS}[RATE]))",
               "{{instance}}"),),
        alerts=("GatewayAdminKeysRefused",),
    ),
    Panel(
        "Spans of traces",
        "Those of sampled traces, where GATEWAY_OPENTELEMETRY is on. `failed`: the collector did"
        " not take them. `dropped`: too many waited for it. Nobody else is held up.",
        "operators.md#traces-are-lost",
        (Query("sum by (outcome) (rate(gateway_spans_total{OURS}[RATE]))", "{{outcome}}"),),
        unit="ops", alerts=("GatewaySpansLost",),
    ),
))  # fmt: skip

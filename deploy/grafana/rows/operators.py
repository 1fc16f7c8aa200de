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
))  # fmt: skip

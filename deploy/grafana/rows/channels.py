"""Whether publications reach their subscribers."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panel import Panel, Query, Row

CHANNELS: Final = Row("Do channels reach everybody?", (
    Panel(
        "Subscriptions and channels",
        "Connections in channels, and channels subscribed at each worker.",
        "channels.md#limits",
        (
            Query("sum(gateway_subscriptions{OURS})", "subscriptions"),
            Query("sum(gateway_channels{OURS})", "channels"),
        ),
    ),
    Panel(
        "Publications and deliveries",
        "Asked of this gateway, and given to subscribers. Deliveries by publications is how many"
        " subscribers a channel has.",
        "channels.md#a-hot-channel",
        (
            Query("sum(rate(gateway_publications_total{OURS}[RATE]))", "publications"),
            Query("sum(rate(gateway_deliveries_total{OURS}[RATE]))", "deliveries"),
        ),
        unit="ops",
    ),
    Panel(
        "Publications that fail",
        "Not sent, or nobody knows. `full`: more than Redis takes. `refused`: Redis says no."
        " `not_connected`, `unknown`: it is away.",
        "channels.md#publications-fail",
        (Query("sum by (why) (rate(gateway_publications_failed_total{OURS}[RATE]))", "{{why}}"),),
        unit="cps", alerts=("GatewayPublicationsFail",),
    ),
    Panel(
        "Gaps",
        "A worker missed publications of a channel, and told its positioned subscribers. One break"
        " of one connection is a gap in many channels, once.",
        "channels.md#gaps",
        (Query("sum by (why) (increase(gateway_channel_gaps_total{OURS}[RATE]))", "{{why}}"),),
        alerts=("GatewayChannelGaps",),
    ),
    Panel(
        "Recoveries",
        "Clients that came back and wanted what they had missed. Many not recovered: the history is"
        " shorter than the outages. Make history_size or history_ttl larger.",
        "channels.md#recoveries-fail",
        (Query("sum by (outcome) (rate(gateway_recoveries_total{OURS}[RATE]))", "{{outcome}}"),),
        unit="cps", alerts=("GatewayRecoveriesFail",),
    ),
    Panel(
        "Presence",
        "Members of channels with presence. It falls and subscriptions do not: Redis does not take"
        " them.",
        "channels.md#presence-is-not-written",
        (Query("sum(gateway_presence_members{OURS})", "members"),),
    ),
    Panel(
        "Workers whose presence is not written",
        "Nobody can subscribe where presence is kept. Redis is away or refuses.",
        "channels.md#presence-is-not-written",
        (Query("sum(gateway_presence_failing{OURS})", "workers"),),
        alerts=("GatewayPresenceFails",), bound=1,
    ),
    Panel(
        "Keys of tokens",
        "Fetches of each JWKS. Failed: its server, or the way there. Known keys go on being good.",
        "channels.md#the-jwks-is-away",
        (Query("sum by (key_set, outcome)"
               " (increase(gateway_key_set_fetches_total{OURS}[RATE])) > 0",
               "{{key_set}}, {{outcome}}"),),
        alerts=("GatewayKeySetFails",),
    ),
))  # fmt: skip

"""What workers stand on, who of them leaves, and what each still takes."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panel import Panel, Query, Row, quantiles, use

REDIS: Final = Row("Is Redis well?", (
    Panel(
        "Since the last probe",
        "Every worker sends itself a probe through Redis. All ports rise: Redis or the network is"
        " away. One rises: that worker is deaf.",
        "redis.md",
        (Query("max by (instance) (gateway_canary_age_seconds{OURS})", "{{instance}}"),),
        unit="s", alerts=("GatewayRedisAway",), bound=10,
    ),
    Panel(
        "Through Redis and back",
        "Time of those probes. Slow with event loops that are held: it is the workers. Without:"
        " Redis' own slow log, its CPU, or the network. Silent: none comes back.",
        "redis.md#redis-is-slow",
        quantiles("gateway_broker_roundtrip_seconds", 0.5, 0.9, 0.99),
        unit="s", alerts=("GatewayRedisSlow",), bound=0.05,
    ),
    Panel(
        "Redis refuses",
        "Errors that Redis answered with. `memory`: it is full. `permission`: its ACL. `moved`: a"
        " failover, if it ends. The log has Redis' own words.",
        "redis.md#redis-refuses",
        (Query("sum by (kind) (rate(gateway_redis_errors_total{OURS}[RATE])) > 0", "{{kind}}"),),
        unit="cps", alerts=("GatewayRedisRefuses", "GatewayRedisRefusesAtTimes"),
    ),
    Panel(
        "Subscriptions broken",
        "Gaps in what workers hear: once for each connection to Redis that broke. Again and again:"
        " its limits on output, timeouts, or the network.",
        "links.md",
        (
            Query("sum(increase(gateway_resyncs_total{OURS}[RATE]))", "of inboxes"),
            Query("sum(increase(gateway_channel_resyncs_total{OURS}[RATE]))", "of channels"),
        ),
        alerts=("GatewayResyncs",),
    ),
    Panel(
        "Load on Redis",
        "Batches between workers, and publications that were asked for. Batches fall to none and"
        " connections do not: Redis is away.",
        "redis.md#look",
        (
            Query("sum(rate(gateway_link_batches_total{OURS}[RATE]))", "batches"),
            Query("sum(rate(gateway_publications_total{OURS}[RATE]))", "publications asked for"),
        ),
        unit="ops",
    ),
    Panel(
        "Envelopes in a batch",
        "Near 1 at low load, more under load. Near 1 under load: each peer has little.",
        "links.md#look",
        (Query("sum(rate(gateway_link_envelopes_total{OURS}[RATE]))"
               " / (sum(rate(gateway_link_batches_total{OURS}[RATE])) > 0)", "envelopes"),),
    ),
    Panel(
        "Unreadable",
        "Envelopes that nobody understands: versions too far apart, or somebody else publishes on"
        " the gateway's channels.",
        "links.md#unreadable",
        (Query("sum(increase(gateway_envelopes_unreadable_total{OURS}[RATE]))", "unreadable"),),
        alerts=("GatewayUnreadable",), bound=1,
    ),
    Panel(
        "Who says where Redis is",
        "Sentinels that do not answer. Workers whose Sentinels have no quorum: nobody is promoted."
        " Workers that no Sentinel, or no node of the Cluster, tells: none can connect anew.",
        "redis.md#nobody-says-where-redis-is",
        (
            Query("sum(gateway_redis_unlocated{OURS})", "workers that are not told"),
            Query("max(gateway_redis_sentinels_away{OURS})", "Sentinels away"),
            Query("sum(gateway_redis_quorum_lost{OURS})", "workers without a quorum"),
        ),
        alerts=("GatewayRedisUnlocated", "GatewaySentinelsAway", "GatewayQuorumLost"), bound=1,
    ),
    Panel(
        "Masters of the Cluster that are away",
        "Workers that cannot publish to it. For some seconds: a failover. Longer: it has no"
        " replica that could take over. What lives there waits.",
        "redis.md#a-master-is-away",
        (Query("sum by (master) (gateway_redis_master_away{OURS})", "{{master}}"),),
        alerts=("GatewayMasterAway",), bound=1,
    ),
    Panel(
        "Slots without a master",
        "Of the Cluster's 16,384. What lives in them is served by nobody, and all of it where"
        " `cluster-require-full-coverage` is `yes`.",
        "redis.md#slots-without-a-master",
        (Query("max(gateway_redis_slots_uncovered{OURS})", "slots"),),
        alerts=("GatewaySlotsUncovered",), bound=1,
    ),
))  # fmt: skip

LEAVING: Final = Row("Who is leaving?", (
    Panel(
        "Connections closed, by code",
        "1000 and 1001 are clients that leave, 3001 a drain. 1006 is a network or a killed client,"
        " 1011 a handler; others are in the reference of close codes. Those that died with their"
        " worker have no code: connections fall, and nothing is closed.",
        "clients.md#sockets-close",
        (Query("sum by (code) (rate(gateway_connections_closed_total{OURS}[RATE])) > 0",
               "{{code}}"),),
        unit="cps", alerts=("GatewayClosesSockets",),
    ),
    Panel(
        "Workers that died",
        "Ended without leaving; a drain is not counted. The system's log knows about memory, the"
        " supervisor's about signals and exit codes.",
        "workers-die.md",
        (Query("sum(increase(gateway_worker_deaths_total{OURS}[RATE]))", "deaths"),),
        alerts=("GatewayWorkersDie",), bound=1,
    ),
    Panel(
        "Messages moved from the dead",
        "Handed to another worker because theirs had gone. After one death: some, once. Steadily:"
        " workers die at their messages.",
        "workers-die.md#look",
        (Query('sum(rate(gateway_dispatches_total{outcome="moved",OURS}[RATE]))', "moved"),),
        unit="ops", alerts=("GatewayWorkersDie",),
    ),
    Panel(
        "Farewells given up",
        "Connections whose on_disconnect was not run, or not to its end: no handler worker for too"
        " long, or handlers that kill their workers.",
        "handlers.md#disconnects-are-given-up",
        (Query("sum(increase(gateway_disconnects_given_up_total{OURS}[RATE]))", "given up"),),
        alerts=("GatewayDisconnectsGivenUp",),
    ),
    Panel(
        "Versions",
        "What runs. Two versions for longer than a rollout: it got stuck.",
        "workers-die.md#a-rollout-is-stuck",
        (Query("count by (version) (gateway_build_info{OURS})", "{{version}}"),),
        alerts=("GatewayVersionsDiffer",),
    ),
))  # fmt: skip

LIMITS: Final = Row("How near are the limits?", (
    Panel(
        "Connections, of those allowed",
        "Of the fullest worker of a port, and of all. Near 100 % it refuses with 503. Add workers,"
        " or let each have more.",
        "clients.md#a-worker-is-full",
        use("connections", "gateway_connections", "gateway_max_connections"),
        unit="percentunit", alerts=("GatewayFull",), bound=0.8,
    ),
    Panel(
        "Channels, of those allowed",
        "Of the fullest worker of a port, and of all. Near 100 % subscriptions to new channels are"
        " refused. Add workers, or let each have more.",
        "channels.md#limits",
        use("channels", "gateway_channels", "gateway_max_channels"),
        unit="percentunit", alerts=("GatewayChannelsFull",), bound=0.8,
    ),
    Panel(
        "Subscriptions refused",
        "A worker of that port has all the channels that it may have; another may have room.",
        "channels.md#limits",
        (Query("sum by (instance) (increase(gateway_channels_refused_total{OURS}[RATE]))",
               "{{instance}}"),),
        alerts=("GatewayChannelsFull",), bound=1,
    ),
    Panel(
        "Handlers, of those that may run at once",
        "Of the busiest worker of a port, and of all. Near 100 % messages wait for a handler's end."
        " Find out why they take long before you let more of them run.",
        "handlers.md#handlers-are-slow",
        use("handlers", "gateway_handlers_running", "gateway_max_handlers"),
        unit="percentunit", alerts=("GatewayHandlersTaken",), bound=0.8,
    ),
    Panel(
        "File descriptors, of those allowed",
        "Of the worker of a port that has most, and of all. Near 100 % it accepts no socket. Raise"
        " LimitNOFILE, and restart.",
        "clients.md#out-of-file-descriptors",
        use("open_files", "process_open_fds", "process_max_fds"),
        unit="percentunit", alerts=("GatewayOpenFiles",), bound=0.9,
    ),
    Panel(
        "CPU of the workers of a port",
        "In cores. Near one core a worker: add workers.",
        "handlers.md#answers-are-slow",
        (Query("sum by (instance) (rate(process_cpu_seconds_total{OURS}[RATE]))", "{{instance}}"),),
    ),
    Panel(
        "Memory of the workers of a port",
        "Rises with connections. Without: slow clients, or a leak; HUP replaces the workers one by"
        " one.",
        "clients.md#slow-clients",
        (Query("sum by (instance) (process_resident_memory_bytes{OURS})", "{{instance}}"),),
        unit="bytes",
    ),
))  # fmt: skip

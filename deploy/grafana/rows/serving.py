"""Whether clients are served, how fast, and who keeps others waiting."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panel import Panel, Query, Row, quantiles

SERVED: Final = Row("Are clients served?", (
    Panel(
        "Ports",
        "Ports of the gateway that answer Prometheus. Fewer than you run: look at whether their"
        " supervisor lives, and what it said last.",
        "workers-die.md",
        (Query("sum(up{OURS})", "up"),),
        alerts=("GatewayDown", "GatewayTargetDown"), bound=1, red_below=True, big=True,
    ),
    Panel(
        "Workers",
        "Workers that are believed to live. It should be what you started; who is missing has died"
        " or is fenced. One that was replaced at once was not missing: see workers that died.",
        "workers-die.md",
        (Query("max(gateway_workers{OURS})", "workers"),),
        alerts=("GatewayWorkersMissing",), bound=2, red_below=True, big=True,
    ),
    Panel(
        "Handler workers",
        "Living workers that take new messages. None: nothing is answered. Start workers, or look"
        " why those that run do not take any.",
        "handlers.md#no-handler-worker",
        (Query("max(gateway_handler_workers{OURS})", "handler workers"),),
        alerts=("GatewayAnswersNothing",), bound=1, red_below=True, big=True,
    ),
    Panel(
        "Connections",
        "Open connections of all ports. A fall to none within seconds: a port or the network before"
        " it is gone. In waves: clients are closed and come back.",
        "clients.md#sockets-close",
        (Query("sum(gateway_connections{OURS})", "connections"),),
        big=True,
    ),
    Panel(
        "Connections by port",
        "Where they are. A port that gets none: its readiness, and the proxy's view of it.",
        "clients.md#sockets-close",
        (Query("sum by (instance) (gateway_connections{OURS})", "{{instance}}"),),
    ),
    Panel(
        "Handshakes",
        "Accepted, and refused by reason. It says whose fault it is: the client's (origin, token),"
        " a limit's, or a worker's that is not ready.",
        "clients.md#handshakes-refused",
        (
            Query("sum(rate(gateway_connections_opened_total{OURS}[RATE]))", "accepted"),
            Query("sum by (reason) (rate(gateway_handshakes_refused_total{OURS}[RATE])) > 0",
                  "refused: {{reason}}"),
        ),
        unit="reqps", alerts=("GatewayRefuses",),
    ),
    Panel(
        "Messages",
        "Read from sockets and written to them. Received falls and connections do not: sockets are"
        " not read, because answers are missing.",
        "handlers.md#answers-are-slow",
        (
            Query("sum(rate(gateway_messages_received_total{OURS}[RATE]))", "received"),
            Query("sum(rate(gateway_messages_sent_total{OURS}[RATE]))", "sent"),
        ),
        unit="ops",
    ),
    Panel(
        "Messages that fail",
        "Those whose handler raised or ran out of time, of all that were received. The log has its"
        " traceback: event `handler failed`.",
        "handlers.md#handlers-fail",
        (
            Query('sum(rate(gateway_dispatches_total{outcome="failed",OURS}[RATE]))'
                  " / (sum(rate(gateway_messages_received_total{OURS}[RATE])) > 0)", "failed"),
        ),
        unit="percentunit", alerts=("GatewayHandlersFail",), bound=0.01,
    ),
    Panel(
        "Handler workers of an edge",
        "To how many of the handler workers an edge takes its messages: about"
        " GATEWAY_HANDLER_SUBSET (16) where there are more, or else all. Of the edge of a port"
        " which takes them to most. An edge without any answers its clients nothing.",
        "handlers.md#an-edge-talks-to-some-handler-workers",
        (
            Query("max(gateway_handler_workers{OURS})", "all that there are"),
            Query("max by (instance) (gateway_handler_targets{OURS})", "{{instance}}"),
            Query("sum by (instance) (gateway_edges_without_handlers{OURS}) > 0",
                  "edges without, {{instance}}"),
        ),
        alerts=("GatewayEdgeWithoutHandlers",),
    ),
    Panel(
        "Answers that were not taken",
        "Of handlers and hooks, at which the connection of who waits has failed: a fault of the"
        " gateway. `answer not taken` in the log has the traceback.",
        "handlers.md#answers-are-not-taken",
        (Query("sum by (instance) (increase(gateway_answers_not_taken_total{OURS}[RATE]))",
               "{{instance}}"),),
        alerts=("GatewayAnswersNotTaken",),
    ),
))  # fmt: skip

FAST: Final = Row("How fast?", (
    Panel(
        "Answers",
        "From reading a message to its answer. Compare with the handlers beside it: what is more"
        " than theirs is waiting, or the way through Redis. What is not answered yet is not in it:"
        " it looks fast in an outage, and rises at its end.",
        "handlers.md#answers-are-slow",
        quantiles("gateway_answer_seconds", 0.5, 0.9, 0.99),
        unit="s", alerts=("GatewayAnswersSlow",), bound=2,
    ),
    Panel(
        "Handlers",
        "Time in the application's handlers. Slow: their database, a lock, or code that blocks."
        " One that has not ended is not in it.",
        "handlers.md#handlers-are-slow",
        quantiles("gateway_handler_seconds", 0.5, 0.9, 0.99),
        unit="s", alerts=("GatewayHandlersSlow",), bound=1,
    ),
    Panel(
        "Event loops held",
        "How late event loops are. A handler blocks: `loop held` in the log names it, or says that"
        " none did.",
        "handlers.md#handlers-are-slow",
        quantiles("gateway_loop_lag_seconds", 0.99, by="instance"),
        unit="s", alerts=("GatewayLoopHeld",), bound=0.25,
    ),
    Panel(
        "Messages by path",
        "Handled by the worker that holds the socket or by another, and how it ended. `moved`: its"
        " handler worker had gone.",
        "handlers.md#answers-are-slow",
        (Query("sum by (path, outcome) (rate(gateway_dispatches_total{OURS}[RATE]))",
               "{{path}}, {{outcome}}"),),
        unit="ops",
    ),
))  # fmt: skip

SLOW: Final = Row("Who is slow?", (
    Panel(
        "Waiting for slow sockets",
        "Bytes that clients do not read. Each connection has a bound, and is closed with 3008 over"
        " it. `gateway connections ID` says what waits for one.",
        "clients.md#slow-clients",
        (Query("sum by (instance) (gateway_outbox_bytes{OURS})", "{{instance}}"),),
        unit="bytes", alerts=("GatewaySlowClients",), bound=500e6,
    ),
    Panel(
        "Slow or silent clients closed",
        "3008: did not read. 3012: did not answer pings. Many at once, of one network: it is the"
        " network.",
        "clients.md#slow-clients",
        (Query("sum by (code)"
               ' (rate(gateway_connections_closed_total{code=~"3008|3012",OURS}[RATE]))',
               "{{code}}"),),
        unit="cps",
    ),
    Panel(
        "Sends by receipt",
        "What backends and handlers sent to connections. `slow`: the client. `unreachable`: its"
        " worker, or Redis.",
        "clients.md#slow-clients",
        (Query("sum by (receipt) (rate(gateway_sends_total{OURS}[RATE]))", "{{receipt}}"),),
        unit="ops",
    ),
    Panel(
        "API requests",
        "Calls of backends by status. 401, 403: a wrong key, perhaps one that somebody tries."
        " 429: over the rate, or a slow client. 503: links or Redis.",
        "links.md",
        (Query("sum by (method, status) (rate(gateway_api_requests_total{OURS}[RATE])) > 0",
               "{{method}} {{status}}"),),
        unit="reqps", alerts=("GatewayApiKeysRefused",),
    ),
    Panel(
        "Messages that wait for room",
        "`worker`: handlers are slower than clients. `link` alone: the way to the handler worker.",
        "handlers.md#handlers-are-slow",
        (Query("sum by (where) (rate(gateway_dispatch_waits_total{OURS}[RATE]))", "{{where}}"),),
        unit="cps",
    ),
    Panel(
        "Links: again and late",
        "Batches between workers that were sent again, came twice or too early, and questions to"
        " workers that are silent. A few at a death or a failover are what they are for.",
        "links.md",
        (
            Query("sum(rate(gateway_link_resends_total{OURS}[RATE]))", "sent again"),
            Query("sum(rate(gateway_link_repeats_total{OURS}[RATE]))", "came twice"),
            Query("sum(rate(gateway_link_early_total{OURS}[RATE]))", "came early"),
            Query("sum(rate(gateway_link_polls_total{OURS}[RATE]))", "questions"),
        ),
        unit="cps", alerts=("GatewayLinksRepeat",), bound=1,
    ),
    Panel(
        "Results of batches",
        "Each command of /@batch and each channel of a broadcast, by its own status: the request is"
        " a 200 whatever they are. 500: a fault of the gateway, and of no other result.",
        "operators.md#calls-of-the-api-fail",
        (Query("sum by (command, status) (rate(gateway_api_results_total{OURS}[RATE])) > 0",
               "{{command}} {{status}}"),),
        unit="ops", alerts=("GatewayApiFails",),
    ),
    Panel(
        "Questions that wait for the registry",
        "Who is connected is asked a few at a time, for users of batches and for all others. What"
        " has waited 30 s is told that its turn did not come, and `in vain` counts it; `unanswered`"
        " what ended since Redis was silent.",
        "redis.md#the-registry-is-busy",
        (
            Query("sum by (of) (gateway_registry_waiting{OURS})", "{{of}}"),
            Query("sum(increase(gateway_registry_busy_total{OURS}[RATE]))", "in vain"),
            Query("sum(increase(gateway_registry_unanswered_total{OURS}[RATE]))", "unanswered"),
        ),
        alerts=("GatewayRegistryBusy",),
    ),
))  # fmt: skip

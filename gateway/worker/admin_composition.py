"""What one worker does for the admin page, put together: its socket, and reports to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from gateway.broker.base import Reach
from gateway.channel_broker.base import ChannelBroker, Publishing
from gateway.channels.presence import ChannelPresence
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.channels.reserved import reserved
from gateway.edge import admin_socket
from gateway.edge.admission import Admission
from gateway.edge.connection_context import ConnectionContext
from gateway.edge.endpoint import Readiness, SocketEndpoint
from gateway.edge.sessions.centrifuge.key_authentication import KeyAuthentication
from gateway.edge.sessions.centrifuge.negotiation import centrifuge_sessions
from gateway.edge.sessions.centrifuge.requests import ClientRequests
from gateway.edge.sessions.centrifuge.session_context import SessionContext
from gateway.edge.sessions.centrifuge.subscription import ChannelParts
from gateway.edge.sockets.timer_wheel import TimerWheel
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.centrifuge.session import TIMING
from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Members
from gateway.protocol.reports import REPORTS
from gateway.settings.config import Settings
from gateway.settings.version import __version__
from gateway.tokens.verifier import TokenVerifier
from gateway.worker.live_report import LiveReport, State


class AdminParts:
    """The admin page's part of one worker.

    Args:
        edge: What clients' connections work with.
        is_key: Says in constant time whether it is an API key.
        connections: How many clients' sockets are open.
        well: Whether Redis has answered within a lease.
        probe_age_s: How long nothing has come through Redis.
        reach: Who of Sentinels and Cluster is away.
        refused: Told why a handshake was refused.
    """

    def __init__(
        self,
        me: WorkerId,
        settings: Settings,
        *,
        edge: ConnectionContext,
        readiness: Readiness,
        channel_broker: ChannelBroker,
        presence: ChannelPresence,
        presence_questions: PresenceQuestions,
        is_key: Callable[[bytes], bool],
        verifier: TokenVerifier,
        timers: TimerWheel,
        links: Links,
        members: Members,
        connections: Callable[[], int],
        well: Callable[[], bool],
        probe_age_s: Callable[[], float],
        reach: Callable[[], Reach],
        refused: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._me = me
        self._settings = settings
        self._members = members
        self._channels = channels = edge.channels
        self._connections = connections
        self._well = well
        self._probe_age_s = probe_age_s
        self._reach = reach
        self._started_unix_ms = int(time.time() * 1000)
        # What the page says is counted for nobody: figures are of clients.
        uncounted = Counters()
        requests = ClientRequests(
            ChannelParts(
                channels=channels,
                publisher=Publisher(channel_broker, reserved, uncounted),
                presence=presence,
                presence_questions=presence_questions,
                options_of=reserved,
            ),
            KeyAuthentication(is_key, edge.counters, most=admin_socket.MAX_SOCKETS, now=now),
            verifier,
        )
        self.endpoint = SocketEndpoint(
            me,
            replace(
                edge,
                registration=admin_socket.Unlisted(),
                counters=uncounted,
                wants_messages=lambda: False,
                wants_disconnects=lambda: False,
                has_hook=lambda _kind, _name: False,
            ),
            Admission(
                admin_socket.limits(allowed_hosts=settings.allowed_hosts),
                now=now,
                origin_help=admin_socket.ORIGIN_HELP,
            ),
            admin_socket.Undecided(readiness),
            holds_sockets=True,
            refused=refused,
            negotiate=centrifuge_sessions(
                SessionContext(
                    version=__version__,
                    requests=requests,
                    timers=timers,
                    now=now,
                    timing=TIMING._replace(stale_s=admin_socket.KEY_WITHIN_S),
                )
            ),
        )
        self.live_report = LiveReport(
            me,
            links=links,
            peers=self._peers,
            state=self._state,
            info_of=members.known.get,
            subscribers=lambda: channels.subscribers_of(REPORTS),
            publish=lambda channel, body: channel_broker.publish(Publishing(channel, body)),
            now=now,
        )

    def _peers(self) -> list[WorkerId]:
        known = self._members.known.items()
        return [worker for worker, info in known if info.reports and worker != self._me]

    def _state(self) -> State:
        """How this worker is, for people."""
        settings, info, reach = self._settings, self._members.known[self._me], self._reach()
        return {
            "version": __version__,
            "startedAtMs": self._started_unix_ms,
            "role": settings.role,
            "host": info.host,
            "pid": info.pid,
            # Of port 0 only its supervisor knows which one it became.
            "bind": f"{settings.host}:{settings.port}" if settings.port else settings.host,
            "leaving": info.leaving,
            "connections": self._connections(),
            "subscriptions": self._channels.subscriptions,
            "channels": len(self._channels),
            "redis": "ok" if self._well() else "lost",
            "probeSeconds": round(self._probe_age_s(), 1),
            "mastersAway": sum(reach.masters_away.values()),
            "sentinelsAway": reach.sentinels_away,
            "slotsUncovered": reach.slots_uncovered,
        }

"""What whoever reads the log is told of Sentinels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.log import get_logger
from gateway.redis_support.reconnect import reasons
from gateway.redis_support.sentinel_answers import Answer
from gateway.redis_support.stream import Endpoint, Place

log = get_logger(__name__)


class SentinelLog:
    """Lines about Sentinels, each once as long as it is so.

    Args:
        name: Of the primary.
        told_after_s: For so long some have to name another primary: after a switch each of them
            does, until it has heard of it.
    """

    def __init__(self, name: str, *, told_after_s: float) -> None:
        self._name = name
        self._silent = False
        self._away: frozenset[Endpoint] = frozenset()
        self._told_after_s = told_after_s
        self._overruled_since: float | None = None
        self._overruled_told = self._quorum_lost = False

    def silence(self, errors: Sequence[Exception]) -> None:
        """None of them answered."""
        if not self._silent:
            self._silent = True
            why = reasons(errors)
            log.warning("no sentinel says where the primary is", primary=self._name, error=why)

    def heard(self, answers: int, away: Mapping[Endpoint, Exception]) -> None:
        """Some answered, and these did not."""
        gone = {sentinel: error for sentinel, error in away.items() if sentinel not in self._away}
        if self._silent or not self._away <= away.keys():
            log.info("sentinels answer again", sentinels=answers)
        if gone:
            names = sorted(f"{host}:{port}" for host, port in gone)
            log.warning("sentinels do not answer", away=names, error=reasons(list(gone.values())))
        self._silent, self._away = False, frozenset(away)

    def switched(self, primary: Endpoint, *, epoch: int, answers: int) -> None:
        log.warning(
            "redis primary switched",
            primary=f"{primary[0]}:{primary[1]}", epoch=epoch, sentinels=answers,
        )  # fmt: skip

    def look(
        self, answers: Mapping[Place, Answer], primary: Endpoint, *, quorum_lost: bool, now: float
    ) -> None:
        """See what was answered, and which primary it was decided for."""
        if quorum_lost != self._quorum_lost:
            self._quorum_lost = quorum_lost
            if quorum_lost:
                log.warning("sentinels have no quorum", sentinels=len(answers))
            else:
                log.info("sentinels have a quorum again", sentinels=len(answers))
        overruled = {place: said for place, said in answers.items() if said.primary != primary}
        if not overruled:
            if self._overruled_told:
                log.info("sentinels agree again", sentinels=len(answers))
            self._overruled_since, self._overruled_told = None, False
            return
        if self._overruled_since is None:
            self._overruled_since = now
        if not self._overruled_told and now - self._overruled_since >= self._told_after_s:
            self._overruled_told = True
            named = {f"{said.primary[0]}:{said.primary[1]}" for said in overruled.values()}
            log.warning(
                "sentinels overruled",
                overruled=sorted(f"{place.host}:{place.port}" for place in overruled),
                named=sorted(named),
                primary=f"{primary[0]}:{primary[1]}",
            )  # fmt: skip

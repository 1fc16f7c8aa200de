"""The same load all the time, sent on schedule: a stalled server cannot hide its stall."""

from __future__ import annotations

from loadtest.scenarios.base import Phases
from loadtest.users.gateway import GatewayUser


class SteadyUser(GatewayUser):
    """Sends its share of the rate."""


class Steady(Phases):
    """Nothing happens but load."""


USERS = (SteadyUser,)
SHAPE = Steady

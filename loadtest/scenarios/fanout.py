"""Publications to many: each subscriber must get each of its channel, once and in order."""

from __future__ import annotations

from loadtest.scenarios.channels import USERS, Channels

__all__ = ["SHAPE", "USERS"]


class Fanout(Channels):
    """The same load all the time."""


SHAPE = Fanout

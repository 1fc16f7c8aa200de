"""The slots of channels move under their publications: no gap, and nothing is told twice."""

from __future__ import annotations

from loadtest.scenarios.channels import USERS, Channels
from loadtest.scenarios.reshard import Moving

__all__ = ["SHAPE", "USERS"]


class ReshardChannels(Channels, Moving):
    """Publishers go on."""


SHAPE = ReshardChannels

"""The rows of the dashboard, from the top: each is a question of an operator."""

from __future__ import annotations

from typing import Final

from deploy.grafana.rows.channels import CHANNELS
from deploy.grafana.rows.operators import OPERATORS
from deploy.grafana.rows.serving import FAST, SERVED, SLOW
from deploy.grafana.rows.workers import LEAVING, LIMITS, REDIS

ROWS: Final = (SERVED, FAST, SLOW, REDIS, LEAVING, CHANNELS, LIMITS, OPERATORS)

"""The words of ``/communicate`` that its clients, its page and its tests look for."""

from __future__ import annotations

from typing import Final

from gateway.close_codes import NORMAL

GOODBYE: Final = NORMAL.reason
TRACE_SUBPROTOCOL: Final = "gateway.trace.v1"

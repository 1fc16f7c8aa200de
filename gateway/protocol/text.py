"""The words of ``/communicate`` that its clients, its page and its tests look for."""

from __future__ import annotations

from typing import Final

GOODBYE: Final = "Bye!!!"
TRACE_SUBPROTOCOL: Final = "gateway.trace.v1"

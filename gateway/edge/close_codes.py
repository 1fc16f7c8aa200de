"""With which codes and words a connection ends when its client did nothing wrong, or too much."""

from __future__ import annotations

from typing import Final

from gateway.errors import Expired

NORMAL: Final = 1000
LOST: Final = 1006
TOO_BIG: Final = 1009
NO_PONG: Final = (3012, "no pong")  # the client may come back, as after 3000 to 3499
DRAINED: Final = (3001, "drain")
EXPIRED: Final = (Expired.close_code, Expired.reason)
EXPIRY_GRACE_S: Final = 5.0  # for what was read before the time was over

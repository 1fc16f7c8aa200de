"""``gateway`` as it was when it spoke the previous version of envelopes.

Run it as ``python -m tests.support.apps.previous_version serve …``. It writes that version, says so
with its lease, and can read nothing newer.
"""

from __future__ import annotations

from gateway.protocol.envelopes import wire

wire.VERSION = wire.OLDEST  # type: ignore[misc]  # before anything imports the number

from gateway.cli.main import main  # noqa: E402
from gateway.messaging import links  # noqa: E402
from tests.support.previous_link import PreviousLink  # noqa: E402

links.Link = PreviousLink  # type: ignore[assignment, attr-defined]

if __name__ == "__main__":
    main()

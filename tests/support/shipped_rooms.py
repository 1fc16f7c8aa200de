"""The namespace of the page's rooms, as it is shipped for trying them out."""

from __future__ import annotations

import re

from tests.support.serve import ROOT


def of_make_run() -> str:
    """What ``make run`` puts into ``GATEWAY_CHANNEL``."""
    found = re.search(r"^ROOMS = ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].replace("\\\n\t", "")


def of_compose() -> str:
    """What the services of docker-compose.yml have in it."""
    compose = (ROOT / "docker-compose.yml").read_text()
    found = re.search(r"^  GATEWAY_CHANNEL: >-\n((?:    .*\n)+)", compose, re.MULTILINE)
    assert found is not None
    return " ".join(found[1].split())


TRYING_OUT = {
    "GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN": "on",
    "GATEWAY_CHANNEL": of_make_run(),
}

"""What becomes of publications, in the words of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.channel_broker.base import Stored
from gateway.errors import BrokerUnavailable, PublicationTooLarge
from gateway.http_api import answers
from gateway.http_api.answers import Json, Problem
from gateway.http_api.call import naming_channel, right


def published(stored: Stored) -> Json:
    epoch, offset = stored.position or ("", 0)
    return {"offset": offset, "epoch": epoch, "suppressed": stored.suppressed}


@contextmanager
def publishing(*, in_path: bool = True) -> Iterator[None]:
    """Around what may refuse to publish, or fail to.

    Args:
        in_path: The path names the channel.

    Raises:
        Problem: It did.
    """
    try:
        with naming_channel(in_path=in_path), right():
            yield
    except PublicationTooLarge as error:
        raise Problem(413, str(error)) from None
    except BrokerUnavailable:
        raise answers.unavailable(
            "it may have been published, nobody can know: try again with the same Idempotency-Key"
        ) from None

"""Which backends an operator lets in."""

from __future__ import annotations

from gateway.http_api.credentials import Credentials
from gateway.settings.config import Settings


def credentials_of(settings: Settings) -> Credentials:
    """Those of the connection API. Reads the file of keys, once.

    Raises:
        ConfigError: One line, and no secret in it.
    """
    return Credentials.of(
        api_keys_text=settings.api_keys.reveal(),
        api_keys_file=settings.api_keys_file,
        access_keys_text=settings.aws_access_keys.reveal(),
    )

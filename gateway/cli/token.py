"""``gateway token``."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Annotated, Any

import typer

from gateway.cli.options import ConfigFile, load_settings
from gateway.cli.printing import fail
from gateway.errors import ConfigError, TokenInvalid
from gateway.settings import values

_ttl = values.duration(timedelta(seconds=1), timedelta(days=3650), "1s to 87600h")


def token(
    user: Annotated[str, typer.Option(help="Who it is for; empty: an anonymous client.")] = "",
    ttl: Annotated[
        str, typer.Option(help="How long it lasts, as 300s or 1h; off: for ever.")
    ] = "1h",
    channel: Annotated[
        str | None, typer.Option(help="A subscription token, for this channel.")
    ] = None,
    info: Annotated[str | None, typer.Option(help="JSON that others see of the client.")] = None,
    channels: Annotated[
        str | None, typer.Option(help="Subscribe the client to these: a,b.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Print a token for trying out, signed with the secret of the settings."""
    from gateway.tokens.minting import claims_of, mint  # noqa: PLC0415
    from gateway.tokens.verifier import token_verifier  # noqa: PLC0415

    if channel is not None and channels is not None:
        fail("--channel makes a subscription token, and --channels is of a connection token", 2)
    settings = load_settings({}, config).settings
    options = settings.token_options()
    if channel is not None:
        options = settings.subscription_token_options()
    claims = claims_of(
        options,
        user=user,
        now=int(time.time()),
        ttl_s=None if ttl == "off" else int(_ttl("--ttl", ttl).total_seconds()),
        channel=channel,
        info=_json(info),
        channels=values.texts("--channels", channels or ""),
    )
    made = mint(options, claims)
    verifier = token_verifier(options, options)
    try:  # it is of no use otherwise
        if channel is None:
            asyncio.run(verifier.verify_connection(made))
        else:
            asyncio.run(verifier.verify_subscription(made, channel=channel, user=user, client=""))
    except TokenInvalid as error:
        raise ConfigError(f"nobody would take that token: {error}") from None
    print(made)


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--info is no JSON: {error}") from None

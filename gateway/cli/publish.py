"""``gateway publish``: to one channel, to several, or what lines of standard input say."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from gateway.cli.channels import AsJson, client_of
from gateway.cli.options import ConfigFile, Port, RedisUrl
from gateway.cli.printing import fail, print_facts, print_rows
from gateway.errors import BrokerUnavailable, GatewayError

if TYPE_CHECKING:
    from gateway.application.publications import Published
    from gateway.backend_client.blocking import Client

FAILED: Final = 2
UNKNOWN: Final = 1  # nobody can know whether it was published


def publish(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHANNEL... DATA",
            help="Channels, and a JSON value. - reads standard input.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="It is a text as it stands.")] = False,
    lines: Annotated[
        bool,
        typer.Option(
            "--lines",
            help="Publish each line of standard input, one after the other: a JSON object with "
            "channel and data, and perhaps tags, version, history, idempotency_key.",
        ),
    ] = False,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be given several times.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="With the same key nothing is published again for 300 s.")
    ] = None,
    history: Annotated[bool, typer.Option(help="Keep it, where the namespace does.")] = True,
    as_json: AsJson = False,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """Publish to everybody in a channel, and print its place in the history.

    In several channels: the same, with what became of it in each.
    """
    if lines:
        if words or text or tag or key or not history:
            fail("--lines has all that is published in the lines: leave out the rest", FAILED)
        with client_of(redis_url, config, port) as client:
            sys.exit(_publish_lines(client))
    if not words or len(words) == 1:
        fail("give a channel, or several, and the data (or --lines)", FAILED)
    *channels, data = words
    value, tags = _value(data, as_text=text), _tags(tag or [])
    with client_of(redis_url, config, port) as client:
        if len(channels) == 1:
            done = client.publish(
                channels[0], value, tags=tags, idempotency_key=key, history=history
            )
            print_facts(_told(done), as_json=as_json)
            return
        all_done = client.broadcast(
            channels, value, tags=tags, idempotency_key=key, history=history
        )
    rows = [_row(channel, done) for channel, done in zip(channels, all_done, strict=True)]
    print_rows(rows, as_json=as_json)
    sys.exit(max(_exit_code(done) for done in all_done))


def _publish_lines(client: Client) -> int:
    """Publish as they come, and say of each what became of it. Returns the exit code."""

    from gateway.http_api.answers import Problem  # noqa: PLC0415
    from gateway.http_api.commands import publish_of  # noqa: PLC0415

    code = 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        channel: str | None = None
        done: Published | Exception
        try:
            asked = publish_of(line.decode())
            channel = asked.channel
            done = client.publish(
                asked.channel,
                asked.data,
                tags=asked.tags,
                idempotency_key=asked.idempotency_key,
                version=asked.version,
                history=asked.history,
            )
        except UnicodeDecodeError:
            done = ValueError("the line is not UTF-8")
        except (GatewayError, ValueError, Problem) as error:
            done = error
        code = max(code, _exit_code(done))
        print(json.dumps({"line": number, **_row(channel, done)}), flush=True)
    return code


def _told(done: Published) -> dict[str, Any]:
    return {"offset": done.offset, "epoch": done.epoch, "suppressed": done.suppressed}


def _row(channel: str | None, done: Published | Exception) -> dict[str, Any]:
    none = {"offset": None, "epoch": None, "suppressed": None}
    if isinstance(done, Exception):
        return {"channel": channel, **none, "error": str(done)}
    return {"channel": channel, **_told(done), "error": None}


def _exit_code(done: object) -> int:
    if isinstance(done, BrokerUnavailable):
        return UNKNOWN
    return FAILED if isinstance(done, Exception) else 0


def _value(given: str, *, as_text: bool) -> Any:
    """What is published; JSON as it was given, to its last digit."""
    import msgspec  # noqa: PLC0415

    from gateway.protocol.centrifuge.replies import NotJson, storable  # noqa: PLC0415

    try:
        said = sys.stdin.buffer.read() if given == "-" else given.encode()
        return said.decode() if as_text else msgspec.Raw(storable(said))
    except UnicodeError:
        return _wrong("the data is not UTF-8")
    except NotJson as error:
        return _wrong(f"the data is no JSON value: {error}; give --text if it is a text")


def _tags(given: list[str]) -> dict[str, str]:
    tags = {}
    for tag in given:
        name, equals, value = tag.partition("=")
        if not equals:
            _wrong(f"--tag {tag} is not NAME=VALUE")
        tags[name] = value
    return tags


def _wrong(message: str) -> NoReturn:
    fail(message, 2)

"""Everything that ``gateway serve`` does before workers run, in the order in which it may fail."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.process.passed_socket import passed_socket
from gateway.process.run_file import RunFile, write_run_file
from gateway.process.run_folder import make_run_folder, remove_run_folder
from gateway.settings.config import Settings
from gateway.settings.credential_lists import api_keys_of_file
from gateway.settings.sources import choose
from gateway.settings.values import Secret

RELOAD_DRAIN_S: Final = 0.5


def check(settings: Settings) -> None:
    """Refuse what can be seen to be wrong without starting anything.

    Raises:
        ConfigError: What is wrong.
    """
    from gateway.redis_support.url import parse  # noqa: PLC0415 (costs tools their start)
    from gateway.tokens.verifier import token_verifier  # noqa: PLC0415
    from gateway.tracing.environment import check_environment  # noqa: PLC0415
    from gateway.tracing.exporters import check_named  # noqa: PLC0415
    from gateway.tracing.installed import check_installed  # noqa: PLC0415

    if settings.opentelemetry:
        check_installed()
        check_environment()
        check_named()
    if settings.api_keys_file:  # workers read it too, but cannot stop the start with one line
        api_keys_of_file("GATEWAY_API_KEYS_FILE", settings.api_keys_file)
    if settings.redis_url:
        parse(settings.redis_url)
    token_verifier(settings.token_options(), settings.subscription_token_options())
    if settings.communicate_token and not settings.token_options().has_keys:
        raise ConfigError(
            "GATEWAY_COMMUNICATE_TOKEN needs a key: GATEWAY_TOKEN_HMAC_SECRET_KEY, or another of "
            "client.token"
        )
    address = settings.admin_bind
    if settings.port and address.endswith(f":{settings.port}"):
        raise ConfigError(f"GATEWAY_ADMIN_BIND={address} needs another port than GATEWAY_PORT")


def serve(settings: Settings) -> None:
    """Serve until stopped; then the process exits, with 0 after a clean stop.

    Raises:
        ConfigError: Something is wrong, and nothing runs.
    """
    with ExitStack() as stack:
        passed = passed_socket()
        if passed is not None:  # its address counts, in every check and for the workers
            stack.enter_context(passed)
            host, port, *_ = passed.getsockname()
            settings = replace(settings, host=host, port=port)
        check(settings)
        listeners = [passed or stack.enter_context(listen(settings.host, settings.port))]
        if settings.admin_bind:
            backends = _listen_for_backends(settings.admin_bind, besides=listeners[0])
            listeners.append(stack.enter_context(backends))
            host, number = settings.admin_bind.rpartition(":")[0], backends.getsockname()[1]
            settings = replace(settings, admin_bind=f"{host}:{number}")  # it may have been port 0
        folder = make_run_folder()
        stack.enter_context(_in_this_process_only(lambda: remove_run_folder(folder)))
        # Only now: prometheus_client looks at the run folder when it is imported.
        from gateway.log import configure  # noqa: PLC0415
        from gateway.process import start_checks, supervisor  # noqa: PLC0415
        from gateway.process.embedded_broker import EmbeddedBroker, find_server  # noqa: PLC0415

        configure(settings.log_level, settings.log_errors, people=settings.reload)
        if settings.reload:  # whoever edits code does not want to wait for a drain
            settings = replace(settings, drain_seconds=min(RELOAD_DRAIN_S, settings.drain_seconds))
        choose(settings)
        start_checks.check_loadable(settings.app)
        in_worker = _nothing
        embedded = not settings.redis_url
        if embedded:
            broker = EmbeddedBroker(find_server(settings.redis_bin), folder)
            stack.enter_context(_in_this_process_only(broker.stop))
            broker.start()
            in_worker = broker.forget_in_child
            settings = replace(settings, redis_url=Secret(broker.url))
            choose(settings)
        else:
            start_checks.check_redis(settings)
        port = listeners[0].getsockname()[1]
        url = settings.redis_url.reveal()
        prefix, lease_s, here = settings.redis_prefix, settings.lease_seconds, str(Path.cwd())
        run = RunFile(os.getpid(), port, url, prefix, lease_s, here)
        run_file = write_run_file(run)
        stack.enter_context(_in_this_process_only(lambda: run_file.unlink(missing_ok=True)))
        announce(settings, port, broker_url=url if embedded else None)
        served = supervisor.ServeApplication(settings, listeners, folder, in_worker=in_worker)
        for listener in listeners:
            listener.detach()  # from here on they are gunicorn's, which closes them
        served.run()


def listen(host: str, port: int) -> socket.socket:
    """Bind the port that all workers share.

    Raises:
        ConfigError: It is taken, or not ours to take.
    """
    listener = None
    try:
        kind, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.socket(kind[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(kind[4])
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that DNS cannot have, a..b
        if listener is not None:
            listener.close()
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}:{port}: {why}") from None
    listener.set_inheritable(True)
    return listener


def announce(settings: Settings, port: int, *, broker_url: str | None) -> None:
    """Tell a person at a terminal where to look, and what to try next.

    Args:
        broker_url: Of an embedded broker. That of another one may hold a password.
    """
    shown = "localhost" if settings.host in ("127.0.0.1", "0.0.0.0", "::") else settings.host  # noqa: S104
    workers = f"{settings.workers} worker{'s' if settings.workers > 1 else ''}"
    broker = "an embedded broker" if broker_url else "the broker of GATEWAY_REDIS_URL"
    lines = [f"Gateway at http://{shown}:{port} ({workers}, {broker}). Stop it with Ctrl-C."]
    if settings.admin_bind:
        lines.append(f"  backends   http://{settings.admin_bind}")
    if broker_url:
        lines.append(f"  broker     {broker_url}")
    if sys.stdout.isatty() and settings.role != "handler":
        lines += [
            f"  open       http://{shown}:{port}",
            f"  endpoint   ws://{shown}:{port}/communicate",
            f"  workers    gateway workers --port {port}",
        ]
    print("\n".join(lines), flush=True)  # noqa: T201


def _listen_for_backends(address: str, *, besides: socket.socket) -> socket.socket:
    """Bind the port that ``GATEWAY_ADMIN_BIND`` names.

    Raises:
        ConfigError: It is taken, or not ours to take.
    """
    host, _, port = address.rpartition(":")
    if int(port) == besides.getsockname()[1]:  # by their ports the application tells them apart
        raise ConfigError(f"GATEWAY_ADMIN_BIND={address} needs another port than GATEWAY_PORT")
    return listen(host.removeprefix("[").removesuffix("]"), int(port))


@contextmanager
def _in_this_process_only(clean_up: Callable[[], None]) -> Iterator[None]:
    """Workers are forked inside of the block, and leave it by an exception of theirs."""
    pid = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == pid:
            clean_up()


def _nothing() -> None:
    """An embedded broker would have something to forget in a worker."""

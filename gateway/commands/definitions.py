"""What each command says: the arguments of the verb of its name.

They are checked where a command is made, by Python code or from a request of the connection API,
whose names of members are those of the arguments; but for ``key``, which is ``idempotency_key``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from gateway import arguments
from gateway.channels.publisher import MAX_VERSION
from gateway.errors import Disconnected, check_close

MAX_KEY_LENGTH: Final = 255

Name = Annotated[str, msgspec.Meta(min_length=1)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY_LENGTH)] | None
Version = Annotated[int, msgspec.Meta(ge=0, le=MAX_VERSION)]


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A misspelt member would be one that is not applied.

    Raises:
        TypeError: An argument is of another type.
        ValueError: It is of the right one, and can be nowhere.
        UnicodeEncodeError: A text has half of a surrogate pair in it.
    """

    def _take(self, name: str, checked: object) -> None:
        if checked is not getattr(self, name):
            msgspec.structs.force_setattr(self, name, checked)


class _Publication(_Command, frozen=True, kw_only=True):
    tags: Mapping[str, str] | None = None
    idempotency_key: Key = None
    version: Version = 0
    history: bool = True

    def __post_init__(self) -> None:
        self._take("tags", arguments.mapping("tags", self.tags))
        key = arguments.key("idempotency_key", self.idempotency_key, of="published")
        self._take("idempotency_key", key)
        self._take("version", arguments.within("version", self.version, 0, MAX_VERSION))
        self._take("history", arguments.switch("history", self.history))


class Publish(_Publication, frozen=True):
    """As ``Gateway.publish``: its result is a ``Published``."""

    channel: str
    data: Any

    def __post_init__(self) -> None:
        self._take("channel", arguments.text("channel", self.channel))
        super().__post_init__()


class Broadcast(_Publication, frozen=True):
    """As ``Gateway.broadcast``: its result is a list of a ``Published`` or an error for each."""

    channels: Annotated[Sequence[str], msgspec.Meta(min_length=1)]
    data: Any

    def __post_init__(self) -> None:
        self._take("channels", arguments.texts("channels", self.channels, "name"))
        super().__post_init__()


class _Keyed(_Command, frozen=True, kw_only=True, rename={"key": "idempotency_key"}):
    key: Key = None

    def __post_init__(self) -> None:
        self._take("key", arguments.key("key", self.key, of="sent"))


_ENCODE: Final = ": encode it, with json.dumps for instance"


class Send(_Keyed, frozen=True):
    """As ``Gateway.send``: its result is a ``Receipt``."""

    connection: str
    text: str

    def __post_init__(self) -> None:
        self._take("connection", arguments.text("connection", self.connection))
        self._take("text", arguments.text("text", self.text, _ENCODE))
        super().__post_init__()


class SendToUser(_Keyed, frozen=True):
    """As ``Gateway.send_to_user``: its result is a list of ``Sent``."""

    user: Name
    text: str

    def __post_init__(self) -> None:
        self._take("user", arguments.text("user", self.user))
        self._take("text", arguments.text("text", self.text, _ENCODE))
        super().__post_init__()


class Disconnect(_Command, frozen=True):
    """As ``Gateway.disconnect``: its result is a ``Receipt``."""

    connection: str
    code: int = Disconnected.close_code
    reason: str = Disconnected.reason

    def __post_init__(self) -> None:
        self._take("connection", arguments.text("connection", self.connection))
        _check_closing(self)


class DisconnectUser(_Command, frozen=True):
    """As ``Gateway.disconnect_user``: its result is a list of ``Sent``."""

    user: Name
    code: int = Disconnected.close_code
    reason: str = Disconnected.reason

    def __post_init__(self) -> None:
        self._take("user", arguments.text("user", self.user))
        _check_closing(self)


class _OfConnection(_Command, frozen=True):
    connection: str
    channel: str

    def __post_init__(self) -> None:
        self._take("connection", arguments.text("connection", self.connection))
        self._take("channel", arguments.text("channel", self.channel))


class Subscribe(_OfConnection, frozen=True):
    """As ``Gateway.subscribe``: its result is a ``Receipt``."""


class Unsubscribe(_OfConnection, frozen=True):
    """As ``Gateway.unsubscribe``: its result is a ``Receipt``."""


Command = (
    Publish | Broadcast | Send | SendToUser | Disconnect | DisconnectUser | Subscribe | Unsubscribe
)


def _check_closing(command: Disconnect | DisconnectUser) -> None:
    code, reason = check_close(command.code, command.reason)
    command._take("code", code)  # noqa: SLF001
    command._take("reason", reason)  # noqa: SLF001

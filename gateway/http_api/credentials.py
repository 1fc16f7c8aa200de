"""Who may use the connection API: whoever shows an API key, or signs with an AWS access key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from gateway.http_api.errors import SignatureRefused
from gateway.http_api.keys import ApiKeys, presented
from gateway.http_api.raw import Headers, RawRequest
from gateway.http_api.sigv4 import check_head, is_signed, verify
from gateway.settings.credential_lists import access_keys, api_keys, api_keys_of_file


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is let in, and the answer if not.

    Attributes:
        status: 200 when it is let in.
        reason: For logs and metrics: one of a few words.
        text: For the caller; it holds no secret.
        error_type: Value of ``x-amzn-ErrorType``. The AWS SDKs have one exception for whoever may
            not call, whatever the status, and this is its name.
        challenge: Value of ``WWW-Authenticate``, which goes with every 401 (RFC 9110 section
            15.5.2).
        access_key_id: Who signed, when a signature was let in.
    """

    status: HTTPStatus
    reason: str
    text: str = ""
    error_type: str = "ForbiddenException"
    challenge: str | None = None
    access_key_id: str | None = None

    @property
    def allowed(self) -> bool:
        return self.status is HTTPStatus.OK


KEY_FITS: Final = Verdict(HTTPStatus.OK, "key")
NONE_CONFIGURED: Final = Verdict(
    HTTPStatus.FORBIDDEN,
    "none_configured",
    "nobody may call this gateway: set GATEWAY_API_KEYS, GATEWAY_API_KEYS_FILE or "
    "GATEWAY_AWS_ACCESS_KEYS",
)
MISSING: Final = Verdict(
    HTTPStatus.UNAUTHORIZED,
    "missing",
    "a key is needed: Authorization: Bearer KEY, X-API-Key: KEY, or an AWS signature",
    challenge="Bearer",
)
WRONG_KEY: Final = Verdict(
    HTTPStatus.UNAUTHORIZED,
    "wrong_key",
    "this key is not one of those that are allowed",
    challenge="Bearer",
)


class Credentials:
    """Decides on every request, by what the operator has allowed.

    Args:
        keys: Printable ASCII.
        secrets: Secret by AWS access key id, printable ASCII.
    """

    def __init__(
        self, keys: tuple[str, ...] = (), secrets: Mapping[str, str] | None = None
    ) -> None:
        self._keys = ApiKeys(keys)
        self._secrets = dict(secrets or {})

    @classmethod
    def of(cls, *, api_keys_text: str, api_keys_file: str, access_keys_text: str) -> Credentials:
        """Those of the settings; empty is not set. Reads the file, once.

        Raises:
            ConfigError: One line, and no secret in it.
        """
        keys = api_keys("GATEWAY_API_KEYS", api_keys_text)
        if api_keys_file:
            keys += api_keys_of_file("GATEWAY_API_KEYS_FILE", api_keys_file)
        return cls(keys, access_keys("GATEWAY_AWS_ACCESS_KEYS", access_keys_text))

    def __bool__(self) -> bool:
        """Whether anybody at all may be let in."""
        return bool(self._keys or self._secrets)

    @property
    def has_keys(self) -> bool:
        """Whether there is any API key, which a person could type."""
        return bool(self._keys)

    def is_key(self, shown: bytes) -> bool:
        """Whether it is an API key that is allowed. Takes as long for any."""
        return self._keys.allow(shown)

    def shows_key(self, headers: Headers) -> bool:
        """Whether an API key that is allowed comes with a request."""
        return any(map(self._keys.allow, presented(headers)))

    def allows(self, request: RawRequest, *, now_unix_s: float) -> Verdict:
        """Decide on one request. Raises nothing.

        One good credential is enough: a proxy may need the ``Authorization`` header for itself
        while the key is in ``X-API-Key``.
        """
        if not self:
            return NONE_CONFIGURED
        shown = list(presented(request.headers))
        if any(map(self._keys.allow, shown)):
            return KEY_FITS
        if is_signed(request):
            return self._signature(request, now_unix_s)
        return WRONG_KEY if shown else MISSING

    def by_head(self, request: RawRequest, *, now_unix_s: float) -> Verdict | None:
        """Decide what is so whatever the body is. None: read it, then ask ``allows``."""
        if is_signed(request) and not any(map(self._keys.allow, presented(request.headers))):
            try:
                check_head(request, self._secrets, now_unix_s=now_unix_s)
            except SignatureRefused as error:
                return Verdict(HTTPStatus.FORBIDDEN, error.code, str(error))
            return None
        return self.allows(request, now_unix_s=now_unix_s)

    def _signature(self, request: RawRequest, now_unix_s: float) -> Verdict:
        try:
            key_id = verify(request, self._secrets, now_unix_s=now_unix_s)
        except SignatureRefused as error:
            return Verdict(HTTPStatus.FORBIDDEN, error.code, str(error))
        return Verdict(HTTPStatus.OK, "signature", access_key_id=key_id)

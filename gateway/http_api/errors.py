"""Why a signed request is not believed.

SignatureRefused
├── SignatureMalformed    not signed as it must be
├── AccessKeyUnknown      by nobody we know
├── ClockSkewed           too long ago, or in the future
└── SignatureWrong        another secret, or another request
"""

from __future__ import annotations

from math import ceil

from gateway.errors import GatewayError


class SignatureRefused(GatewayError):
    """The text is for the caller: it holds no secret, and nothing of what the caller sent."""

    code = "signature_refused"
    retryable = False


class SignatureMalformed(SignatureRefused):
    """A part is missing, unreadable, or not what this service takes."""

    code = "signature_malformed"


class AccessKeyUnknown(SignatureRefused):
    """No secret belongs to the access key id."""

    code = "access_key_unknown"

    def __init__(self) -> None:
        super().__init__("this access key id is not known here")


class ClockSkewed(SignatureRefused):
    """The request was signed at another time than now."""

    code = "clock_skewed"

    def __init__(self, *, skew_s: float, limit_s: float) -> None:
        side = "behind" if skew_s > 0 else "ahead of"
        super().__init__(
            f"x-amz-date is {ceil(abs(skew_s))} s {side} the gateway's clock, "
            f"{limit_s:g} s are allowed"
        )


class SignatureWrong(SignatureRefused):
    """The signature is not the one that the secret gives for this request."""

    code = "signature_wrong"

    def __init__(self) -> None:
        super().__init__(
            "the signature is wrong: the secret differs, or the method, path, query, body or a "
            "signed header (Host, behind a proxy?) is not what was signed"
        )

"""What spans say, by name. docs/guides/opentelemetry.md has them all; a test compares."""

from __future__ import annotations

from typing import Final

# Of the semantic conventions of OpenTelemetry for messaging, HTTP and errors.
SYSTEM: Final = "messaging.system"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
BODY_BYTES: Final = "messaging.message.body.size"
RPC_METHOD: Final = "rpc.method"
METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
ERROR: Final = "error.type"
# Ours.
WORKER: Final = "gateway.worker"
CONNECTION: Final = "gateway.connection_id"
TO_WORKER: Final = "gateway.to_worker"
ATTEMPT: Final = "gateway.attempt"
RECEIPT: Final = "gateway.receipt"
RECIPIENTS: Final = "gateway.recipients"
REFUSAL: Final = "gateway.refusal"
CLOSE_CODE: Final = "gateway.close_code"
ERROR_CODE: Final = "gateway.error_code"

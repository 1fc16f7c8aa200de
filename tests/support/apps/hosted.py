"""A gateway within FastAPI, whose handlers fail with what a user wrote. Run by plain uvicorn.

``HOST_LOGGING`` says how the surrounding application has set up its logs.
"""

from __future__ import annotations

import json
import logging
import os

import structlog
from fastapi import FastAPI

from gateway import Gateway, Message

gateway = Gateway()
app = FastAPI(lifespan=gateway.lifespan)
app.mount("/ws", gateway.asgi())


@gateway.on_message
async def answer(message: Message) -> str:
    secret = {"text": message.text}
    raise ValueError(f"cannot parse {secret}")


class Json(logging.Formatter):
    """As the usual ones do: the message, the traceback, and whatever else a record has."""

    def format(self, record: logging.LogRecord) -> str:
        usual = set(vars(logging.makeLogRecord({})))
        more = {key: value for key, value in vars(record).items() if key not in usual}
        line = {"message": record.getMessage(), "exception": None, **more}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


match os.environ.get("HOST_LOGGING"):
    case "json":
        handler = logging.StreamHandler()
        handler.setFormatter(Json())
        logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    case "structlog":
        structlog.configure(
            processors=[
                structlog.processors.ExceptionRenderer(
                    structlog.tracebacks.ExceptionDictTransformer(show_locals=True)
                ),
                structlog.processors.JSONRenderer(),
            ]
        )
    case "verbose":
        logging.basicConfig(level=logging.INFO)

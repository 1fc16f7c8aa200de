"""A Flask shop that holds no sockets, and still tells its customers when something is ready."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

GATEWAY = os.environ.get("API_URL", "http://localhost:8000")
KEY = os.environ["API_KEY"]
PAGE = (Path(__file__).parent / "page.html").read_text()


@dataclass
class Order:
    what: str
    connection: str  # whom to tell


shop = Flask(__name__)
numbers = itertools.count(1)
orders: dict[int, Order] = {}  # a database, in a real shop


@shop.get("/")
def page() -> ResponseReturnValue:
    return PAGE.replace("GATEWAY_URL", GATEWAY.replace("http", "ws", 1))


@shop.post("/orders")
def order() -> ResponseReturnValue:
    number = next(numbers)
    orders[number] = Order(request.form["what"], request.form["connection"])
    return {"order": number}, 201


@shop.post("/orders/<int:number>/ready")
def ready(number: int) -> ResponseReturnValue:
    """The kitchen says so. The answer is whether the customer was told."""
    done = orders.get(number) or abort(404)
    # The same key for the same news: asked twice, it is told once.
    status = tell(done.connection, f"{done.what} is ready", key=f"order-{number}-ready")
    match status:
        case 200:
            return {"customer": "told"}
        case 410:
            return {"customer": "has left"}
        case 429 | 503:  # too slow to be told now, or nobody knows: try again
            return {"customer": "perhaps not told"}, 503
    return {"gateway": status}, 502


def tell(connection: str, text: str, *, key: str) -> int:
    """Send a text to one socket, wherever it is held. The status is what became of it."""
    news = Request(
        f"{GATEWAY}/@connections/{quote(connection, safe='')}",
        data=text.encode(),
        headers={
            "Authorization": f"Bearer {KEY}",
            "Content-Type": "text/plain; charset=utf-8",
            "Idempotency-Key": key,
        },
    )
    try:
        with urlopen(news, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as refused:
        with refused:
            return refused.code
    except (URLError, TimeoutError):
        return 503

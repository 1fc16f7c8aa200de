"""Publish a goal, as the server that knows of it would: goal.py MATCH NUMBER MINUTE SCORER SCORE.

With the number of the goal as its key: run it twice, and it is published once.
"""

from __future__ import annotations

import os
import sys

import gateway


def publish(match: str, number: int, minute: int, scorer: str, score: str) -> str:
    goal = {"minute": minute, "scorer": scorer, "score": score}
    with gateway.client(os.environ.get("REDIS_URL")) as client:
        done = client.publish(f"match:{match}", goal, idempotency_key=f"goal-{number}")
    return f"goal {done.offset}, published before" if done.suppressed else f"goal {done.offset}"


if __name__ == "__main__":
    try:
        match, number, minute, scorer, score = sys.argv[1:]
        goal, minutes = int(number), int(minute)
    except ValueError:
        sys.exit("usage: goal.py MATCH NUMBER MINUTE SCORER SCORE, as in: final 1 23 Ann 1:0")
    print(publish(match, goal, minutes, scorer, score))

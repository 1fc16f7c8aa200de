"""Print a token, as the server that knows the users would make it: issue.py USER SECONDS."""

from __future__ import annotations

import sys
import time

import jwt
from app import AUDIENCE, SECRET


def token(user: str, seconds: float) -> str:
    claims = {"sub": user, "aud": AUDIENCE, "exp": time.time() + seconds}
    return jwt.encode(claims, SECRET, algorithm="HS256")


if __name__ == "__main__":
    print(token(sys.argv[1], float(sys.argv[2])))

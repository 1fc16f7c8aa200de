"""Sockets, whoever serves them: uvicorn's protocol on picows' parser, and plain ASGI."""

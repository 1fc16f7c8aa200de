"""What is spoken on ``/connection/websocket``: the Centrifuge protocol in JSON.

Its rules are ``gateway.protocol.centrifuge``; here they meet a socket, time, and what is asked.
"""

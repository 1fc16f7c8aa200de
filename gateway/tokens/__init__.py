"""Tokens: who a client is and what it may, signed by somebody whom the operator believes."""

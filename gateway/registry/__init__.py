"""Leases of workers and the list of their connections: the interface in ``base``."""

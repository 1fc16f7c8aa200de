"""Clients that check what they get."""

"""Channels between workers: pub/sub with history. What is promised, in memory, on Redis."""

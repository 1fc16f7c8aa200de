"""Pub/sub between workers: the interface in ``base``, two implementations beside it."""

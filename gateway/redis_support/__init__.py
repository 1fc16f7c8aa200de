"""Redis, or Valkey: addresses, keys, scripts and the connection of the hot path."""

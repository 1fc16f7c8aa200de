"""Who is in a channel: what is promised, in memory, on Redis."""

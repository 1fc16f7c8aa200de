"""One worker: its parts put together, its life from start to drain."""

"""Processes: what `gateway serve` starts, supervises and ends."""

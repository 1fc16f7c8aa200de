"""One trace of a message over all workers, with OpenTelemetry: an extra, off unless it is set.

Only ``gateway.tracing.variants`` is imported where it is off. All else is variants of the parts of
a worker: those override what they trace, and the parts themselves know nothing of it.
"""

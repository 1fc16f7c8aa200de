"""The numbers of one run, for the table."""

from __future__ import annotations

from loadtest.record import Record
from loadtest.tally import percentile
from loadtest.verdict import overloaded

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "longest": 1.0}

ENOUGH_CONNECTIONS = 500  # fewer vanish in the noise of an allocator


def figures_of(record: Record) -> dict[str, str]:
    """Name to value, in the order in which they are read."""
    tally, seconds = record.tally, record.seconds()
    asked = record.arguments
    found = {
        "asked for": f"{asked.users} users, {asked.rate:g} messages/s, {asked.seconds:g} s",
        "gateway": record.host + (f", {asked.workers} workers" if not asked.host else ""),
        "machine": record.machine,
    }
    if tally.total("sent"):
        found["messages"] = (
            f"{tally.total('sent')} sent, {tally.total('answered')} answered, "
            f"{tally.total('in doubt')} in doubt, {tally.total('held back')} held back"
        )
    if seconds and tally.total("sent"):
        answered = sum(tally.counts["answered"][second] for second in seconds)
        found["throughput"] = f"{answered / len(seconds):.0f} answers/s"
    names = {
        "latency": "echo", "latency of pushes": "push", "latency of receipts": "POST",
        "latency of publications": "publish", "handshakes": "ws connect", "away": "away",
    }  # fmt: skip
    for label, name in names.items():
        steps = tally.all_times(name, record.answering() if name == "echo" else None)
        if steps:
            found[label] = ", ".join(
                f"{share_name} {_duration(percentile(steps, share))}"
                for share_name, share in SHARES.items()
            ) + f" ({steps.total()})"  # fmt: skip
    for label, prefix in {
        "faults": "fault ", "receipts": "receipt ", "closes": "close ",
        "closes of slow readers": "slow close ", "refused handshakes": "refused ",
        "errors": "error ", "told to try again": "for now ",
    }.items():  # fmt: skip
        if names_of := tally.names(prefix):
            found[label] = ", ".join(
                f"{name.removeprefix(prefix)}: {tally.total(name)}" for name in names_of
            )
    record.results |= _results(record)
    return found | _machine(record)


def _results(record: Record) -> dict[str, float]:
    """For other programs."""
    found: dict[str, float] = {
        "answered": record.tally.total("answered"),
        "p99_ms": percentile(record.tally.all_times("echo", record.answering()), 0.99) * 1e3,
    }
    sized = [sample for sample in record.samples if sample.gateway_bytes]
    loaded = [s for s in sized if s.at_unix_s >= record.load_from_unix_s + 1]
    users = record.arguments.users
    if loaded and users >= ENOUGH_CONNECTIONS:
        # The first sample is from before anybody came, the last ones from when all had talked.
        last = [s.gateway_bytes or 0 for s in loaded[-max(1, len(loaded) // 10) :]]
        grown = sum(last) / len(last) - (sized[0].gateway_bytes or 0)
        found["bytes_a_connection"] = grown / users
    return found


def _machine(record: Record) -> dict[str, str]:
    under_load = [
        s for s in record.samples
        if record.load_from_unix_s + 1 <= s.at_unix_s <= record.load_to_unix_s
    ]  # fmt: skip
    found = {}
    cpu = [s.gateway_cpu for s in under_load if s.gateway_cpu is not None]
    counts = record.tally.counts
    answered = sum(
        counts["answered"][s] + counts["pushed"][s] + counts["delivered"][s]
        for s in record.seconds()
    )
    if cpu:
        mean = sum(cpu) / len(cpu)
        found["gateway CPU"] = f"mean {mean:.0f} %, most {max(cpu):.0f} % of one core"
        a_second = answered / max(1, len(record.seconds()))
        if a_second >= 1:
            found["gateway CPU"] += f"; {mean / 100 / a_second * 1e6:.0f} us a message"
    redis = [s.redis_cpu for s in under_load if s.redis_cpu is not None]
    if redis:
        found["Redis CPU"] = f"mean {sum(redis) / len(redis):.0f} %, most {max(redis):.0f} %"
    sizes = [s.gateway_bytes for s in under_load if s.gateway_bytes]
    if sizes:
        found["gateway memory"] = (
            f"{sizes[0] / 1e6:.0f} MB at first, {sizes[-1] / 1e6:.0f} MB at last"
        )
    if (each := record.results.get("bytes_a_connection")) is not None:
        found["gateway memory"] += f"; {each / 1e3:.0f} kB a connection"
    load = [record.load[s] for s in record.seconds() if s in record.load]
    if load:
        found["generator"] = (
            f"{record.generators} process(es), "
            f"busiest {max(cpu for cpu, _ in load):.0f} % CPU, "
            f"latest {max(late for _, late in load) * 1e3:.0f} ms behind its clock"
            + (" (overloaded)" if overloaded(record) else "")
        )
    return found


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"

"""The reference pages say what the code says, and nothing that it does not say."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import prometheus_client
import pytest
import typer.main
from prometheus_client.metrics import MetricWrapperBase

import gateway.edge.admission
import gateway.edge.hosts
from gateway import close_codes, testing
from gateway.cli.main import app
from gateway.edge import token_guard
from gateway.edge.refusal import Refusal
from gateway.edge.sessions.centrifuge import negotiation
from gateway.errors import ConnectionEnding, GatewayError, NotRunning
from gateway.metrics import families
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.settings.config import Settings, toml_key, variable
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.sources import CONFIG_VARIABLE, load
from gateway.settings.values import Secret
from gateway.worker import worker
from tests.support.pages import DOCS, EVERY_PAGE, ROOT, anchors, blocks, name_of, rows

REFERENCE = DOCS / "reference"


# Configuration


def shown(default: object) -> str:
    if default is None:
        return "off"
    if isinstance(default, bool):
        return "on" if default else "off"
    if default in ("", (), Secret(""), Namespaces()):
        return "empty"
    return f"{default:g}" if isinstance(default, float) else str(default)


def flag(name: str) -> str:
    parameters = typer.main.get_command(app).commands["serve"].params  # type: ignore[attr-defined]
    given = "--" + name.replace("_", "-")
    if any(given in parameter.opts for parameter in parameters):
        return given
    return "(argument)" if name == "app" else "-"


def test_the_configuration_reference_lists_every_setting_as_it_is() -> None:
    page = rows(REFERENCE / "configuration.md", "variable", "TOML key")
    listed = {tuple(row.values())[:5] for row in page}

    assert len(page) == len(listed)
    assert listed == {
        (
            variable(spec.name),
            toml_key(spec.name),
            flag(spec.name),
            shown(spec.default),
            spec.metadata["allowed"],
        )
        for spec in fields(Settings)
    }


def test_the_configuration_reference_begins_with_what_the_code_says_of_a_setting() -> None:
    page = {row["TOML key"]: row["meaning"] for row in rows(REFERENCE / "configuration.md", "flag")}

    for spec in fields(Settings):
        assert page[toml_key(spec.name)].startswith(spec.metadata["meaning"].replace("`", "")), (
            spec.name
        )


def test_the_toml_example_of_the_configuration_reference_loads(tmp_path: Path) -> None:
    [example] = blocks(REFERENCE / "configuration.md", "toml")
    file = tmp_path / "gateway.toml"
    file.write_text(example)

    assert load({}, file=file).settings.drain_seconds == 60


# Channels


def in_toml(default: object) -> str:
    if isinstance(default, timedelta):
        return f"{default.total_seconds() / 3600:.0f}h" if default else "0s"
    return str(default).lower()


def test_the_channels_reference_lists_every_option_as_it_is() -> None:
    page = rows(REFERENCE / "channels.md", "option", "allowed")

    assert [tuple(row.values())[:3] for row in page] == [
        (spec.name, in_toml(spec.default), spec.metadata["allowed"])
        for spec in fields(ChannelOptions)
    ]


def test_the_channels_reference_begins_with_what_the_code_says_of_an_option() -> None:
    page = {row["option"]: row["meaning"] for row in rows(REFERENCE / "channels.md", "allowed")}

    for spec in fields(ChannelOptions):
        assert page[toml_key(spec.name)].startswith(spec.metadata["meaning"]), spec.name


def test_the_toml_example_of_the_channels_reference_loads(tmp_path: Path) -> None:
    [example] = blocks(REFERENCE / "channels.md", "toml")
    file = tmp_path / "gateway.toml"
    file.write_text(example)
    channel = load({}, file=file).settings.channel

    assert channel.options_of("room:42").history_ttl == timedelta(minutes=5)
    assert channel.options_of("news").allow_subscribe_for_anonymous


@pytest.mark.parametrize("page", [*EVERY_PAGE, ROOT / "docker-compose.yml"], ids=name_of)
def test_every_variable_that_is_named_is_one_of_ours(page: Path) -> None:
    ours = {variable(spec.name) for spec in fields(Settings)} | {CONFIG_VARIABLE}

    assert set(re.findall(r"GATEWAY_[A-Z_]*[A-Z]", page.read_text())) <= ours


# Metrics


def metric_families() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name -> type and labels, of everything that the package counts."""
    found = {}
    for made in vars(families).values():
        if isinstance(made, MetricWrapperBase):
            kind = str(made._type)
            name = made._name + ("_total" if kind == "counter" else "")
            found[name] = (kind, tuple(made._labelnames))
    return found


def test_the_metrics_reference_lists_every_metric_as_it_is() -> None:
    listed = {
        row["metric"]: (row["type"], tuple(re.findall(r"\w+", row["labels"])))
        for row in rows(REFERENCE / "metrics.md", "metric", "labels")
    }

    assert listed == metric_families()


def test_the_registry_has_no_metric_of_ours_that_the_module_does_not_name() -> None:
    collected = {
        m.name for m in prometheus_client.REGISTRY.collect() if m.name.startswith("gateway_")
    }

    ours = {name for name in metric_families() if name.startswith("gateway_")}
    assert collected == {name.removesuffix("_total") for name in ours}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_metric_that_is_named_is_there(page: Path) -> None:
    known = set(metric_families())
    for name, (kind, _) in metric_families().items():
        known |= {f"{name}_{part}" for part in ("bucket", "sum", "count") if kind == "histogram"}
    named = set(re.findall(r"\bgateway_[a-z_]*[a-z]\b", page.read_text()))
    prefixes = {n for n in named if any(k.startswith(f"{n}_") for k in known)}  # gateway_link_…

    assert named - prefixes <= known


ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"


def test_every_alert_asks_for_metrics_that_are_there() -> None:
    families = metric_families()
    parts = {f"{name}_bucket" for name, (kind, _) in families.items() if kind == "histogram"}
    named = set(re.findall(r"\b(?:gateway|process)_[a-z_]*[a-z]\b", ALERTS.read_text()))

    assert named <= set(families) | parts


def test_the_metrics_reference_lists_every_alert_with_its_page_of_the_runbook() -> None:
    leads = re.findall(
        r"- alert: (\w+)\n.*?severity: (\w+).*?summary: (.*?)\n +runbook: (\S+)",
        ALERTS.read_text(),
        re.DOTALL,
    )
    listed = [
        (row["alert"], row["severity"], row["when"])
        for row in rows(REFERENCE / "metrics.md", "alert", "severity")
    ]

    assert listed == [lead[:3] for lead in leads]
    assert len(leads) == ALERTS.read_text().count("- alert: ")
    for *_, lead in leads:
        page, _, anchor = lead.partition("#")
        assert (ROOT / page).is_file(), lead
        assert not anchor or anchor in anchors(ROOT / page), lead


# Close codes, refusals and errors


def package_errors() -> list[type[GatewayError]]:
    """Every error class of the package that has a code of its own."""
    homes = {
        "gateway.errors",
        worker.__name__,
        testing.client.__name__,
    }  # imported: their classes exist
    found, todo = [], [GatewayError]
    while todo:
        error = todo.pop()
        todo += error.__subclasses__()
        if "code" in vars(error) and error.__module__ in homes:
            found.append(error)
    return found


def test_the_errors_page_lists_every_error_as_it_is() -> None:
    listed = {
        (row["code"], row["class"], row["close code"], row["retry"])
        for row in rows(REFERENCE / "close-codes.md", "class")
    }

    assert listed == {
        (
            error.code,
            f"{error.__module__}.{error.__name__}",
            str(error.close_code),
            "yes" if error.retryable else "no",
        )
        for error in package_errors()
    }


def test_the_close_codes_page_lists_every_code_that_is_used() -> None:
    listed = {
        (row["code"], row["reason"])
        for row in rows(REFERENCE / "close-codes.md", "what the client should do")
    }
    never_seen = {close_codes.NO_CODE}

    assert listed == {(str(close.code), close.reason or "-") for close in close_codes.EVERY} - {
        (str(close.code), "-") for close in never_seen
    }


def test_every_close_code_of_the_centrifuge_protocol_is_sent_or_said_not_to_be() -> None:
    page = REFERENCE / "close-codes.md"
    unused = [int(row["code"]) for row in rows(page, "why the gateway does not send it")]
    used = {close.code for close in close_codes.EVERY if close.code >= 3000}

    assert sorted([*unused, *used]) == [
        3000, 3001, *range(3004, 3007), *range(3008, 3015), *range(3500, 3510),
    ]  # fmt: skip


def test_every_error_that_ends_a_connection_has_a_row_of_the_close_codes() -> None:
    endings = {
        (error.close_code, error.reason)
        for error in package_errors()
        if issubclass(error, ConnectionEnding)
    }

    assert endings <= set(close_codes.EVERY)


def test_codes_of_our_own_are_labels_and_are_listed() -> None:
    listed = {
        int(row["code"]) for row in rows(REFERENCE / "close-codes.md", "what the client should do")
    }

    assert {c for c in families.OWN_CLOSE_CODES if c >= 3000} == {c for c in listed if c >= 3000}
    assert listed <= families.OWN_CLOSE_CODES


def test_the_refusals_page_lists_every_refusal_as_it_is() -> None:
    listed = {
        (row["reason"], row["status"], row["Retry-After"], row["text"])
        for row in rows(REFERENCE / "close-codes.md", "Retry-After")
    }

    assert listed == {
        (r.reason, str(int(r.status)), str(r.retry_after_s or "-"), r.text)
        for module in (gateway.edge.admission, gateway.edge.hosts, negotiation, token_guard)
        for r in vars(module).values()
        if isinstance(r, Refusal)
    }


# Redis


def test_the_redis_page_lists_every_key_and_channel() -> None:
    listed = {row["name"] for row in rows(REFERENCE / "redis.md", "name", "kind")}
    functions = [f for f in vars(keys).values() if inspect.isfunction(f)]
    known = {"prefix": "gw", "worker": WorkerId("<worker>"), "channel": "<channel>"}
    built = {
        f(*(known.get(name, "any") for name in inspect.signature(f).parameters)) for f in functions
    }

    assert listed == {re.sub("[0-9a-f]{32}", "<hash>", key) for key in built}


def test_the_redis_page_names_every_script() -> None:
    text = (REFERENCE / "redis.md").read_text()
    scripts = (ROOT / "gateway" / "redis_support" / "scripts").glob("*.lua")

    assert all(f"`{script.stem}`" in text for script in scripts)


# Log events

SPELLED = {  # events whose text is made when they happen, and how the page writes them
    "str(error)": "application …",
    "str(NotRunning())": str(NotRunning()).partition(":")[0] + "…",
}
LEVELS = {"warning": "warning", "error": "error", "exception": "error", "critical": "critical"}


def logged(source: Path) -> Iterator[tuple[str, str]]:
    """The events of one module from warning on: name and level."""
    for call in ast.walk(ast.parse(source.read_text())):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        event = call.args[0]
        text = event.value if isinstance(event, ast.Constant) else SPELLED.get(ast.unparse(event))
        match ast.unparse(call.func):
            case "getattr(log, level)" if isinstance(event, ast.Name):
                pass  # within log_attempt and log_loss
            case (
                "log_attempt" | "_log_attempt" | "log_loss" | "getattr(log, level)"
            ):  # once an outage, then debug
                yield str(text), "warning"
            case function if found := re.fullmatch(
                r"(?:log|logging\.getLogger\('gunicorn\.error'\))\.(\w+)", function
            ):
                if found[1] in LEVELS:
                    yield str(text), LEVELS[found[1]]


def test_the_runbook_lists_every_warning_and_error() -> None:
    page = DOCS / "runbooks" / "log-events.md"
    listed = {(row["event"], row["level"]) for row in rows(page, "what it means, and what to do")}
    sources = (ROOT / "gateway").rglob("*.py")

    assert listed == {event for source in sources for event in logged(source)}

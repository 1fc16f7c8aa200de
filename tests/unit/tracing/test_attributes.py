"""The guide has every attribute that spans have."""

from __future__ import annotations

from pathlib import Path

from gateway.tracing import attributes

GUIDE = Path(__file__).parents[3] / "docs/guides/opentelemetry.md"


def test_the_guide_names_every_attribute() -> None:
    names = {value for name, value in vars(attributes).items() if name.isupper()}
    text = GUIDE.read_text()

    assert len(names) > 10
    assert not {name for name in names if f"`{name}`" not in text}

"""What Python code gives: checked where it comes in, so that what is wrong is said by its name.

Every error says which argument it is, what came and what would be right.
"""

from __future__ import annotations


def plain(text: str) -> str:
    """The same as no other class than ``str``: that of a template for instance cannot be sent."""
    return str.__str__(text)

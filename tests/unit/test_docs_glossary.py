"""The words of the glossary are few, short, and those that the code says of itself."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from tests.support.pages import DOCS, Row, rows

GLOSSARY = DOCS / "concepts" / "glossary.md"
MOST_WORDS = 37


def words() -> list[Row]:
    return rows(GLOSSARY, "word", "is", "where")


def word_of(row: Row) -> str:
    return row["word"]


def test_the_words_are_few_and_in_order() -> None:
    found = [row["word"] for row in words()]

    assert len(found) <= MOST_WORDS
    assert found == sorted(set(found))


@pytest.mark.parametrize("row", words(), ids=word_of)
def test_a_word_is_told_in_one_or_two_sentences(row: Row) -> None:
    assert row["is"].endswith(".")
    assert len(re.findall(r"\.(?: |$)", row["is"])) <= 2


@pytest.mark.parametrize("row", words(), ids=word_of)
def test_a_word_is_a_class_that_says_it(row: Row) -> None:
    module_name, _, name = row["where"].rpartition(".")
    module = importlib.import_module(module_name)
    there = getattr(module, name)
    said = " ".join(f"{inspect.getdoc(module)} {inspect.getdoc(there)}".lower().split())

    assert inspect.isclass(there)
    assert re.search(rf"\b{row['word']}(?:s|d|ed|es|ing)?\b", said)

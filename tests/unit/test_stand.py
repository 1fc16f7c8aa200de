"""``Stand``: gateways that are started at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support import stand
from tests.support.redis_server import RedisServer
from tests.support.stand import a_stand

folders: list[str] = []


class Started:
    """In the place of a process. Like one, it makes its folder when it is entered."""

    def __init__(self, folder: Path, *_: str, **__: Any) -> None:
        self.folder = folder

    def __enter__(self) -> Started:
        self.folder.mkdir()
        folders.append(self.folder.name)
        return self

    def __exit__(self, *_: object) -> None:
        pass


async def test_each_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the folder is counted by those that have started."""
    monkeypatch.setattr(stand, "Served", Started)
    redis = RedisServer(tmp_path)

    async with a_stand(redis, tmp_path) as made:
        await asyncio.gather(*[made.serve() for _ in range(3)])

    assert sorted(folders) == ["serve0", "serve1", "serve2"]

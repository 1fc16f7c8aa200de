"""The folder of one supervisor, where ``/tmp`` is cleaned by age."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.process.run_folder import make_run_folder, remove_run_folder, restore_run_folder

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="no systemd-tmpfiles here")
@pytest.mark.parametrize("anew", [False, True])
def test_who_tidies_up_by_age_leaves_the_folder_of_one_that_lives(
    tmp_path: Path, anew: bool
) -> None:
    """Red with a lock beside the files alone: all of it goes, and so do counts of the dead."""
    folder = make_run_folder()
    if anew:
        shutil.rmtree(folder)
        restore_run_folder(folder)
    dead = folder / "metrics" / "counter_1.db"
    dead.touch()
    rules = tmp_path / "runtime" / "rules.conf"
    rules.write_text(f"d {tmp_path} - - - 0\nx {rules.parent}\n")  # whatever its age
    tidy = ["systemd-tmpfiles", "--clean", str(rules)]

    subprocess.run(tidy, timeout=30, check=True)
    left = dead.exists()
    remove_run_folder(folder)
    folder.mkdir()
    subprocess.run(tidy, timeout=30, check=True)

    assert left
    assert not folder.exists()  # it would have gone

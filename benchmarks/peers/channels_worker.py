"""Channels: `manage.py runworker`, as a Django project has it."""

from __future__ import annotations

import os

from django.core.management import execute_from_command_line

from benchmarks.peers.channels_settings import WORK

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.channels_settings")
    execute_from_command_line(["manage.py", "runworker", WORK])

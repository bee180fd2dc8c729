"""Programs as a user starts them, from exec on: compiled once, as they are installed, whatever the bench's own settings say."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

_NOT_HANDED_ON = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE")


async def python(*arguments: str, url: str, folder: Path) -> Process:
    """Start Python in a folder of its own; the server is named by NATS_URL."""
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, cwd=folder,
        env={**environment, "NATS_URL": url},
    )  # fmt: skip

"""What makes servers, processes and folders of its own takes them along when it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import typer

from mesh.cli.running import tidy_on_sigterm


def test_sigterm_lets_what_was_made_be_put_away_and_gives_the_signals_exit_code() -> None:
    put_away = False

    async def work() -> None:
        nonlocal put_away
        async with tidy_on_sigterm():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                put_away = True

    with pytest.raises(typer.Exit) as end:
        asyncio.run(asyncio.wait_for(work(), 30))
    assert (put_away, end.value.exit_code) == (True, 143)


def test_a_cancel_that_is_no_signal_stays_one() -> None:
    async def work() -> None:
        async with tidy_on_sigterm():
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())

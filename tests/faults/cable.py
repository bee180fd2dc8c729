"""`Cable`: what lies between a process and the server, to be severed: nothing arrives, and nobody is told."""

from __future__ import annotations

import asyncio


class Cable:
    """A port that leads to another one. `async with Cable(port) as cable: … cable.url …`"""

    def __init__(self, port: int) -> None:
        self._port = port
        self._forth = asyncio.Event()
        self._back = asyncio.Event()
        self.mend()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where to connect instead of to the server."""
        assert self._server is not None
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def sever(self, *, forth: bool = True, back: bool = True) -> None:
        """From now on nothing passes, to the port or from it; connections stay open, as they do when a cable is pulled."""
        for way, cut in ((self._forth, forth), (self._back, back)):
            if cut:
                way.clear()

    def mend(self) -> None:
        """What was on its way arrives, late."""
        self._forth.set()
        self._back.set()

    def cut(self) -> None:
        """Every connection ends, and what was on its way is lost; new ones are taken."""
        for task in tuple(self._tasks):
            task.cancel()
        self.mend()

    async def __aenter__(self) -> Cable:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._port)
        except ConnectionError:
            writer.close()
            return
        for way, source, target in ((self._forth, reader, there[1]), (self._back, there[0], writer)):
            task = asyncio.get_running_loop().create_task(self._carry(way, source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, way: asyncio.Event, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await way.wait()
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()

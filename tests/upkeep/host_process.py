"""A process that hosts workflows, for tests that lose it or its server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from mesh import Job, Mesh, workflow
from mesh.testing.virtual_time import until
from tests.servers import RealServer


class HostProcess:
    """One process, from `ready` until the block ends: by `kill -9`."""

    def __init__(self, server: RealServer, folder: Path, name: str) -> None:
        self._server, self._folder, self._name = server, folder, name
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> HostProcess:
        command = [sys.executable, __file__, self._server.url, self._name, str(self._folder)]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, cwd=root, env={"PYTHONPATH": str(root)})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    async def ready(self) -> None:
        await until((self._folder / f"{self._name}.ready").exists, timeout=60)

    def effects(self) -> list[str]:
        return (self._folder / "effects").read_text().split()


def mark(what: str) -> str:
    """A line in a file: the effect that the test counts."""
    with (Path(sys.argv[3]) / "effects").open("a") as file:
        file.write(f"{what}\n")
    return what


async def until_told(name: str) -> str:
    await until((Path(sys.argv[3]) / name).exists, timeout=60)
    return mark(name)


@workflow("walk")
async def walk(job: Job, how: str) -> list[str]:
    first = await job.step("first", mark, "first")
    second = await job.step("second", until_told, "second", effect="pure")
    return [first, second, how]


@workflow("note")
async def note(job: Job, text: str) -> str:
    return text


@workflow("publish")
async def publish(job: Job, text: str) -> str:
    approved = await job.approval("publish", text)
    return f"{text}, says {approved.by}"


@workflow("nap")
async def nap(job: Job, seconds: float) -> str:
    await job.sleep(seconds)
    return "rested"


async def main() -> None:
    async with Mesh.connect(sys.argv[1], process=sys.argv[2]) as mesh:
        for each in (walk, note, publish, nap):
            await mesh.host_workflow(each)
        (Path(sys.argv[3]) / f"{sys.argv[2]}.ready").touch()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

"""`mesh demo`: a server, the review team as processes of their own, one job published to its subject, a ranked review.

Nothing is left behind: server, team and sample repository live in a temporary folder below `.mesh/`.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note
from mesh.cli.review import ReviewFormat, print_review
from mesh.cli.running import run, tidy_on_sigterm
from mesh.settings.folder import FOLDER

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh
    from mesh.host.ephemeral import Ephemeral
    from mesh.jobs.outside.submission import JobHandle

NAMESPACE = "demo"
PATIENCE = 60.0


@shared_options
def demo(
    options: Options,
    keep: Annotated[bool, typer.Option("--keep", help="Keep server and team running until Ctrl-C.")] = False,
) -> None:
    """Start a server and the review team, publish one job, show who bids and who wins, print the review."""
    run(_demo(options, keep, Path(FOLDER).absolute()))


async def _demo(options: Options, keep: bool, below: Path) -> None:
    from mesh.agents.review.findings import Review
    from mesh.agents.review.team import shortage, team
    from mesh.cli.progress import JobProgress
    from mesh.client.mesh import Mesh
    from mesh.host.ephemeral import ephemeral_host

    note("starting a nats-server and the review team, each agent a process of its own")
    if lacking := shortage():
        note(lacking)
    async with (
        tidy_on_sigterm(),
        _sample(below) as repository,
        ephemeral_host(team(), namespace=NAMESPACE, repositories=(repository,), below=below) as running,
        Mesh.connect(running.target, namespace=NAMESPACE, name="demo") as mesh,
    ):
        note(f"server {running.target.url}, {len(running.host.supervisor.keepers)} processes ready")
        handle = await _publish(mesh, repository)
        with JobProgress() as progress:
            state = await handle.watch(progress.tell, timeout=options.timeout or PATIENCE)
        review = await handle.outcome(state, returns=Review)
        print_review(review, None if options.output is Format.YAML else ReviewFormat(options.output), options.output)
        if keep:
            await _until_interrupted(running)


@asynccontextmanager
async def _sample(below: Path) -> AsyncIterator[Path]:
    """The sample repository, in a temporary folder."""
    from mesh.agents.review.sample import make_sample

    await asyncio.to_thread(below.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sample-", dir=below, ignore_cleanup_errors=True) as folder:
        yield await asyncio.to_thread(make_sample, Path(folder) / "shop")


async def _publish(mesh: Mesh, repository: Path) -> JobHandle:
    """Publish the job as any NATS client would: plain JSON to the workflow's subject."""
    from mesh.protocols.submission import job_id_for_message

    subject = mesh.peer.subjects.ingress("default", "code-review")
    data = msgspec.json.encode({"repo": str(repository), "range": "HEAD~1..HEAD"})
    note(f"publish {subject} {data.decode()}")
    stored = await mesh.peer.store.append(subject, data)
    return mesh.job(job_id_for_message(stored.stream, stored.sequence))


async def _until_interrupted(team: Ephemeral) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    shared = f"--server {team.target.url} --namespace {team.namespace}"
    note(f"kept until Ctrl-C; look around with:\n  mesh registry ls {shared}\n  mesh job ls {shared}")
    await stop.wait()

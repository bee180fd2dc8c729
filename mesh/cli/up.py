"""`mesh up`: launch the agents of a manifest on this host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_value
from mesh.host.manifest import DEFAULT_FILE
from mesh.settings.errors import BadSettings
from mesh.settings.folder import MeshFolder

if TYPE_CHECKING:
    from mesh.host.foreground import UpRequest


@shared_options
def up(
    options: Options,
    manifest: Annotated[Path, typer.Argument(help="What to launch.", dir_okay=False)] = Path(DEFAULT_FILE),
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all instances are ready.")] = False,
    host_name: Annotated[str | None, typer.Option(help="Name of this host (default: the machine's).")] = None,
    reload: Annotated[bool, typer.Option(help="Start processes anew when their code changes.")] = False,
    health: Annotated[
        str | None, typer.Option(help="Answer /healthz and /readyz here, such as 127.0.0.1:8080.")
    ] = None,
) -> None:
    """Launch the agents and workflows of MANIFEST, keep them running, and drain them on Ctrl-C or SIGTERM.

    Without a configured server the embedded one is started; it stays until the folder's last `mesh down`.
    """
    from mesh.host.foreground import UpRequest
    from mesh.host.manifest_reading import BadManifest

    request = UpRequest(
        manifest=str(manifest.absolute()),
        folder=str(MeshFolder.working().path),
        host_name=host_name,
        namespace=options.namespace,
        server=options.server,
        context=options.context,
        health=health,
        reload=reload,
        timeout=options.timeout,
        must_be_ready=detach,
    )
    try:
        if detach:
            _detached(request, options)
        else:
            _foreground(request)
    except (BadManifest, BadSettings) as error:
        raise BadInput(str(error)) from None


def _foreground(request: UpRequest) -> None:
    from mesh.host.console import Console
    from mesh.host.foreground import run_host

    sys.exit(run_host(request, lambda _: Console(), lambda _: None))


def _detached(request: UpRequest, options: Options) -> None:
    from mesh.host.detached import launch
    from mesh.host.foreground import choose_server
    from mesh.host.manifest_reading import read_manifest

    manifest = read_manifest(Path(request.manifest))
    choose_server(request, manifest, MeshFolder(Path(request.folder)))
    record = launch(request, options.timeout or manifest.host.start_timeout)
    note(
        f"host {record.name} is ready: {len(record.processes)} process{'es' * (len(record.processes) != 1)} on {record.url}; `mesh ps` lists them"
    )
    if options.output != "table":
        print_value(record, options.output)

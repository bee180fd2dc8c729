"""`mesh down`: drain the hosts of this folder."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_value
from mesh.settings.folder import MeshFolder

_TIMEOUT = 30.0


@shared_options
def down(
    options: Options,
    host: Annotated[list[str] | None, typer.Option(help="Only this host; may be given again.")] = None,
    force: Annotated[bool, typer.Option(help="Kill at once; what is being handled is lost.")] = False,
) -> None:
    """Drain every host of this folder and, after the last one, stop its embedded server. Again: nothing happens."""
    from mesh.host.stopping import stop_hosts

    folder = MeshFolder.working()
    stopped = stop_hosts(folder, host or (), force=force, timeout=options.timeout or _TIMEOUT)
    note(f"ended: {', '.join(stopped.hosts)}" if stopped.hosts else f"no host runs in {folder.path.parent}")
    if stopped.server:
        note(f"stopped the embedded server ({stopped.server}); what it stored stays in {folder.store}")
    if options.output != "table":
        print_value(stopped, options.output)

"""`mesh server`: the embedded server of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_table, print_value
from mesh.settings.errors import NoServer
from mesh.settings.folder import MeshFolder

if TYPE_CHECKING:
    from mesh.server.record import ServerRecord

app = typer.Typer(help="The embedded server of this folder.", no_args_is_help=True)

_COLUMNS = {"url": "URL", "pid": "PID", "version": "VERSION", "store_dir": "STORE"}


@app.command("start")
@shared_options
def start(
    options: Options,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Which port (default: the last one, 4222, or a free one).")
    ] = None,
) -> None:
    """Start the folder's nats-server, detached. Again: the one that runs already."""
    from mesh.server.embedded import start_server

    folder = MeshFolder.working()
    _print(start_server(folder, port=port, timeout=options.timeout or 30.0), options)


@app.command("stop")
@shared_options
def stop(options: Options) -> None:
    """Stop the folder's nats-server; what it stored stays. Again: nothing happens."""
    from mesh.server.embedded import stop_server

    folder = MeshFolder.working()
    stopped = stop_server(folder, grace=options.timeout or 10.0)
    note(f"stopped {stopped.url}" if stopped else f"no server runs in {folder.path.parent}")


@app.command("status")
@shared_options
def status(options: Options) -> None:
    """Where the folder's nats-server runs; exit status 3 when it does not."""
    from mesh.server.embedded import server_status

    folder = MeshFolder.working()
    record = server_status(folder)
    if record is None:
        raise NoServer(f"no embedded server runs in {folder.path.parent}: `mesh server start` starts one")
    _print(record, options)


def _print(record: ServerRecord, options: Options) -> None:
    row: dict[str, Any] = {name: getattr(record, name) for name in _COLUMNS}
    if options.output is Format.TABLE:
        print_table([row], _COLUMNS)
    else:
        print_value(row, options.output)

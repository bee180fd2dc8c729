"""`mesh ps`: the hosts of this folder and their processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, plain, print_rows
from mesh.settings.folder import MeshFolder

if TYPE_CHECKING:
    from mesh.host.host_record import HostRecord

_COLUMNS = {
    "host": "HOST",
    "process": "PROCESS",
    "agent": "AGENT",
    "state": "STATE",
    "pid": "PID",
    "restarts": "RESTARTS",
    "handled": "HANDLED",
    "lag_ms": "LAG MS",
    "reason": "REASON",
}


@shared_options
def ps(options: Options) -> None:
    """List the hosts that run in this folder and the state of each of their processes.

    `-o json` prints a list of hosts, each with its `processes`.
    """
    from mesh.host.host_record import live_hosts

    folder = MeshFolder.working()
    hosts = live_hosts(folder)
    if options.output != "table":
        print_rows([plain(host) for host in hosts], {}, options.output)
        return
    rows = [row for host in hosts for row in _rows(host)]
    print_rows(rows, _COLUMNS, options.output, empty=f"no host runs in {folder.path.parent}; `mesh up` starts one")
    for host in hosts:
        note(
            f"host {host.name}: {host.state}, process {host.pid}, namespace {host.namespace}, {host.url}, {host.manifest}"
        )


def _rows(host: HostRecord) -> list[dict[str, Any]]:
    return [
        {
            **plain(each),
            "host": host.name,
            "pid": each.pid or None,
            "lag_ms": None if each.lag is None else each.lag * 1000,
        }
        for each in host.processes
    ]

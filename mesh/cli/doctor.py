"""`mesh doctor`: what is configured, reachable, too old or missing, and what to do about it."""

from __future__ import annotations

import typer

from mesh.cli.exits import Exit
from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, plain, print_rows
from mesh.cli.running import run

_COLUMNS = {"check": "CHECK", "state": "STATE", "found": "FOUND", "do": "WHAT TO DO"}


@shared_options
def doctor(options: Options) -> None:
    """Check everything that the mesh needs here; exit status 1 when something must be mended.

    `-o json` prints a list of `check`, `state` (ok, warn, fail), `found` and `do`.
    """
    from mesh.cli.doctor_machine import machine_checks
    from mesh.cli.doctor_server import server_checks

    found = [*machine_checks(), *run(server_checks(options))]
    print_rows([plain(each) for each in found], _COLUMNS, options.output)
    failed = [each for each in found if each.state == "fail"]
    warned = [each for each in found if each.state == "warn"]
    note(f"{len(failed)} to mend, {len(warned)} to know of" if failed or warned else "everything is fine")
    if failed:
        raise typer.Exit(Exit.FAILED)

"""`mesh`: finds the command, runs it, and turns what went wrong into one line and an exit code.

Commands are loaded when they are called, so that `mesh registry ls` does not pay for `mesh review`. Teams add their own
through the entry-point group `mesh.commands`.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from mesh.cli.exits import Awaited, BadInput, Exit, JobFailed, exit_for
from mesh.cli.output import note
from mesh.cli.plain_types import read_plainly
from mesh.cli.streams import lead_nowhere, open_streams
from mesh.protocols.errors import MeshError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("mesh.cli.demo:demo", "Start a server and the review team, publish one job, print the review."),
    "up": ("mesh.cli.up:up", "Launch the agents of a manifest on this host."),
    "down": ("mesh.cli.down:down", "Drain the hosts of this folder."),
    "ps": ("mesh.cli.ps:ps", "List the hosts of this folder and their processes."),
    "review": ("mesh.cli.review:review", "Review a git diff."),
    "submit": ("mesh.cli.submit:submit", "Publish a job and follow it."),
    "job": ("mesh.cli.job:app", "Look at jobs, and tell them something: ls, show, result, cancel, signal, …"),
    "approvals": ("mesh.cli.approvals:app", "What waits for somebody's yes: ls, show, approve, deny."),
    "dlq": ("mesh.cli.dlq:app", "Dead letters: ls, show, redrive, drop."),
    "ask": ("mesh.cli.ask:ask", "Ask an agent, and print what comes back."),
    "call": ("mesh.cli.call:call", "Hold one auction for a capability and print the result."),
    "counts": ("mesh.cli.counts:counts", "What processes have refused or dropped, and how often."),
    "registry": ("mesh.cli.registry:app", "Who is there: ls, show, watch, ping, schema, bids, graph."),
    "events": ("mesh.cli.events:events", "Print events, those to come with -f."),
    "logs": ("mesh.cli.logs:logs", "Find the log lines of agent calls, across processes and hosts."),
    "gateway": ("mesh.cli.gateway:app", "The mesh over HTTP: http, token, secret, webhooks."),
    "breaker": ("mesh.cli.breaker:app", "Circuit breakers: ls, show, open, close, reset."),
    "kill": ("mesh.cli.kill:app", "Kill an agent, a tenant, a capability, …; ls: what is killed."),
    "allow": ("mesh.cli.allow:allow", "Lift a kill switch."),
    "flag": ("mesh.cli.flag:app", "Flags for handlers and workflows: set, unset, ls."),
    "limit": ("mesh.cli.limit:app", "Rate limits over all processes: set, unset, ls."),
    "policy": ("mesh.cli.policy:app", "Kill switches, flags, limits and shares: ls, history."),
    "backup": ("mesh.cli.backup:backup", "Save a namespace into a folder, while it goes on."),
    "restore": ("mesh.cli.restore:restore", "Put a namespace back as it was saved."),
    "archive": ("mesh.cli.archive:app", "Archives of ended jobs: run, ls, show, sweep."),
    "tenant": ("mesh.cli.tenant:app", "Tenants: share, ls, erase."),
    "server": ("mesh.cli.server:app", "The embedded server: start, stop, status."),
    "doctor": ("mesh.cli.doctor:doctor", "What is configured, reachable, too old or missing, and what to do."),
    "new": ("mesh.cli.new:app", "Write a runnable, tested agent and its manifest."),
}


def _team_commands() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {each.name: each for each in entry_points(group="mesh.commands")}


class LazyCommands(TyperGroup):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Ours in the order of the table, then the teams' own."""
        return [*COMMANDS, *(name for name in sorted(_team_commands()) if name not in COMMANDS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported now; None when there is none of that name."""
        if cmd_name in COMMANDS:
            place, summary = COMMANDS[cmd_name]
            module, _, attribute = place.partition(":")
            return _as_command(cmd_name, getattr(import_module(module), attribute), summary)
        team = _team_commands().get(cmd_name)
        return None if team is None else _as_command(cmd_name, team.load(), None)


def _as_command(name: str, loaded: Any, summary: str | None) -> Any:
    if isinstance(loaded, typer.Typer):
        command: Any = typer.main.get_group(loaded)
    else:
        single = typer.Typer(add_completion=False)
        single.command(name, short_help=summary)(loaded)
        command = typer.main.get_command(single)
    command.name = name
    command.short_help = summary
    return read_plainly(command)


app = typer.Typer(
    cls=LazyCommands,
    name="mesh",
    help="The agent mesh on NATS: launch agents, publish jobs, inspect the registry.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mesh {version('natsmesh')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Launch agents, publish jobs, inspect the registry."""


def main() -> None:
    """Run the command line; never a traceback for a user's mistake."""
    open_streams()
    try:
        os.getcwd()
    except FileNotFoundError:
        note("error: the folder you are in has been removed: go to one that is there")
        sys.exit(Exit.BAD_INPUT)
    try:
        read_plainly(typer.main.get_command(app))()
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        lead_nowhere(sys.stdout)
        sys.exit(Exit.FAILED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        note(f"error: {error.strerror}: {error.filename or 'what was found could not be printed'}")
        lead_nowhere(sys.stdout)
        sys.exit(Exit.FAILED)
    except Awaited as awaited:
        note(str(awaited))
        sys.exit(Exit.WAITING)
    except (MeshError, JobFailed, BadInput) as error:
        note(f"error: {error}")
        sys.exit(exit_for(error))

"""`mesh approvals`: what waits for somebody's yes, shown exactly, and answered with the digest of what was shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_rows, print_value, printable
from mesh.cli.running import connected, run
from mesh.cli.telling import By, Id, Reason, find, patience, report, user
from mesh.protocols.errors import Refused

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh
    from mesh.jobs.outside.control import Verdict
    from mesh.jobs.outside.handle import JobHandle
    from mesh.protocols.job_state import JobState

app = typer.Typer(help="Approvals: ls, show, approve, deny.", no_args_is_help=True)

COLUMNS = {
    "job": "JOB",
    "workflow": "WORKFLOW",
    "tenant": "TENANT",
    "key": "KEY",
    "action": "ACTION",
    "risk": "RISK",
    "until": "EXPIRES",
    "digest": "DIGEST",
}
TYPED = 6
"""Characters of the digest that an approver types, at least."""

Key = Annotated[str, typer.Argument(metavar="[KEY]", help="Which approval, where the job waits for several.")]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing.")]
Digest = Annotated[
    str, typer.Option(help="The beginning of the action's digest, of what you were shown before.", show_default=False)
]


@app.command("ls")
@shared_options
def ls(options: Options, tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "*") -> None:
    """List the approvals that are open, of every job."""

    async def work() -> list[dict[str, Any]]:
        from mesh.jobs.outside.listing import iso

        async with connected(options) as mesh:
            return [
                {
                    "job": each.job,
                    "workflow": each.workflow,
                    "tenant": each.tenant,
                    "key": each.key,
                    "action": each.action,
                    "risk": each.risk or None,
                    "until": None if each.until is None else iso(each.until),
                    "digest": each.digest,
                    "state": each.state,
                }
                for each in await mesh.approvals(tenant)
            ]

    rows = run(work())
    if options.output is Format.TABLE:
        rows = [{**each, "digest": _hex(each["digest"])[:12]} for each in rows]
    print_rows(rows, COLUMNS, options.output, empty="nothing waits for an approval")


@app.command("show")
@shared_options
def show(options: Options, job: Id, key: Key = "") -> None:
    """Print the exact action that an approval is about, with its digest."""

    async def work() -> dict[str, Any]:
        async with connected(options) as mesh:
            return await _shown(mesh, await find(mesh, job), key)

    shown = run(work())
    if options.output is Format.TABLE:
        typer.echo(printable(_drawn(shown)))
    else:
        print_value(shown, options.output)


@app.command("approve")
@shared_options
def approve(
    options: Options, job: Id, key: Key = "", digest: Digest = "", yes: Yes = False, by: By = "", reason: Reason = ""
) -> None:
    """Say yes to the action that is shown. Asks for the beginning of its digest, unless it is given."""
    _answer(options, "approve", job, key, digest, yes=yes, by=by, reason=reason)


@app.command("deny")
@shared_options
def deny(
    options: Options, job: Id, key: Key = "", digest: Digest = "", yes: Yes = False, by: By = "", reason: Reason = ""
) -> None:
    """Say no to the action that is shown: the workflow is told so. Never asks, since a no does nothing; --yes is taken, too."""
    del yes
    _answer(options, "deny", job, key, digest, yes=True, by=by, reason=reason)


def _answer(
    options: Options,
    verb: Literal["approve", "deny"],
    job: str,
    key: str,
    digest: str,
    *,
    yes: bool,
    by: str,
    reason: str,
) -> None:
    """What is sent is always the digest of what was shown: should it be about something else by then, it is passed over."""
    who = by or user()

    async def work() -> Verdict:
        async with connected(options) as mesh:
            handle = await find(mesh, job)
            shown = await _shown(mesh, handle, key)
            _confirm(shown, digest, yes=yes)
            say = handle.approve if verb == "approve" else handle.deny
            return await say(shown["key"], digest=shown["digest"], by=who, reason=reason, timeout=patience(options))

    report(run(work()), options.output)


def _confirm(shown: dict[str, Any], digest: str, *, yes: bool) -> None:
    """Go on only if the person has seen this very action.

    Raises:
        BadInput: they have not, or nobody can be asked.
    """
    if digest:
        return _compare(shown, digest)
    note(_drawn(shown))
    if yes:
        return None
    if not sys.stdin.isatty():
        raise BadInput(
            "nobody can be asked here: approve with --digest and what `mesh approvals show` printed, or with --yes"
        )
    _compare(shown, typer.prompt(f"to approve, type the first {TYPED} characters of the digest", err=True))
    return None


def _compare(shown: dict[str, Any], typed: str) -> None:
    typed = _hex(typed.strip().lower())
    if len(typed) < TYPED:
        raise BadInput(f"{typed!r} is too short: type at least {TYPED} characters of the digest")
    if not _hex(shown["digest"]).startswith(typed):
        raise BadInput(
            f"the action has the digest {_hex(shown['digest'])[:12]}…, not {typed!r}: look at it again with `mesh approvals show`"
        )


async def _shown(mesh: Mesh, handle: JobHandle, key: str) -> dict[str, Any]:
    """The approval as whoever answers it must see it.

    Raises:
        Refused: what is shown is not what its digest names, or it was answered before.
    """
    import msgspec

    from mesh.jobs.journals.values import Values
    from mesh.jobs.outside.approvals import action_digest, the_approval
    from mesh.jobs.outside.listing import iso

    state = await handle.state()
    refuse_answered(state, key)
    wait = the_approval(handle.id, state.open_waits, key)
    opened = wait.opened
    values = Values(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock)
    raw = msgspec.Raw(b"null") if opened.about is None else await values.load(opened.about)
    if action_digest(opened.name, raw) != opened.digest:
        raise Refused(f"what job {handle.id} shows for {opened.key!r} is not what its digest names: do not approve it")
    return {
        "job": handle.id,
        "tenant": handle.tenant,
        "workflow": state.head.workflow if state.head else "",
        "key": opened.key,
        "action": opened.name,
        "risk": opened.risk or None,
        "asked_at": iso(wait.opened_at),
        "until": None if opened.until is None else iso(opened.until),
        "about": msgspec.json.decode(raw),
        "digest": opened.digest,
    }


def refuse_answered(state: JobState, key: str) -> None:
    """Tell whoever comes too late who was first.

    Raises:
        Refused: none of the job's approvals with this key (with any, where none is given) is open, and one was.
    """
    from mesh.jobs.outside.listing import iso

    asked = [w for w in state.waits.values() if w.opened.kind == "approval" and key in ("", w.opened.key)]
    if any(each.answer is None for each in asked):
        return
    for wait in sorted(asked, key=lambda each: each.resolved_at, reverse=True):
        assert wait.answer is not None
        said = (f" by {wait.answer.by}" if wait.answer.by else "") + f" at {iso(wait.resolved_at)}"
        why = f": {wait.answer.reason}" if wait.answer.reason else ""
        raise Refused(f"{wait.opened.key!r} of job {state.job} was {wait.answer.how}{said}{why}")


def _drawn(shown: dict[str, Any]) -> str:
    import msgspec

    about = msgspec.json.format(msgspec.json.encode(shown["about"]), indent=2).decode()
    lines = [
        f"{name:>9}: {shown[name]}" for name in shown if name not in ("about", "digest") and shown[name] is not None
    ]
    return "\n".join((*lines, "", about, "", f"   digest: {_hex(shown['digest'])}"))


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")

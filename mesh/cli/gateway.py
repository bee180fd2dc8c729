"""`mesh gateway`: the mesh over HTTP, its tokens, its webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_rows, print_value
from mesh.cli.running import connected, run, whereabouts
from mesh.settings.errors import BadSettings

if TYPE_CHECKING:
    from mesh.gateway.webhooks.ledger import Entry, Ledger

app = typer.Typer(help="The mesh over HTTP: http, token, secret, webhooks.", no_args_is_help=True)
webhooks = typer.Typer(help="Completion webhooks: ls, retry, drop.", no_args_is_help=True)
app.add_typer(webhooks, name="webhooks")

COLUMNS = {
    "id": "ID",
    "state": "STATE",
    "tenant": "TENANT",
    "job": "JOB",
    "url": "URL",
    "attempts": "ATTEMPTS",
    "status": "STATUS",
    "reason": "REASON",
}
TokenFile = Annotated[Path | None, typer.Option(help="Where the token is (default: in the state folder).")]


@app.command("http")
@shared_options
def http(
    options: Options,
    listen: Annotated[str, typer.Option(help="HOST:PORT; port 0 takes a free one.")] = "127.0.0.1:8787",
    token_file: TokenFile = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain in PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without TLS.")] = False,
    webhook_allow: Annotated[
        list[str] | None, typer.Option(help="A host that webhooks may go to: example.com, *.example.com, host:8443.")
    ] = None,
    webhook_loopback: Annotated[
        bool, typer.Option("--webhook-loopback", help="Allow webhooks to this machine, also over plain http.")
    ] = False,
    webhook_private: Annotated[
        bool, typer.Option("--webhook-private", help="Allow webhooks to addresses that are not public.")
    ] = False,
    webhook_attempts: Annotated[int, typer.Option(min=1, max=100, help="How often a webhook is sent at most.")] = 12,
) -> None:
    """Serve jobs over HTTP until Ctrl-C or SIGTERM. Every request needs the token; it is made at the first start."""
    from mesh.gateway.address import read_address
    from mesh.gateway.serve import Settings, serve
    from mesh.gateway.state_folder import bound_file, secret_file
    from mesh.gateway.state_folder import token_file as the_token_file
    from mesh.gateway.webhooks.service import Sending
    from mesh.gateway.webhooks.targets import Targets

    try:
        token, secret = the_token_file(token_file), secret_file()
        settings = Settings(
            address=read_address(listen, certificate=tls_cert, key=tls_key, insecure=insecure),
            token=token.read(),
            secret=secret.read(),
            bound=bound_file(),
            targets=Targets(webhook_allow or (), loopback=webhook_loopback, private=webhook_private),
            sending=Sending(attempts=webhook_attempts),
        )
        target, namespace = whereabouts(options)
        run(serve(settings, target, namespace, lambda url: note(f"gateway on {url}; the token is in {token.path}")))
    except BadSettings as error:
        raise BadInput(str(error)) from None


@app.command("token")
@shared_options
def token(
    options: Options,
    tenant: Annotated[list[str] | None, typer.Option(help="Make a new token, good for this tenant only.")] = None,
    token_file: TokenFile = None,
) -> None:
    """Say where the token is that may do everything, or make one that is bound to tenants and print it, once."""
    from mesh.gateway.state_folder import bound_file, new_token
    from mesh.gateway.state_folder import token_file as the_token_file
    from mesh.gateway.tokens import bind

    try:
        if not tenant:
            file = the_token_file(token_file)
            file.read()
            return _print({"token_file": str(file.path)}, str(file.path), options)
        made = new_token()
        bind(bound_file(), made, tuple(tenant))
    except BadSettings as error:
        raise BadInput(str(error)) from None
    note(f"good for {', '.join(tenant)}; its digest is in {bound_file()}, and the token is nowhere but here:")
    return _print({"token": made, "tenants": tenant}, made, options)


@app.command("secret")
@shared_options
def secret(options: Options) -> None:
    """Say where the secret is that webhooks are signed with; receivers need it."""
    from mesh.gateway.state_folder import secret_file

    file = secret_file()
    try:
        file.read()
    except BadSettings as error:
        raise BadInput(str(error)) from None
    _print({"secret_file": str(file.path)}, str(file.path), options)


@webhooks.command("ls")
@shared_options
def list_webhooks(
    options: Options,
    state: Annotated[str, typer.Option(help="Only in this state: waiting, claimed, delivered or dead.")] = "",
) -> None:
    """List webhooks, the oldest first: those to come, those delivered in the last days, those given up."""

    from mesh.gateway.webhooks.hook import HookState

    if state and state not in get_args(HookState):
        raise BadInput(f"no webhook is ever {state!r}: --state takes one of {', '.join(get_args(HookState))}")

    async def work() -> list[dict[str, Any]]:
        async with _ledger(options) as ledger:
            return [_row(each) for each in await ledger.all() if not state or each.hook.state == state]

    print_rows(run(work()), COLUMNS, options.output, empty="no webhooks")


@webhooks.command("retry")
@shared_options
def retry_webhooks(
    options: Options,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which ones.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every one that was given up.")] = False,
) -> None:
    """Send webhooks anew that were given up; a running gateway takes them at once."""
    changed = _each(options, ids or [], every, lambda ledger, entry: ledger.retry(entry))
    note(f"{changed} to be sent again")


@webhooks.command("drop")
@shared_options
def drop_webhooks(
    options: Options,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which ones.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every one that was given up.")] = False,
) -> None:
    """Forget webhooks: nobody is told any more."""
    changed = _each(options, ids or [], every, lambda ledger, entry: ledger.remove(entry))
    note(f"{changed} dropped")


def _each(options: Options, ids: list[str], every: bool, work: Callable[[Ledger, Entry], Awaitable[object]]) -> int:
    """Do it to each of them, or to every dead one; how many those were."""
    from mesh.gateway.webhooks.hook import UnknownWebhook

    if bool(ids) == every:
        raise BadInput("name webhooks by their ids, or say --all for every one that was given up")

    async def do() -> int:
        async with _ledger(options) as ledger:
            found = [each for each in await ledger.all() if each.hook.state == "dead"] if every else []
            found += [await ledger.get(each) for each in ids]
            await asyncio.gather(*(work(ledger, each) for each in found))
            return len(found)

    try:
        return run(do())
    except UnknownWebhook as error:
        raise BadInput(str(error)) from None


@asynccontextmanager
async def _ledger(options: Options) -> AsyncIterator[Ledger]:
    from mesh.gateway.webhooks.ledger import Ledger

    async with connected(options) as mesh:
        yield Ledger(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock)


def _row(entry: Entry) -> dict[str, Any]:
    from mesh.jobs.outside.listing import iso

    hook = entry.hook
    return {
        "id": hook.id,
        "state": hook.state,
        "tenant": hook.tenant,
        "job": hook.job,
        "workflow": hook.workflow,
        "url": hook.url,
        "attempts": hook.attempts,
        "status": hook.status or None,
        "reason": hook.reason or None,
        "registered_at": iso(hook.registered_at),
        "changed_at": iso(hook.changed_at) if hook.changed_at else None,
    }


def _print(value: dict[str, Any], line: str, options: Options) -> None:
    if options.output is Format.TABLE:
        typer.echo(line)
    else:
        print_value(value, options.output)

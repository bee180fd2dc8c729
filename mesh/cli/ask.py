"""`mesh ask`: one question to an agent, an instance or a capability, without an auction. The result goes to stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, plain, print_line, print_value
from mesh.cli.payload import demands, read_payload
from mesh.cli.running import connected, run
from mesh.protocols.constraints import Constraints

if TYPE_CHECKING:
    from mesh.resilience.fallback import Answer


@shared_options
def ask(
    options: Options,
    target: Annotated[str, typer.Argument(help="An agent, agent.instance, or a capability.")],
    payload: Annotated[str, typer.Argument(metavar="[JSON|-|@FILE]", help="The handler's input.")] = "null",
    command: Annotated[str, typer.Option(help="Which command, where the agent has several.")] = "",
    tenant: Annotated[str, typer.Option(help="On whose account.")] = "default",
    priority: Annotated[int, typer.Option(min=0, max=3, help="0 is the most urgent.")] = 2,
    label: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Only instances with this label.")] = None,
    boundary: Annotated[str, typer.Option(help="Only instances within this data boundary.")] = "",
    budget: Annotated[float | None, typer.Option(help="The most money it may cost.")] = None,
    key: Annotated[str, typer.Option(help="The idempotency key.")] = "",
    hedge: Annotated[
        bool, typer.Option("--hedge", help="Ask a second instance if it takes long; pure commands.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the items of a streaming command, one a line.")
    ] = False,
) -> None:
    """Ask, and print what comes back. --timeout is the deadline of the work, too; what is degraded is said on stderr."""
    content = read_payload(payload)
    constraints = demands(labels=label, boundary=boundary, budget=budget, priority=priority)
    about: dict[str, Any] = {"command": command, "tenant": tenant, "timeout": options.timeout}
    about["constraints"] = None if constraints == Constraints() else constraints
    if stream and (key or hedge):
        raise BadInput("--stream goes with neither --key nor --hedge: what has been printed cannot be taken back")
    if stream:
        run(_stream(options, target, content, about))
        return
    try:
        answer = run(_ask(options, target, content, {**about, "key": key, "hedge": hedge or None}))
    except TypeError as error:
        raise BadInput(str(error)) from None
    if answer.source != "full":
        note(f"this answer is {answer.source}: {answer.why}")
    _print(answer, options.output)


async def _ask(options: Options, target: str, content: msgspec.Raw, about: dict[str, Any]) -> Answer[Any]:
    async with connected(options) as mesh:
        answer: Answer[Any] = await mesh.ask(target, content, fallbacks=(), **about)
        return answer


async def _stream(options: Options, target: str, content: msgspec.Raw, about: dict[str, Any]) -> None:
    streamed = False
    async with connected(options) as mesh:
        async for item in mesh.stream(target, content, **about):
            print_line(item)
            streamed = True
    if not streamed:
        note("nothing was streamed; what a command that does not stream gives is printed without --stream")


def _print(answer: Answer[Any], output: Format) -> None:
    """The value alone for people and pipes; for programs with what the answer is, and whose."""
    if output is Format.TABLE:
        print_value(answer.value, output)
    else:
        print_value(
            {"result": plain(answer.value), "source": answer.source, "why": answer.why, "by": answer.by}, output
        )

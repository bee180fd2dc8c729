"""`mesh new`: write a runnable, tested agent and the manifest that launches it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from mesh.cli.agent_names import AgentNames, names_for
from mesh.cli.exits import BadInput
from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_value
from mesh.protocols.errors import InvalidName
from mesh.protocols.naming.names import check_name

app = typer.Typer(help="Write the start of something.", no_args_is_help=True)

AGENT = Template('''"""The agent `$name`. Launch it with `mesh up`, ask it with `mesh call $capability '{"text": "hello"}'`."""

from mesh import Agent, Context, command


class $cls(Agent, name="$name", version="0.1.0"):
    """Says what it does: this line is shown by `mesh registry show $name`."""

    @command(capability="$capability", effect="pure")
    async def answer(self, text: str, ctx: Context) -> str:
        """Replace this with the work."""
        ctx.log("answering", length=len(text))
        return f"$name heard: {text}"
''')

TEST = Template('''"""`$name` does what it says, in a mesh that lives in memory."""

import asyncio

from mesh.testing import local_mesh
from $module import $cls


def test_${module}_answers() -> None:
    async def ask() -> str:
        async with local_mesh() as mesh:
            await mesh.host($cls)
            return await mesh.ask("$name", text="hello")

    assert asyncio.run(ask()) == "$name heard: hello"
''')

MANIFEST = """# Launch with `mesh up`, stop with `mesh down`.
[mesh]
namespace = "default"

"""

ENTRY = Template("""[[agents]]
use = "$module.py:$cls"
instances = 2
""")


@app.command("agent")
@shared_options
def agent(
    options: Options,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and '-', such as 'price-watcher'.")],
    folder: Annotated[Path, typer.Option(help="Where to write.", file_okay=False)] = Path(),
) -> None:
    """Write NAME's file, its test and a mesh.toml; existing files are never touched."""
    try:
        names = names_for(check_name(name, "agent"), folder)
    except InvalidName as error:
        raise BadInput(str(error)) from None
    written = write_agent(names, folder)
    print_value({"written": [str(path) for path in written]}, options.output)
    if names.why:
        note(f"the file is called {names.module}.py: {names.why}")
    if folder / "mesh.toml" not in written:
        note(f"mesh.toml is there already; add to it:\n\n{_entry(names)}")
    note(f"test it with `python -m pytest`; then: {_next(names, folder)}")


def write_agent(names: AgentNames, folder: Path) -> list[Path]:
    """Write the agent, its test and, where there is none yet, the manifest: all or none. Gives what was written.

    Raises:
        BadInput: the agent or its test is there already, or the folder cannot be written.
    """
    words = {"name": names.agent, "module": names.module, "cls": names.cls, "capability": names.capability}
    files = {
        folder / f"{names.module}.py": AGENT.substitute(words),
        folder / f"test_{names.module}.py": TEST.substitute(words),
    }
    existing = [str(path) for path in files if path.exists()]
    if existing:
        raise BadInput(f"{', '.join(existing)} exists already: choose another name or --folder; nothing was written")
    if not (folder / "mesh.toml").exists():
        files[folder / "mesh.toml"] = MANIFEST + _entry(names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_all(files)
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror or error}") from None
    return list(files)


def _write_all(files: Mapping[Path, str]) -> None:
    """Write new files; where one cannot be, none stays."""
    written: list[Path] = []
    try:
        for path, text in files.items():
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _entry(names: AgentNames) -> str:
    return ENTRY.substitute(module=names.module, cls=names.cls)


def _next(names: AgentNames, folder: Path) -> str:
    there = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    return f'{there}mesh up --detach && mesh call {names.capability} \'{{"text": "hello"}}\''

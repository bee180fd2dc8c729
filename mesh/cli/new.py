"""`mesh new`: write a runnable, tested agent and the manifest that launches it."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Annotated

import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_value
from mesh.protocols.errors import InvalidName
from mesh.protocols.subjects import check_name

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

MANIFEST = Template("""# Launch with `mesh up`, stop with `mesh down`.
[mesh]
namespace = "default"

[[agents]]
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
        check_name(name, "agent")
    except InvalidName as error:
        raise BadInput(str(error)) from None
    written = write_agent(name, folder)
    print_value({"written": [str(path) for path in written]}, options.output)
    note(f'next: cd {folder} && mesh up --detach && mesh call {_capability(name)} \'{{"text": "hello"}}\'')


def write_agent(name: str, folder: Path) -> list[Path]:
    """Write the three files, all or none.

    Raises:
        BadInput: one of them is there already, or the folder cannot be written.
    """
    module = name.replace("-", "_")
    if module[0].isdigit():
        raise BadInput(f"a Python module cannot be called {module!r}: start the name with a letter")
    cls = "".join(part.capitalize() for part in name.split("-"))
    words = {"name": name, "module": module, "cls": cls, "capability": _capability(name)}
    files = {
        folder / f"{module}.py": AGENT.substitute(words),
        folder / f"test_{module}.py": TEST.substitute(words),
        folder / "mesh.toml": MANIFEST.substitute(words),
    }
    existing = [str(path) for path in files if path.exists()]
    if existing:
        raise BadInput(f"{', '.join(existing)} exists already: choose another name or --folder; nothing was written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror or error}") from None
    return list(files)


def _capability(name: str) -> str:
    return f"{name}.answer"

"""A wheel of the present tree in a virtual environment of its own, beside whatever else is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


STARTED = ("mesh", "msgspec", "nats", "tenacity", "typer", "rich")
"""What the mesh's processes import. Compiled once here, and not by each of them when they start side by side."""


@dataclass(frozen=True)
class Environment:
    """Where the wheel is installed. Programs run in it see nothing of the tree and nothing of this shell's settings."""

    folder: Path

    def run(self, program: str, *arguments: str, cwd: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one of its programs to its end."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NATS_", "MESH_", "PY"))}
        path = f"{self.folder / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=cwd, env={**kept, "PATH": path}, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    def python(self, code: str, *, cwd: Path) -> str:
        """What a piece of code prints."""
        ended = self.run("python", "-c", code, cwd=cwd)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()


def built_wheel(folder: Path) -> Path:
    """The wheel, made straight from the tree."""
    _checked([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)])
    return next(folder.glob("*.whl"))


def environment(folder: Path, *requirements: str) -> Environment:
    """A fresh environment with these packages. The pip of this one fills it, and compiles only what is needed: time."""
    _checked([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    _checked([*pip, "install", "--quiet", "--no-compile", *requirements])
    packages = next((folder / "lib").glob("python*/site-packages"))
    _checked([python, "-m", "compileall", "-q", "-j", "0", *(str(packages / name) for name in STARTED)])
    return Environment(folder)


def _checked(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"

"""What is published holds every source file, once, under the one import root."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, the wheel made from it, and the wheel made straight from the tree."""
    out = tmp_path_factory.mktemp("dist")
    for name, flags in (("through-sdist", []), ("direct", ["--wheel"])):
        subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", *flags, "--outdir", str(out / name), str(ROOT)],
            check=True,
            capture_output=True,
            timeout=120,
        )
    return {
        "sdist": next((out / "through-sdist").glob("*.tar.gz")),
        "through-sdist": next((out / "through-sdist").glob("*.whl")),
        "direct": next((out / "direct").glob("*.whl")),
    }


def sources() -> set[str]:
    """Every file of the package that git knows, as it should stand below `mesh/`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "mesh", "agents", "registry", "protocols"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    files = {line for line in listed if line and not (ROOT / line).is_symlink()}
    return {line if line.startswith("mesh/") else f"mesh/{line}" for line in files}


def in_wheel(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["direct", "through-sdist"])
def test_each_wheel_holds_exactly_the_source_files(built: dict[str, Path], way: str) -> None:
    assert in_wheel(built[way]) == sources()


@pytest.mark.slow
def test_the_source_distribution_holds_each_file_once(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert sources() <= set(names)
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith(("agents/", "registry/", "protocols/"))]

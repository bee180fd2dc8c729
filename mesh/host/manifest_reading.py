"""Reading `mesh.toml`. Every complaint names the file, the line, the key and the cure."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path

import msgspec

from mesh.host.manifest import DEFAULT_FILE, AgentEntry, HostTable, Limits, Manifest, MeshTable, WorkflowEntry
from mesh.host.manifest_checks import contradictions
from mesh.host.manifest_lines import line_of
from mesh.host.restarts import RestartPolicy
from mesh.settings.errors import BadSettings
from mesh.upkeep.policy import Retention


class BadManifest(BadSettings):
    """The manifest cannot be used. The message names the file, the line, the key and the cure."""

    code = "bad-manifest"


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        BadManifest: missing, not readable, or wrong.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise BadManifest(
            f"there is no {path}: write one with `mesh new agent NAME`, or name another: `mesh up path/to/mesh.toml`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadManifest(f"{path} cannot be read: {error}") from error
    return parse_manifest(text, str(path))


def parse_manifest(text: str, path: str = DEFAULT_FILE) -> Manifest:
    """The manifest in a text.

    Raises:
        BadManifest: not TOML, an unknown or wrong key, or values that do not go together.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadManifest(f"{path} is not TOML: {error}") from error
    if "path" in tables:
        raise BadManifest(_complaint(text, path, "path", "unknown key 'path'"))
    try:
        manifest = msgspec.convert({**tables, "path": path}, Manifest)
    except msgspec.ValidationError as error:
        raise BadManifest(_explained(error, text, path)) from None
    for key, complaint in contradictions(manifest):
        raise BadManifest(_complaint(text, path, key, complaint))
    return manifest


# -- complaints


def _complaint(text: str, path: str, key: str, complaint: str) -> str:
    line = line_of(text, key)
    return f"{path}{f':{line}' if line else ''}: {key}: {complaint}" if key else f"{path}: {complaint}"


def _explained(error: msgspec.ValidationError, text: str, path: str) -> str:
    complaint, _, place = str(error).partition(" - at `$")
    key = place.rstrip("`").lstrip(".").replace("[...]", "")
    unknown = re.search(r"unknown field `([^`]+)`", complaint)
    if unknown:
        key = f"{key}.{unknown[1]}" if key else unknown[1]
        complaint = f"unknown key{_meant(key, unknown[1])}"
    missing = re.search(r"missing required field `([^`]+)`", complaint)
    if missing:
        complaint = f'{missing[1]!r} is missing: write {missing[1]} = "package.module:Name" or "file.py:Name"'
    if complaint.startswith("Expected `str`, got"):
        complaint += ': write it in quotes, such as "1"'
    return _complaint(text, path, key, complaint.replace(" | null", "").replace("`", ""))


def _meant(key: str, unknown: str) -> str:
    table = re.sub(r"\[\d+\]", "", key.rpartition(".")[0])
    known = _keys(table)
    near = difflib.get_close_matches(unknown, known, n=1)
    return f": did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"


def _keys(table: str) -> list[str]:
    tables: dict[str, type[msgspec.Struct]] = {
        "": Manifest,
        "mesh": MeshTable,
        "host": HostTable,
        "host.restarts": RestartPolicy,
        "agents": AgentEntry,
        "agents.limits": Limits,
        "workflows": WorkflowEntry,
        "retention": Retention,
        "workflows.limits": Limits,
    }
    names = msgspec.structs.fields(tables.get(table, Manifest))
    return [field.name for field in names if field.name != "path"]

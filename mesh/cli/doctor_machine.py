"""What `mesh doctor` looks at on this machine: Python, the server's binary, extras, a model, disk, hosts, the manifest."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from mesh.cli.doctor_disk import disk_checks
from mesh.cli.doctor_finding import Finding, broken, fine, weak
from mesh.host.host_record import live_hosts
from mesh.host.manifest import DEFAULT_FILE
from mesh.host.manifest_reading import BadManifest, read_manifest
from mesh.server.binary import ServerUnusable, find_binary, installed_version, too_old, too_old_message
from mesh.settings.folder import MeshFolder

_EXTRAS = {
    "review": ("the review team", ("bandit", "detect_secrets", "radon", "unidiff", "vulture")),
    "llm": ("LLM agents", ("pydantic_ai",)),
    "nkeys": ("nkey and creds logins", ("nkeys",)),
    "yaml": ("-o yaml", ("yaml",)),
    "archive": ("archives in Parquet", ("duckdb",)),
}
_MODEL = "MESH_MODEL"


def machine_checks() -> list[Finding]:
    """Everything that can be seen without a server."""
    folder = MeshFolder.working()
    return [_python(), _mesh(), _binary(), *_extras(), _model(), *disk_checks(folder), _manifest(), _hosts(folder)]


def _python() -> Finding:
    found = f"{platform.python_version()} ({sys.executable})"
    return fine("python", found) if sys.version_info >= (3, 11) else broken("python", found, "use Python 3.11 or newer")


def _mesh() -> Finding:
    try:
        return fine("mesh", version("natsmesh"))
    except PackageNotFoundError:
        return weak("mesh", "runs, but is not installed", "pip install natsmesh")


def _binary() -> Finding:
    try:
        binary = find_binary()
        found = installed_version(binary)
    except ServerUnusable as error:
        return weak("nats-server", "no binary here", str(error))
    if too_old(found):
        return broken("nats-server", f"{found} ({binary})", too_old_message(found, str(binary)))
    return fine("nats-server", f"{found} ({binary})")


def _extras() -> list[Finding]:
    return [_extra(name, purpose, modules) for name, (purpose, modules) in _EXTRAS.items()]


def _extra(name: str, purpose: str, modules: tuple[str, ...]) -> Finding:
    missing = [module for module in modules if find_spec(module) is None]
    check = f"extra {name}"
    if not missing:
        return fine(check, f"installed: {purpose}")
    return weak(check, f"missing: {', '.join(missing)}", f"for {purpose}: pip install 'natsmesh[{name}]'")


def _model() -> Finding:
    model = os.environ.get(_MODEL, "")
    if model:
        return fine("model", model)
    return weak("model", "none is configured", f"for the LLM reviewer: set {_MODEL}, such as 'openai:gpt-5-mini'")


def _manifest() -> Finding:
    path = Path(DEFAULT_FILE)
    if not path.exists():
        return weak("manifest", f"no {DEFAULT_FILE} here", "`mesh new agent NAME` writes one")
    try:
        manifest = read_manifest(path)
    except BadManifest as error:
        return broken("manifest", str(error), "mend it, then `mesh up`")
    return fine("manifest", f"{len(manifest.agents)} agents, {len(manifest.workflows)} workflows")


def _hosts(folder: MeshFolder) -> Finding:
    hosts = live_hosts(folder)
    if not hosts:
        return weak("hosts", f"none runs in {folder.path.parent}", "`mesh up` starts one")
    trouble = [
        f"{each.process}: {each.reason}" for host in hosts for each in host.processes if each.state == "given-up"
    ]
    if trouble:
        return broken("hosts", "; ".join(trouble), "mend the cause, then `mesh down` and `mesh up`")
    return fine("hosts", ", ".join(f"{host.name} ({host.state})" for host in hosts))

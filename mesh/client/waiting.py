"""Why a job that nobody drives waits, as far as this process can tell."""

from __future__ import annotations

from mesh.protocols.job_events import JobHead
from mesh.registry.directory import Directory


def why_waiting(directory: Directory, head: JobHead) -> str:
    """What `job show` says of a job in state `submitted`."""
    hosts = [
        each.record.labels.get(f"workflow.{head.workflow}", "").split(",")
        for each in directory.lookup(f"workflow.{head.workflow}", state=None)
    ]
    if not any(str(head.version) in versions for versions in hosts):
        return f"no process hosts version {head.version} of workflow {head.workflow}"
    return "its hosts are busy, or about to take it"

"""The paths of one job, as answers name them."""

from __future__ import annotations


def job_path(tenant: str, job: str) -> str:
    """Where one job is."""
    return f"/v1/{tenant}/jobs/{job}"


def links(tenant: str, job: str) -> dict[str, str]:
    """What can be asked about one job."""
    path = job_path(tenant, job)
    return {"self": path, "events": f"{path}/events", "result": f"{path}/result"}

"""`Places`: how many jobs a process drives at once, and of which tenants they are."""

from __future__ import annotations

from collections.abc import Collection


class Places:
    """`most` of them. Each is kept under its job, from the moment that it is promised."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._tenant_of: dict[str, str] = {}
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._tenant_of)

    def __contains__(self, job: str) -> bool:
        return job in self._tenant_of

    @property
    def jobs(self) -> Collection[str]:
        """Those that have one."""
        return self._tenant_of.keys()

    @property
    def tenants(self) -> Collection[str]:
        """Those that have one."""
        return self._taken.keys()

    def of(self, tenant: str) -> int:
        """How many the tenant has."""
        return self._taken.get(tenant, 0)

    def enter(self, job: str, tenant: str) -> None:
        """The job has one. Again: nothing happens."""
        if job not in self._tenant_of:
            self._tenant_of[job] = tenant
            self._taken[tenant] = self.of(tenant) + 1

    def leave(self, job: str) -> None:
        """It has none any more. Again: nothing happens."""
        tenant = self._tenant_of.pop(job, None)
        if tenant is None:
            return
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]

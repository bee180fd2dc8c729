"""The root of a mesh's names: one namespace, and how a subject below it is taken apart."""

from __future__ import annotations

from mesh.protocols.errors import InvalidName
from mesh.protocols.naming.names import check_name


class Root:
    """The namespace is fixed at construction; every other token is checked as it comes."""

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = check_name(namespace, "namespace")
        self.prefix = f"mesh.{namespace}"
        self._skip = len(self.prefix) + 1

    def _parts(self, subject: str, family: str, count: int) -> list[str]:
        parts = subject[self._skip :].split(".")
        if not subject.startswith(self.prefix + ".") or parts[0] != family or len(parts) != count + 1:
            raise InvalidName(f"{subject!r} is not a {family} subject of {self.prefix}")
        return parts[1:]

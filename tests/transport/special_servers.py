"""Real servers with more in their configuration than most tests need."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.servers import RealServer


class SpecialServer(RealServer):
    """A server with `extra` at the end of its configuration, and `changed` values in it."""

    def __init__(self, folder: Path, *, extra: str = "", changed: dict[str, str] | None = None, **options: Any) -> None:
        super().__init__(folder, **options)
        self._extra = extra
        self._changed = changed or {}

    def let_in(self, users: str) -> None:
        """From the next start on, these are its further users."""
        self._users = f", {users}"

    def _render(self) -> str:
        text = super()._render()
        for found, instead in self._changed.items():
            assert found in text, found
            text = text.replace(found, instead)
        return f"{text}\n{self._extra}\n"


class Certificate:
    """A certificate for 127.0.0.1 that vouches for itself."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-days", "2", "-subj", "/CN=mesh-test", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(self.key), "-out", str(self.certificate)),
            ],
            check=True,
            capture_output=True,
        )

    def section(self, more: str = "") -> str:
        """What makes a server use it."""
        return f'tls {{ cert_file: "{self.certificate}", key_file: "{self.key}"\n{more} }}'

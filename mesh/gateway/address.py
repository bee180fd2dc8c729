"""`Address`: where a gateway listens, and on which terms."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from mesh.settings.errors import BadSettings

DEFAULT = "127.0.0.1:8787"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A host and port (0: a free one), with TLS if there is a certificate."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can come in."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def scheme(self) -> str:
        """`https` with a certificate, else `http`."""
        return "https" if self.certificate else "http"

    def tls(self) -> ssl.SSLContext | None:
        """What connections are secured with, or None.

        Raises:
            BadSettings: the certificate or its key cannot be used.
        """
        if self.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key, password=_refuse)
        except (OSError, ssl.SSLError) as error:
            raise BadSettings(f"--tls-cert {self.certificate} with --tls-key {self.key}: {error}") from None
        return context


def _refuse() -> str:
    """A key with a password: nobody is asked for it, neither on a terminal nor where there is none."""
    raise BadSettings("--tls-key has a password: give a key without one, in a file that only its owner can read")


def _is_host(host: str) -> bool:
    """Whether it can be looked up at all: what the system's resolver is given has labels of 1 to 63 characters."""
    try:
        return bool(host) and host.isprintable() and bool(host.encode("idna"))
    except UnicodeError:
        return False


def read_address(
    listen: str = DEFAULT, *, certificate: Path | None = None, key: Path | None = None, insecure: bool = False
) -> Address:
    """The address that `--listen` and its companions name.

    Raises:
        BadSettings: it is none, or it would send tokens over a network in the clear.
    """
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not _is_host(host) or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadSettings(f"--listen {listen!r} is no address; write HOST:PORT, such as {DEFAULT}")
    if (certificate is None) != (key is None):
        raise BadSettings("--tls-cert and --tls-key go together")
    address = Address(host=host, port=int(port), certificate=certificate, key=key)
    if not (address.loopback or certificate or insecure):
        raise BadSettings(
            f"--listen {listen} is not loopback: tokens and jobs would cross the network in the clear. Give --tls-cert and "
            "--tls-key, or --insecure if something in front of the gateway speaks TLS"
        )
    return address

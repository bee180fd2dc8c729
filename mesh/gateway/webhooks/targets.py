"""`Targets`: where webhooks may go. A submitter names the URL, so it must not become a way into our own network.

Three times: the URL when it is asked for, the same URL before each attempt, and every address that its name resolves to,
at the moment of connecting. One address that is not public refuses the name as a whole.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from yarl import URL

from mesh.protocols.errors import Refused
from mesh.settings.errors import BadSettings

LONGEST = 2048
_PATTERN = re.compile(r"(?P<host>\*|(\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])(:(?P<port>\*|\d{1,5}))?\Z")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Pattern:
    """`example.com`, `*.example.com` (what is below it) or `*`, with `:port` or `:*`; without one, the scheme's own."""

    host: str
    port: int | None = None
    any_port: bool = False

    def allows(self, url: URL) -> bool:
        """Whether the URL's host and port are meant."""
        host = (url.raw_host or "").rstrip(".").lower()
        below = self.host[1:]
        named = self.host in ("*", host) or (self.host.startswith("*.") and host.endswith(below))
        standard = 443 if url.scheme == "https" else 80
        return named and (self.any_port or url.port == (self.port or standard))


def read_pattern(text: str) -> Pattern:
    """One `--webhook-allow`.

    Raises:
        BadSettings: says what may be written.
    """
    found = _PATTERN.match(text.strip().lower())
    if found is None:
        raise BadSettings(
            f"--webhook-allow {text!r}: write a host such as example.com, *.example.com or example.com:8443"
        )
    port = found["port"]
    host = found["host"].removeprefix("[").removesuffix("]").rstrip(".")
    return Pattern(host, int(port) if port and port != "*" else None, port == "*")


class Targets:
    """`loopback` also allows plain http, to this machine alone; `private` allows addresses that are not public."""

    def __init__(self, allow: Iterable[str] = (), *, loopback: bool = False, private: bool = False) -> None:
        self._patterns = tuple(read_pattern(each) for each in allow)
        self._loopback = loopback
        self._private = private

    def check(self, text: str) -> URL:
        """The URL, if a webhook may be sent there.

        Raises:
            Refused: says why not.
        """
        url = _url(text)
        if url.scheme != "https" and not (url.scheme == "http" and self._loopback):
            raise Refused("a webhook must be an https URL")
        if not self._patterns:
            raise Refused("this gateway sends no webhooks: it was started without --webhook-allow")
        if not any(each.allows(url) for each in self._patterns):
            raise Refused(
                f"{url.raw_host}:{url.port} is not among the hosts that this gateway may call (--webhook-allow)"
            )
        literal = _literal(url.raw_host or "")
        if literal is not None:
            self.check_address(url.raw_host or "", literal, plain=url.scheme == "http")
        return url

    def check_address(self, host: str, address: IpAddress, *, plain: bool) -> None:
        """Whether a connection to this address of `host` may be made; `plain`: without TLS.

        Raises:
            Refused: says why not.
        """
        inner = _inner(address)
        if self._loopback and inner.is_loopback:
            return
        if plain:
            raise Refused(f"{host} is {address}: plain http goes to loopback only")
        if not self._private and (not inner.is_global or inner.is_multicast):
            raise Refused(f"{host} is {address}, which is no public address")


def _url(text: str) -> URL:
    try:
        url = URL(text) if len(text) <= LONGEST and text.isascii() and text.isprintable() else URL()
        fine = _is_host(url.raw_host or "") and bool(url.port) and url.user is None and url.password is None
        fine = fine and not url.raw_fragment
    except ValueError:
        fine = False
    if not fine:
        raise Refused(
            f"a webhook must be a URL such as https://example.com/hook, without a user or a fragment, at most {LONGEST} characters"
        )
    return url


def _is_host(host: str) -> bool:
    """Whether it is an address, or a name that can be looked up. A name that ends in a number is an address in a writing of which
    some libraries make another one than we."""
    labels = host.removesuffix(".").split(".")
    named = all(_LABEL.match(each) for each in labels) and not labels[-1].isdigit()
    return named or _literal(host) is not None


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _inner(address: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 one stands for, if it does: that is where packets end up."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)

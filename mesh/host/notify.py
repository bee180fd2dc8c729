"""Telling systemd how we are (`Type=notify`), when it is systemd that started us."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send `READY=1`, `STOPPING=1` or `STATUS=…` to `$NOTIFY_SOCKET`; False when there is none, or it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return False
    return True

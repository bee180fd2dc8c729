"""Signatures as the Standard Webhooks specification has them: HMAC-SHA256 over `<id>.<timestamp>.<body>`.

The secret is written `whsec_<base64>`; its bytes are the key. The receiver checks the signature, that the timestamp is
near, and that it has not seen the id before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from mesh.settings.errors import BadSettings

PREFIX = "whsec_"
_BYTES = 32


def new_secret() -> str:
    """A secret, as it is kept in a file and given to receivers."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for.

    Raises:
        BadSettings: it is no secret of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise BadSettings(
            f"a webhook secret is {PREFIX} and 24 to 64 bytes in base64: remove it, and a new one is made"
        )
    return key


def signature(key: bytes, message: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>` for a message id, a time in Unix seconds and the body."""
    signed = f"{message}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

"""Where a gateway keeps its token, the bound tokens and the secret that its webhooks are signed with."""

from __future__ import annotations

import secrets
from pathlib import Path

from mesh.gateway.private_file import PrivateFile
from mesh.gateway.webhooks.signing import new_secret
from mesh.settings.folder import MeshFolder


def gateway_folder(folder: MeshFolder | None = None) -> Path:
    """`gateway/` in the state folder of this mesh, which is made, and keeps itself out of version control."""
    return (folder or MeshFolder.working()).create().path / "gateway"


def new_token() -> str:
    """256 bits that fit into a header and a shell."""
    return f"mgw_{secrets.token_urlsafe(32)}"


def token_file(path: Path | None = None) -> PrivateFile:
    """The token that may do everything."""
    return PrivateFile(path or gateway_folder() / "token", new_token)


def bound_file() -> Path:
    """The tokens that are bound to tenants, by digest."""
    return gateway_folder() / "tokens.toml"


def secret_file() -> PrivateFile:
    """The secret of this gateway's webhooks."""
    return PrivateFile(gateway_folder() / "webhook-secret", new_secret)

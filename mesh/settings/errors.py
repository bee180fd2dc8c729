"""What may be wrong with settings."""

from __future__ import annotations

from mesh.protocols.errors import Semantic, Unavailable


class NoServer(Unavailable):
    """No setting names a server. The message says which places were looked at and what to do."""

    code = "no-server"


class BadSettings(Semantic):
    """A setting is there, but makes no sense. The message says where it stands and what to write instead."""

    code = "bad-settings"
    blame = "caller"

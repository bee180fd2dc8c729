"""`Inbound`: a message that arrived and passed the checks of the wire.

`sender` comes from the subject, where NATS permissions pin it; that the envelope names the same process has been checked.
"""

from __future__ import annotations

import msgspec

from mesh.protocols.envelope import Envelope


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """One message with what its subject says.

    `sender` is the process that published it; `token` ends the reply subject, empty when no answer is asked for; `data`
    are the bytes as they came. A command or act to an instance has `agent` and `instance`; a call for proposals has
    `capability`.
    """

    envelope: Envelope
    sender: str
    token: str = ""
    agent: str = ""
    instance: str = ""
    capability: str = ""
    data: bytes = b""

"""Subjects of what is said to somebody: commands, replies, calls for proposals."""

from __future__ import annotations

from typing import NamedTuple

from mesh.protocols.naming.names import check_capability, check_token
from mesh.protocols.naming.root import Root

ANYONE = "_"
"""Stands for the responder in a reply subject whose responder is not known yet (a broadcast)."""


def may_be_answered(reply: str) -> bool:
    """Whether anybody may be answered on this reply subject: not on a mesh's own subjects nor on the server's, where whoever
    asks could have us speak in our name, and not on a pattern."""
    tokens = reply.split(".")
    return tokens[0] != "mesh" and not reply.startswith("$") and not any(each in ("", "*", ">") for each in tokens)


class Rpc(NamedTuple):
    """`rpc.<process>.<agent>.<instance>.<from-process>` in its parts."""

    process: str
    agent: str
    instance: str
    sender: str


class Reply(NamedTuple):
    """`rep.<requester>.<responder>.<token>` in its parts."""

    requester: str
    responder: str
    token: str


class Cfp(NamedTuple):
    """`cfp.<capability>.<from-process>` in its parts, the dots of the capability restored."""

    capability: str
    sender: str


class CallSubjects(Root):
    """Where commands, replies and calls for proposals go."""

    def rpc(self, process: str, agent: str, instance: str, sender: str) -> str:
        """Where a command to one instance goes; `sender` is the process that publishes it."""
        return f"{self.prefix}.rpc.{check_token(process)}.{check_token(agent)}.{check_token(instance)}.{check_token(sender)}"

    def rpc_pattern(self, process: str, agent: str, instance: str) -> str:
        """The commands to one instance from whomever: what is shown to people."""
        return f"{self.prefix}.rpc.{check_token(process)}.{check_token(agent)}.{check_token(instance)}.*"

    def rpc_inbox(self, process: str) -> str:
        """The one subscription by which a process hears every command to its instances."""
        return f"{self.prefix}.rpc.{check_token(process)}.>"

    def reply(self, requester: str, responder: str, token: str) -> str:
        """Where a responder answers. Responders build this themselves; they answer no subject that was handed to them."""
        middle = responder if responder == ANYONE else check_token(responder)
        return f"{self.prefix}.rep.{check_token(requester)}.{middle}.{check_token(token)}"

    def reply_root(self, requester: str, responder: str) -> str:
        """What all reply subjects between two processes begin with; a checked token makes one of it."""
        middle = responder if responder == ANYONE else check_token(responder)
        return f"{self.prefix}.rep.{check_token(requester)}.{middle}."

    def reply_inbox(self, process: str) -> str:
        """The one subscription by which a process hears every reply to it."""
        return f"{self.prefix}.rep.{check_token(process)}.>"

    def cfp(self, capability: str, sender: str) -> str:
        """Where a call for proposals is broadcast."""
        return f"{self.prefix}.cfp.{check_capability(capability).replace('.', '_')}.{check_token(sender)}"

    def cfp_inbox(self, capability: str) -> str:
        """What a process subscribes to when one of its agents can do the capability."""
        return f"{self.prefix}.cfp.{check_capability(capability).replace('.', '_')}.*"

    def parse_rpc(self, subject: str) -> Rpc:
        """The parts of an rpc subject."""
        return Rpc(*self._parts(subject, "rpc", 4))

    def parse_reply(self, subject: str) -> Reply:
        """The parts of a reply subject."""
        return Reply(*self._parts(subject, "rep", 3))

    def parse_cfp(self, subject: str) -> Cfp:
        """The parts of a call for proposals."""
        capability, sender = self._parts(subject, "cfp", 2)
        return Cfp(capability.replace("_", "."), sender)

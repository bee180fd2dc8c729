"""`Surveying`: finding out who would do the work of one negotiation, by standing bids or by asking, and telling the losers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.contract_net.composing import call_for_proposals, names
from mesh.contract_net.line import CallLine
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import CallForProposal
from mesh.protocols.naming.calls import ANYONE

if TYPE_CHECKING:
    from mesh.contract_net.mail import Mail
    from mesh.contract_net.market import Market
    from mesh.contract_net.negotiation import Negotiation


class Surveying:
    """The calls for proposals of one negotiation, one for each round."""

    def __init__(self, negotiation: Negotiation, market: Market, mail: Mail) -> None:
        self._negotiation = negotiation
        self._call = negotiation.call
        self._auction = negotiation.auction
        self._market = market
        self._mail = mail

    def survey(self, survey: m.Survey) -> None:
        """Find out, and answer with `Called`."""
        match survey.mode:
            case "standing":
                self._look(survey)
            case "broadcast":
                self._call_everybody(survey)
            case "directed":
                self._ask_some(survey)

    def reject(self, reject: m.Reject) -> None:
        """Their proposals are not taken."""
        self._mail.reject(self._auction.terms.conversation, (reject.candidate, *reject.others), reject.reason)

    def _look(self, survey: m.Survey) -> None:
        call, policy = self._call, self._auction.policy
        candidates, known = self._market.standing(
            call.capability, call.constraints, call.deadline.at, policy, chain=call.chain, avoid=survey.avoid
        )
        self._negotiation.event(m.Called(candidates=candidates, known=known))

    def _call_everybody(self, survey: m.Survey) -> None:
        capability = self._call.capability
        expected = self._market.processes(capability)
        self._mail.to_everybody(capability, self._content(survey), CallLine(self._negotiation, ANYONE))
        self._negotiation.event(m.Called(expected=expected, known=len(expected)))

    def _ask_some(self, survey: m.Survey) -> None:
        call, policy = self._call, self._auction.policy
        asked, known = self._market.directed(
            call.capability, call.constraints, policy, chain=call.chain, avoid=survey.avoid
        )
        for process, there in asked.items():
            line = CallLine(self._negotiation, process, process)
            self._mail.to_instance(there[0].record, self._content(survey, names(there)), line)
        self._negotiation.event(m.Called(expected=frozenset(asked), known=known))

    def _content(self, survey: m.Survey, instances: tuple[str, ...] = ()) -> CallForProposal:
        talk = self._auction.terms.conversation
        return call_for_proposals(self._call, talk, survey.window, round=survey.round, instances=instances)

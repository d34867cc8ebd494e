"""NATS subscriptions of the ingress.

out.<instance>.*, out.<every ingress>.*  -> `on_outgoing`   deltas and commits for open sockets
attach.<region>.*.*                      -> `on_attached`   another ingress has taken a conversation over
"""

from __future__ import annotations

from dataclasses import dataclass

from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import EVERY_INGRESS, ConversationId, Instance, InvalidIdError
from trunkline_protocols.turn import SocketAttached

from trunkline_ingress.application.admission import ADMIT_ALL
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.ports import TurnAdmission


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Handlers of messages for the sessions of this ingress."""

    instance: Instance
    sessions: SessionRegistry
    admission: TurnAdmission = ADMIT_ALL

    async def subscribe(self, bus: Bus, region: str) -> None:
        """Subscribe to every subject of the table above."""
        await bus.subscribe(subjects.out_of(self.instance), self.on_outgoing)
        await bus.subscribe(subjects.out_of(EVERY_INGRESS), self.on_outgoing)
        await bus.subscribe(subjects.attach_any(region), self.on_attached)

    async def on_outgoing(self, message: Msg) -> None:
        """Queue a delta or commit for its session; without one, drop it: a resume reads it from the log."""
        conversation = ConversationId(message.subject.rpartition(".")[2])
        session = self.sessions.get(conversation)
        if session is None and not self.admission.is_following(conversation):
            return
        try:
            item = codec.out.decode(message.data)
        except codec.DecodeError as error:
            report_undecodable("out", message.subject, error)
            return
        if session is not None:
            session.enqueue(item)
        else:
            self.admission.observe(item)

    async def on_attached(self, message: Msg) -> None:
        """Detach the session of a conversation whose socket another ingress holds."""
        try:
            attached: SocketAttached = codec.attached.decode(message.data)
        except (codec.DecodeError, InvalidIdError) as error:
            report_undecodable("attach", message.subject, error)
            return
        if attached.ingress != self.instance:
            self.admission.forget(attached.conversation)
            self.sessions.detach(attached)

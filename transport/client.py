"""What a link needs of an MQTT library."""

from typing import Protocol

from transport.subscription import Message


class Client(Protocol):
    """Packets are queued at once, and their answers are calls of the link."""

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> int:
        """Queue a message; returns its packet id. With QoS 1 it is sent again until ``published`` is called."""

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Ask for a subscription; answered by ``subscribed`` with the returned packet id."""

    def unsubscribe(self, topic_filter: str) -> int:
        """End a subscription; answered by ``unsubscribed`` with the returned packet id."""

    def send_ack(self, message: Message) -> None:
        """Acknowledge a message, if the connection that brought it is still the present one."""

    def send_again(self) -> None:
        """Send what earlier connections did not acknowledge: the new one is ready for it."""

    def give_up(self, packet_id: int) -> bool:
        """Do not send a message of QoS 1 again; False if that cannot be."""

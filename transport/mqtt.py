"""A connection to the broker for the length of a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schemas.broker import BrokerAddress
from transport.link import MAX_PAYLOAD_BYTES, Link
from transport.network_loop import NetworkLoop
from transport.network_thread import NetworkThread
from transport.paho_client import PahoClient
from transport.subscription import Listener, Message, Subscription

__all__ = ["MAX_PAYLOAD_BYTES", "Link", "Listener", "Message", "Subscription", "connect"]


@asynccontextmanager
async def connect(  # noqa: PLR0913 - each is a choice of its own, and named
    address: BrokerAddress,
    client_id: str,
    *,
    will: tuple[str, bytes] | None = None,
    clean_session: bool = True,
    keepalive_s: int = 30,
    wait: bool = True,
    in_loop: bool = False,
) -> AsyncIterator[Link]:
    """A link to the broker for the length of the block; a lost connection is made again with growing pauses.

    Args:
        address: Where the broker is, with credentials and certificates.
        client_id: Unique at the broker: it ends an older connection of the same name.
        will: Topic and payload that the broker publishes, retained, if this link dies without leaving the block.
        clean_session: With False the broker keeps subscriptions and unacknowledged QoS 1 messages for the next
            link of the same client id; those that come before their ``subscribe`` are held for it, and stale
            filters must be ended by ``Link.unsubscribe``.
        keepalive_s: After this silence the connection counts as lost.
        in_loop: Read and write on the event loop instead of in a thread: several times faster for small messages, and
            only for a process whose loop is never busy for as long as ``keepalive_s``.
        wait: Enter when the broker is reachable, however long that takes; False enters at once.

    Raises:
        BadInput: a certificate or key file cannot be read.
        Unauthorized: the broker refuses the credentials (only with ``wait``; else it is tried again).
        Untrusted: the broker's certificate is not trusted (only with ``wait``).
    """
    client = PahoClient(client_id=client_id, clean_session=clean_session)
    client.configure(address, will, keepalive_s)
    broker = f"{address.host}:{address.port}"
    network = NetworkLoop(client, broker) if in_loop else NetworkThread(client, broker)
    link = Link(network, name=client_id, persistent=not clean_session, max_payload_bytes=MAX_PAYLOAD_BYTES)
    network.start(link)
    try:
        if wait:
            await link.ready()
        yield link
    finally:
        link.close()
        await network.stop()

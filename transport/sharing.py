"""Whether a broker shares subscriptions, which only MQTT 5 lets one ask."""

from uuid import uuid4

from schemas.broker import BrokerAddress
from schemas.errors import BadInput, Unreachable
from transport.paho_client import greet_mqtt5


def check_sharing(address: BrokerAddress) -> None:
    """Return if the broker shares subscriptions. Blocks for as long as a connection takes.

    Raises:
        BadInput: it does not, or speaks no MQTT 5.
        Unreachable: it is away.
    """
    try:
        greeting = greet_mqtt5(address, f"tidemill-look-{uuid4().hex[:12]}")
    except OSError as error:
        raise Unreachable(f"the broker at {address.host}:{address.port} cannot be reached: {error}") from error
    if greeting is None:
        why = "it speaks no MQTT 5"
    elif greeting.get("SharedSubscriptionAvailable", 1) == 0:  # absent: it is (MQTT 5 §3.2.2.3.13)
        why = "it shares no subscriptions"
    else:
        return
    raise BadInput(f"replicas need a broker with the shared subscriptions of MQTT 5, such as Mosquitto; {why}")

"""The broker as the controller, edges and devices reach it."""

from dataclasses import dataclass

from controller.brokers.accounts import BrokerAccounts
from schemas.broker import BrokerAddress
from schemas.views import BrokerView


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """One broker, three ways to it."""

    address: BrokerAddress  # with the controller's own credentials
    for_edges: BrokerAddress
    for_devices: BrokerView
    accounts: BrokerAccounts | None = None  # files of the embedded broker; None: there are none
    embedded: bool = False

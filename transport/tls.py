"""What makes a connection to a broker private: whom we trust, and who we say we are."""

import ssl

from schemas.broker import BrokerAddress
from schemas.errors import BadInput


def client_context(address: BrokerAddress) -> ssl.SSLContext:
    """TLS as the address asks for it, mutual if it names a certificate.

    Raises:
        BadInput: a file cannot be read, or holds no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
        if address.cert_file is not None:
            context.load_cert_chain(address.cert_file, address.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(path) for path in (address.ca_file, address.cert_file, address.key_file) if path)
        raise BadInput(f"the certificates for {address.host} cannot be used ({files}): {error}") from error
    return context

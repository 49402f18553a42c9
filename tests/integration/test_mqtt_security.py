"""Who may connect: passwords, the broker's certificate, our own certificate."""

import datetime as dt
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from schemas.broker import BrokerAddress
from schemas.errors import BadInput, Unauthorized, Untrusted
from tests.conftest import Mosquitto, Nats
from transport.mqtt import connect

StartBroker = Callable[[str], BrokerAddress]

RIGHT = (  # what mosquitto_passwd makes of the password "right"
    "edge:$7$101$G850E5v64epb83dU$"
    "myU344BIVpSH+ZtToe8wAGPJRVncPwV/Rql2t7klNGWolBmtY6z1z6LZBawHnp/lYL2JExEGySAFTJX7dSpIUw==\n"
)


class Authority:
    """A private certificate authority that writes what it signs into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = generate_private_key(SECP256R1())
        self.file = folder / f"{name}.crt"
        self.file.write_bytes(self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0)))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1 and its key."""
        key = generate_private_key(SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert_file, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert_file.write_bytes(self._sign(subject, key, address))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert_file, key_file

    def _sign(self, subject: x509.Name, key: EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority that signed the broker's certificate."""
    return Authority(tmp_path, "authority")


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """Start a broker with these settings more."""
    started = []

    def start(settings: str) -> BrokerAddress:
        broker = Mosquitto(tmp_path, settings)
        broker.start()
        started.append(broker)
        return broker.address

    yield start
    for broker in started:
        broker.kill()


def tls_settings(authority: Authority) -> str:
    """A listener's settings for a certificate of this authority."""
    cert_file, key_file = authority.issue("broker")
    return f"cafile {authority.file}\ncertfile {cert_file}\nkeyfile {key_file}"


def encrypted(address: BrokerAddress, ca_file: Path, client: tuple[Path, Path] | None = None) -> BrokerAddress:
    """The same broker over TLS."""
    cert_file, key_file = client or (None, None)
    url = address.url.replace("mqtt:", "mqtts:")
    return BrokerAddress(url=url, ca_file=ca_file, cert_file=cert_file, key_file=key_file)


async def test_a_wrong_password_is_said_to_be_one(start_broker: StartBroker, tmp_path: Path) -> None:
    """A broker that wants a password refuses another one, and takes the right one."""
    (tmp_path / "passwords").write_text(RIGHT)
    address = start_broker(f"allow_anonymous false\npassword_file {tmp_path / 'passwords'}")
    wrong = address.model_copy(update={"username": "edge", "password": SecretStr("wrong")})
    async with connect(wrong.model_copy(update={"password": SecretStr("right")}), "edge") as link:
        await link.publish("a", b"let in")
    for refused in (address, wrong):
        with pytest.raises(Unauthorized, match=f"127.0.0.1:{address.port} refuses the connection: Not authorized"):
            async with connect(refused, "edge"):
                pytest.fail("it was let in")


async def test_tls_reaches_a_broker_with_a_trusted_certificate(start_broker: StartBroker, authority: Authority) -> None:
    """Messages travel over TLS when the broker's certificate is signed by the authority that we name."""
    address = encrypted(start_broker(tls_settings(authority)), authority.file)
    async with connect(address, "one") as link:
        subscription = await link.subscribe("a")
        await link.publish("a", bytes(300_000))
        assert (await anext(subscription)).payload == bytes(300_000)


async def test_a_broker_with_another_certificate_is_not_trusted(
    start_broker: StartBroker, authority: Authority, tmp_path: Path
) -> None:
    """A certificate of an unknown authority ends the attempt with a reason, not with another attempt."""
    other = Authority(tmp_path, "other")
    address = encrypted(start_broker(tls_settings(authority)), other.file)
    with pytest.raises(Untrusted, match=r"the certificate of the broker at 127.0.0.1:.* is not trusted"):
        async with connect(address, "one"):
            pytest.fail("it was trusted")


async def test_mutual_tls_wants_our_certificate(start_broker: StartBroker, authority: Authority) -> None:
    """A broker that asks for a certificate lets us in with ours."""
    plain = start_broker(tls_settings(authority) + "\nrequire_certificate true")
    async with connect(encrypted(plain, authority.file, authority.issue("edge")), "edge") as link:
        await link.publish("a", b"let in")


async def test_a_certificate_that_cannot_be_read_is_named(authority: Authority, tmp_path: Path) -> None:
    """A missing file is the operator's mistake and is said at once."""
    address = BrokerAddress(url="mqtts://127.0.0.1", ca_file=authority.file, cert_file=tmp_path / "none.crt")
    with pytest.raises(BadInput, match=r"cannot be used .*none\.crt"):
        async with connect(address, "one"):
            pytest.fail("there is no such certificate")


async def test_a_refused_subscription_is_an_error(tmp_path: Path) -> None:
    """A broker that does not let us read a topic says so when we subscribe, and the link goes on."""
    broker = Nats(tmp_path, 'permissions: { subscribe: { deny: ["secret"] } }')
    broker.start()
    address = BrokerAddress(url=broker.address.url, username="edge", password=SecretStr("right"))
    try:
        async with connect(address, "edge") as link:
            with pytest.raises(Unauthorized, match="refuses the subscription to 'secret'"):
                await link.subscribe("secret", qos=0)
            subscription = await link.subscribe("open", qos=0)
            await link.publish("open", b"heard")
            assert (await anext(subscription)).payload == b"heard"
    finally:
        broker.kill()

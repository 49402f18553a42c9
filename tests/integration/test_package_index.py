"""Installing from a site's own package index, over TLS with an authority of its own."""

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent.execution.install_settings import TRUST_VARIABLES, InstallSettings
from schemas.errors import TaskFailed
from tests.integration.workbench import tiny_wheel, workbench

REQUIREMENTS = "tidepool==1.0"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def signed(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
    """A certificate of 127.0.0.1, or of an authority, signed by the authority's key."""

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now, here = datetime.now(UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder(
        named("authority"), named(name), key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([here]), critical=False)
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def certificates(folder: Path) -> Path:
    """A server's certificate and key in ``server.pem``; the file of the authority that vouches for it."""
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    key = server.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(signed("server", server, authority, ca=False) + key)
    (folder / "site.crt").write_bytes(signed("authority", authority, authority, ca=True))
    return folder / "site.crt"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Whom the site's machines trust."""
    return certificates(tmp_path)


@pytest.fixture
def index_url(tmp_path: Path, authority: Path) -> Iterator[str]:
    """A package index on loopback."""
    files = tmp_path / "index/simple/tidepool"
    tiny_wheel(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.with_name("server.pem"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "index"))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}/simple/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("uv", [True, False])
async def test_a_sites_own_index_and_authority_are_used(
    index_url: str, authority: Path, uv: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both installers take packages from the configured index, and trust the configured authority, which wins."""
    for variable in TRUST_VARIABLES:
        monkeypatch.setenv(variable, "/etc/ssl/certs/ca-certificates.crt")
    install = InstallSettings(index_url=index_url, ca_bundle=authority, uv=uv)
    async with workbench("process", tmp_path, install) as bench:
        request = bench.request(
            bench.spec({"use.py": "import tidepool; print(tidepool.DEPTH)"}, requirements=REQUIREMENTS)
        )
        made = await bench.executor.prepare(request, lambda _note: None)
        assert made.installer == ("uv" if uv else "pip")
        _, lines = await bench.run(request)
    assert lines == ["7"]


async def test_an_index_that_nobody_vouches_for_is_refused(
    index_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the authority no installer takes anything from the index, and the reason is told."""
    monkeypatch.setenv("PIP_RETRIES", "0")
    install = InstallSettings(index_url=index_url)
    async with workbench("process", tmp_path, install) as bench:
        request = bench.request(bench.spec({"use.py": "pass"}, requirements=REQUIREMENTS))
        with pytest.raises(TaskFailed, match=r"(?i)certificate"):
            await bench.executor.prepare(request, lambda _note: None)

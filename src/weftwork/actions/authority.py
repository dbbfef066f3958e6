"""The fleet's own certificate authority: its key is in the store, where all servers find it; it signs what agents ask.

A host's certificate is short-lived and holds the host's identity. It is good for as long as the host in the store has
this identity: removing the host, or joining anew, revokes it at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from weftwork.base import codes
from weftwork.base.errors import Failure
from weftwork.model import keys
from weftwork.seams.store import Conflict, Put, Store, Transaction, Unchanged

SERVER_NAME = "weft-server"
"""What the servers of every fleet are called: an agent believes its own fleet's authority only."""
HOST_LIFETIME = timedelta(days=7)
"""Agents renew theirs after a third of it."""
_SERVER_LIFETIME = timedelta(days=397)
_AUTHORITY_LIFETIME = timedelta(days=3650)
_SKEW = timedelta(minutes=5)
_HOST = "weft host"
_HOST_URI = "weft://host/"


@dataclass(frozen=True, slots=True)
class Signed:
    """In PEM."""

    key: bytes
    certificate: bytes


class Authority:
    """`certificate` is what hosts are told to believe, in PEM."""

    def __init__(self, pem: bytes) -> None:
        self._pem = pem
        self._key = serialization.load_pem_private_key(pem, password=None)
        self._own = x509.load_pem_x509_certificate(pem)
        self.certificate = self._own.public_bytes(serialization.Encoding.PEM)

    def server(self, now: datetime) -> Signed:
        """A key and a certificate for one start of a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        return Signed(_pem_of(key), self._sign(x509.DNSName(SERVER_NAME), public, now, _SERVER_LIFETIME))

    def secret(self, purpose: str) -> str:
        """What only servers of this fleet can know; the same always, and another one for another purpose."""
        return blake2b(self._pem, digest_size=32, person=purpose.encode()).hexdigest()

    def host(self, name: str, identity: str, key: ec.EllipticCurvePublicKey, now: datetime) -> bytes:
        """The certificate of a host. Its name stands in a URI, for it may be longer than a common name."""
        return self._sign(x509.UniformResourceIdentifier(f"{_HOST_URI}{name}/{identity}"), key, now, HOST_LIFETIME)

    def _sign(
        self,
        subject: x509.DNSName | x509.UniformResourceIdentifier,
        key: ec.EllipticCurvePublicKey,
        now: datetime,
        lifetime: timedelta,
    ) -> bytes:
        of_server = isinstance(subject, x509.DNSName)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if of_server else ExtendedKeyUsageOID.CLIENT_AUTH
        common_name = x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME if of_server else _HOST)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([common_name]))
            .issuer_name(self._own.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
            .sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        )
        return made.public_bytes(serialization.Encoding.PEM)


def signing_key(signing_request: bytes) -> ec.EllipticCurvePublicKey:
    """Whose owner signed the request with it. Refusal INVALID_ARGUMENT."""
    try:
        request = x509.load_pem_x509_csr(signing_request)
        key = request.public_key() if request.is_signature_valid else None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise codes.INVALID_ARGUMENT.refusal("this is no signing request for an EC key", field="signing_request")
    return key


def host_in(alternative_names: Iterable[str]) -> tuple[str, str]:
    """Name and identity in a host's certificate. Refusal JOIN_REFUSED."""
    for uri in alternative_names:
        name, _, identity = uri.removeprefix(_HOST_URI).partition("/")
        if uri.startswith(_HOST_URI) and name and identity:
            return name, identity
    raise codes.JOIN_REFUSED.refusal("this certificate is no host's")


async def authority_of(store: Store) -> Authority:
    """The fleet's, made now if it has none. Raises Failure when the store is out of reach."""
    for _ in range(8):
        record = await store.get(keys.fleet_authority())
        if record is not None:
            return Authority(record.value)
        try:
            put = Put(keys.fleet_authority(), _new_authority(datetime.now(UTC)))
            await store.commit(Transaction((Unchanged(keys.fleet_authority(), 0),), (put,)))
        except Conflict:
            continue
    raise Failure("STORE_UNAVAILABLE", "the fleet's authority could not be stored")


def _new_authority(now: datetime) -> bytes:
    """Key and certificate, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weft fleet")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem_of(key) + made.public_bytes(serialization.Encoding.PEM)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

"""How an agent comes by its certificate: the key is made here and never leaves, the fleet's authority signs."""

from dataclasses import dataclass
from datetime import datetime

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from weftwork.agent.state import Identity
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.rpc.generated.weftwork.v1 import agent_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import agent_pb2_grpc

SERVER_NAME = "weft-server"
JOIN_S = 10.0
RENEWED_AFTER = 1 / 3
"""Of its lifetime."""
_OPTIONS = (("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.enable_retries", 0))


@dataclass(frozen=True, slots=True)
class JoinFile:
    """What `weft host add` printed: the token, and whom to believe, in PEM."""

    token: str
    authority: str


def join_file(text: str) -> JoinFile:
    """Refusal INVALID_ARGUMENT."""
    token, _, authority = text.strip().partition("\n")
    try:
        x509.load_pem_x509_certificate(authority.encode())
    except ValueError:
        raise Refusal(
            Kind.INVALID,
            "INVALID_ARGUMENT",
            "the token file does not hold a token and the fleet's certificate",
            hint="Copy the file that `weft host add --token-file` wrote, as it is.",
        ) from None
    return JoinFile(token.strip(), authority)


async def join(server: str, how: JoinFile) -> Identity:
    """Raises Refusal when the token is not good, Failure when the server is out of reach or not the one to believe."""
    key, request = _new_key()
    trusted = grpc.ssl_channel_credentials(how.authority.encode())
    async with grpc.aio.secure_channel(server, trusted, options=_OPTIONS) as channel:
        stub = agent_pb2_grpc.JoinServiceStub(channel)
        try:
            answer: pb.JoinResponse = await stub.Join(
                pb.JoinRequest(token=how.token, signing_request=request), timeout=JOIN_S
            )
        except grpc.aio.AioRpcError as error:
            raise _error_of(error, server) from None
    agents = f"{server.rpartition(':')[0]}:{answer.agents_port}"
    return Identity(answer.host, agents, answer.deployment, how.authority, answer.certificate.decode(), key.decode())


async def renew(channel: grpc.aio.Channel, identity: Identity) -> Identity:
    """The same host with a new key and certificate. Raises Refusal and Failure as `join`."""
    key, request = _new_key()
    try:
        answer: pb.RenewResponse = await agent_pb2_grpc.AgentServiceStub(channel).Renew(
            pb.RenewRequest(signing_request=request), timeout=JOIN_S
        )
    except grpc.aio.AioRpcError as error:
        raise _error_of(error, identity.server) from None
    return replace_in(identity, certificate=answer.certificate.decode(), key=key.decode())


def replace_in(identity: Identity, *, certificate: str, key: str) -> Identity:
    """A Struct is no dataclass."""
    return Identity(identity.host, identity.server, identity.deployment, identity.authority, certificate, key)


def renewal_due(identity: Identity, now: datetime) -> bool:
    certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now > begins + (ends - begins) * RENEWED_AFTER


def channel_of(identity: Identity, options: tuple[tuple[str, int], ...]) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(
        identity.authority.encode(), identity.key.encode(), identity.certificate.encode()
    )
    return grpc.aio.secure_channel(identity.server, credentials, options=(*_OPTIONS, *options))


def _new_key() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weft agent")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, request.public_bytes(serialization.Encoding.PEM)


def _error_of(error: grpc.aio.AioRpcError, server: str) -> Refusal | Failure:
    if error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        return Refusal(
            Kind.FORBIDDEN,
            "JOIN_REFUSED",
            error.details() or "the server refuses",
            hint="Get a new token with `weft host add NAME --again`.",
        )
    return Failure("SERVER_UNREACHABLE", f"{server}: {error.details()}")

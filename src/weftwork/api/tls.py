"""TLS of the server: certificates from files, and from new files at the next handshake, without a restart."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from weftwork.base.errors import Failure

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """In PEM. With `client_ca`, whoever connects needs a certificate of that authority (mTLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def paths(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))


Stamp = tuple[tuple[int, int, int], ...]


def stamp_of(files: TlsFiles) -> Stamp:
    """Another one when a file is another. OSError."""
    stats = [path.stat() for path in files.paths()]
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in stats)


class Certificates:
    """What the files hold, as gRPC asks for it at every handshake: from its own threads, and quickly."""

    def __init__(self, files: TlsFiles) -> None:
        """Failure TLS_UNAVAILABLE. Other listeners read the same `files` in their own way."""
        self.files = files
        try:
            self._stamp = stamp_of(self.files)
            self.first = self._read()
        except (OSError, ssl.SSLError) as error:
            raise Failure("TLS_UNAVAILABLE", f"{files.certificate}: {error}") from None

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.dynamic_ssl_server_credentials(
            self.first,
            self.newer,  # type: ignore[arg-type]  # None means: as before
            require_client_authentication=self.files.client_ca is not None,
        )

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        """None while the files are as they were. Files that do not fit each other are half written."""
        try:
            stamp = stamp_of(self.files)
            if stamp == self._stamp:
                return None
            read = self._read()
        except (OSError, ssl.SSLError) as error:
            log.warning("the certificate in %s cannot be used, so the old one stays: %s", self.files.certificate, error)
            return None
        self._stamp = stamp
        log.info("took the new certificate in %s", self.files.certificate)
        return read

    def _read(self) -> grpc.ServerCertificateConfiguration:
        files = self.files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        if files.client_ca:
            context.load_verify_locations(files.client_ca)
        pair = (files.key.read_bytes(), files.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration(
            [pair], root_certificates=files.client_ca.read_bytes() if files.client_ca else None
        )

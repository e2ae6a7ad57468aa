"""The listeners' certificates: read at the start and again when their files change, for the connections that follow."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca`, clients must show a certificate that it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def paths(self) -> tuple[Path, ...]:
        """Those that there are."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path is not None)


_State = tuple[tuple[int, int, int], ...]


class Certificates:
    """What gRPC is served for each new connection. Connections that are open keep what they began with.

    Files are replaced one after the other, so for a moment they may not fit; then the pair before goes on being served
    and the next connection looks again.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._state = _state(files)
        self._current = _configuration(files)

    def credentials(self) -> grpc.ServerCredentials:
        """For a server's secure port; OSError or ValueError if the files cannot be used now."""
        demanded = self._files.client_ca is not None
        changed: Any = self._changed  # the stubs do not know that None means no change
        return grpc.dynamic_ssl_server_credentials(self._current, changed, demanded)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """gRPC calls this before each handshake, in a thread of its own; None leaves things as they are."""
        try:
            state = _state(self._files)
            if state == self._state:
                return None
            self._state = state  # once for each change, not at every connection
            configuration = _configuration(self._files)
        except (OSError, ValueError) as error:
            logger.error("the new TLS files cannot be used, those before go on being served: %s", error)
            return None
        self._current = configuration
        logger.info("new TLS files are served to new connections")
        return configuration


def _state(files: TlsFiles) -> _State:
    """Changes when a file is written or replaced, by a link to another folder too."""
    found = [path.stat() for path in files.paths()]
    return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    """OSError or ValueError if a file cannot be read, or the key is another certificate's."""
    before = _state(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key, password="")
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
    except ssl.SSLError as error:
        named = ", ".join(str(path) for path in files.paths())
        raise ValueError(f"{named}: {error.reason or error}") from error
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    client_ca = None if files.client_ca is None else files.client_ca.read_bytes()
    if _state(files) != before:
        raise ValueError("they changed while they were read")
    return grpc.ssl_server_certificate_configuration([pair], client_ca)

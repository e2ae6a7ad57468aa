"""The listeners' certificates: read at the start and again when their files change, for the connections that follow."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

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


_Loaded = TypeVar("_Loaded")


class Rotation(Generic[_Loaded]):
    """What is loaded from TLS files: at first, and again when they change, for the connections that follow.

    Files are replaced one after the other, so for a moment they may not fit; then what was loaded before goes on being
    served and the next connection looks again.
    """

    def __init__(self, files: TlsFiles, load: Callable[[TlsFiles], _Loaded]) -> None:
        """`load` raises OSError or ValueError for files that cannot be used."""
        self._files = files
        self._load = load
        self._state = _state(files)
        self.current = load(files)

    def look(self) -> _Loaded | None:
        """What is loaded newly, None if there was no change that can be used. Called before each handshake."""
        try:
            state = _state(self._files)
            if state == self._state:
                return None
            self._state = state  # once for each change, not at every connection
            loaded = self._load(self._files)
        except (OSError, ValueError) as error:
            logger.error("the new TLS files cannot be used, those before go on being served: %s", error)
            return None
        self.current = loaded
        logger.info("new TLS files are served to new connections")
        return loaded


def grpc_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """For a gRPC server's secure port; OSError or ValueError if the files cannot be used now. Connections that are open
    keep what they began with."""
    rotation = Rotation(files, _configuration)
    look: Any = rotation.look  # in a thread of gRPC's own; the stubs do not know that None means no change
    return grpc.dynamic_ssl_server_credentials(rotation.current, look, files.client_ca is not None)


def ssl_context(files: TlsFiles, protocols: Sequence[str]) -> ssl.SSLContext:
    """The same for a server of asyncio that speaks these `protocols` (ALPN)."""

    def load(files: TlsFiles) -> ssl.SSLContext:
        context = _checked(files)
        context.set_alpn_protocols(list(protocols))
        return context

    rotation = Rotation(files, load)

    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        rotation.look()
        connection.context = rotation.current

    first = load(files)
    first.sni_callback = choose  # called at each handshake, with or without a server's name in it
    return first


def _state(files: TlsFiles) -> _State:
    """Changes when a file is written or replaced, by a link to another folder too."""
    found = [path.stat() for path in files.paths()]
    return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    """OSError or ValueError if a file cannot be read, or the key is another certificate's."""
    before = _state(files)
    _checked(files)
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    client_ca = None if files.client_ca is None else files.client_ca.read_bytes()
    if _state(files) != before:
        raise ValueError("they changed while they were read")
    return grpc.ssl_server_certificate_configuration([pair], client_ca)


def _checked(files: TlsFiles) -> ssl.SSLContext:
    """The same errors."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key, password="")
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        named = ", ".join(str(path) for path in files.paths())
        raise ValueError(f"{named}: {error.reason or error}") from error
    return context

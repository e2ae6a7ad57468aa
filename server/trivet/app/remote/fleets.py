"""The fleets of the configuration: how their nodes are found, reached and checked."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from trivet.config import Config
from trivet.config.schema import RemoteBackend
from trivet.fleet.discovery import Discovery, DnsName, EndpointSlices, FixedList, KubernetesApi, RayNames
from trivet.fleet.fleet import Fleet, FleetEvents, FleetSettings
from trivet.fleet.remote.target import NodeAccess, NodeTls, RemoteSettings
from trivet.model_hub.fingerprints import model_fingerprint, tokenizer_fingerprint

ASKS_RAY = "trivet.app.ray_cluster.named_engines"


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Of a backend's model and tokenizer; `model` is empty where nothing tells it."""

    tokenizer: str
    model: str


def fleet_fingerprints(config: Config) -> Mapping[str, Fingerprints]:
    """By backend, of those that are fleets; blocks, and their models must be here. OSError if a file is unreadable."""
    return {
        name: Fingerprints(
            tokenizer_fingerprint(config.model_folder(name)),
            section.model_digest or model_fingerprint(config.model_folder(name)),
        )
        for name, section in config.file.backends.items()
        if isinstance(section, RemoteBackend)
    }


def open_fleet(
    config: Config, name: str, section: RemoteBackend, fingerprints: Fingerprints, events: FleetEvents
) -> Fleet:
    """The fleet of a backend; it connects when it is started."""
    tls = section.tls
    access = NodeAccess(
        key_file=None if section.key_file is None else config.resolve(section.key_file),
        tls=None
        if tls is None
        else NodeTls(
            config.resolve(tls.ca),
            None if tls.certificate is None else config.resolve(tls.certificate),
            None if tls.key is None else config.resolve(tls.key),
            tls.server_name,
        ),
        max_message_bytes=config.file.server.max_message_bytes,
    )
    remote = RemoteSettings(
        backend=name,
        holder=f"gateway-{secrets.token_hex(8)}",
        access=access,
        expected_tokenizer=fingerprints.tokenizer,
        expected_model=fingerprints.model,
        heartbeat=section.heartbeat,
        lost_after=section.lost_after,
    )
    return Fleet(FleetSettings(remote, section.slow_start, section.load_bound), _discovery(config, section), events)


def _discovery(config: Config, section: RemoteBackend) -> Discovery:
    nodes, service = section.nodes, section.nodes.kubernetes
    if service is not None:
        given = {
            name: config.resolve(path)
            for name, path in (("token_file", service.token_file), ("ca_file", service.ca_file))
            if path is not None
        }
        api = KubernetesApi(url=service.api, namespace=service.namespace, **given)
        return EndpointSlices(api, service.service, service.port, service.refresh)
    if nodes.ray is not None:
        ray = nodes.ray
        return RayNames((sys.executable, "-m", ASKS_RAY, ray.address, ray.namespace, str(ray.refresh)), ray.refresh)
    return FixedList(nodes.addresses) if nodes.dns is None else DnsName(nodes.dns, nodes.refresh)

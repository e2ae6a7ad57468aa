"""Where nodes are. Addresses only: how a node is, it says itself."""

from trivet.fleet.discovery.discovery import Discovery, Found
from trivet.fleet.discovery.dns import DnsName
from trivet.fleet.discovery.endpoint_slices import EndpointSlices, KubernetesApi
from trivet.fleet.discovery.fixed import FixedList
from trivet.fleet.discovery.ray_names import RayNames

__all__ = ["Discovery", "DnsName", "EndpointSlices", "FixedList", "Found", "KubernetesApi", "RayNames"]

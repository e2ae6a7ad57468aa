"""deploy/kubernetes: each overlay is built, held against the schemas of its kinds, and against what the server does."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from pydantic import BaseModel

from tests.support.monitoring.queries import DASHBOARDS, of_rules
from trivet.config import Overrides, load_config
from trivet.config.engine_node import EngineOverrides, load_engine_node
from trivet.config.schema import EngineFile
from trivet.config.schema.backends import KubernetesNodes
from trivet.config.schema.server import Admission, Server

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("single", "several", "fleet")
WORKLOADS = ("StatefulSet", "Deployment")
VERSION = "1.32"
CUSTOM: dict[str, type[BaseModel]] = {
    "PrometheusRule": PrometheusRule,
    "ServiceMonitor": ServiceMonitor,
    "ScaledObject": ScaledObject,
}

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl builds the overlays; it is not installed"),
]


@cache
def built(overlay: str) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", FOLDER / "overlays" / overlay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of(overlay: str, kind: str) -> list[dict[str, Any]]:
    return [item for item in built(overlay) if item["kind"] == kind]


def workloads(overlay: str) -> list[dict[str, Any]]:
    return [item for kind in WORKLOADS for item in of(overlay, kind)]


def one(overlay: str, kind: str, name: str) -> dict[str, Any]:
    [found] = [item for item in of(overlay, kind) if item["metadata"]["name"] == name]
    return found


def left_out(given: Any, taken: Any, place: str = "") -> list[str]:
    """What stands in `given` and not in `taken`: fields that the schema does not know."""
    if isinstance(given, dict):
        assert isinstance(taken, dict), place
        unknown = [f"{place}.{key}" for key in given if key not in taken]
        return unknown + [
            line for key in given if key in taken for line in left_out(given[key], taken[key], f"{place}.{key}")
        ]
    if isinstance(given, list):
        return [
            line for number, item in enumerate(given) for line in left_out(item, taken[number], f"{place}[{number}]")
        ]
    return []


def custom_problems(item: dict[str, Any]) -> list[str]:
    model = CUSTOM[item["kind"]].model_validate(item)
    return left_out(item, model.model_dump(mode="json", by_alias=True, exclude_none=True))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_fits_its_schema(overlay: str) -> None:
    for item in built(overlay):
        if item["kind"] in CUSTOM:
            assert custom_problems(item) == []
        else:
            kubernetes_validate.validate(item, VERSION, strict=True)


def test_the_schemas_find_mistakes() -> None:
    scaler = one("several", "ScaledObject", "trivet")
    assert custom_problems({**scaler, "spec": {**scaler["spec"], "pollInterval": 1}}) == [".spec.pollInterval"]
    with pytest.raises(ValueError):
        custom_problems({**scaler, "spec": {"triggers": []}})
    service = one("single", "Service", "trivet")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**service, "spec": {**service["spec"], "port": 1}}, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_may_do_little(overlay: str) -> None:
    for item in workloads(overlay):
        spec = item["spec"]["template"]["spec"]
        asks_the_api = overlay == "fleet" and item["metadata"]["name"] == "trivet"
        assert spec["automountServiceAccountToken"] is asks_the_api
        assert_bounded(spec)


def assert_bounded(spec: dict[str, Any]) -> None:
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        own = container["securityContext"]
        assert own == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["resources"]["requests"]
        assert container["resources"]["limits"]["memory"]
        assert not container["image"].endswith(":latest")
        assert ":" in container["image"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gateways_probes_ask_what_the_server_tells(overlay: str) -> None:
    spec = one(overlay, "StatefulSet", "trivet")["spec"]["template"]["spec"]
    [gateway] = spec["containers"]
    assert gateway["livenessProbe"]["grpc"] == gateway["startupProbe"]["grpc"] == {"port": 7600, "service": "liveness"}
    assert gateway["readinessProbe"]["grpc"] == {"port": 7600}  # "": ready to serve
    listened = {int(found) for found in re.findall(r"listen=0\.0\.0\.0:(\d+)", " ".join(gateway["args"]))}
    assert listened == {port["containerPort"] for port in gateway["ports"]}
    assert spec["terminationGracePeriodSeconds"] > Server().drain_timeout


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_selected_exists(overlay: str) -> None:
    """Services, budgets, policies, the monitor and scalers name labels, ports and claims that are there."""
    pods = [item["spec"]["template"] for item in workloads(overlay)]

    def ports(selector: dict[str, str]) -> set[str]:
        chosen = [pod for pod in pods if selector.items() <= pod["metadata"]["labels"].items()]
        assert len(chosen) == 1, selector
        return {port["name"] for container in chosen[0]["spec"]["containers"] for port in container["ports"]}

    for service in of(overlay, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports(service["spec"]["selector"])
    for budget in of(overlay, "PodDisruptionBudget"):
        ports(budget["spec"]["selector"]["matchLabels"])
    for policy in of(overlay, "NetworkPolicy"):
        named = {port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]}
        assert named <= ports(policy["spec"]["podSelector"]["matchLabels"])
    for monitor in of(overlay, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        [watched] = [item for item in of(overlay, "Service") if wanted <= item["metadata"]["labels"].items()]
        named = {end["port"] for end in monitor["spec"]["endpoints"]}
        assert named <= {port["name"] for port in watched["spec"]["ports"]}
    assert len(of(overlay, "ServiceMonitor")) == (2 if overlay == "fleet" else 1)
    for workload in of(overlay, "StatefulSet"):
        assert workload["spec"]["serviceName"] in {item["metadata"]["name"] for item in of(overlay, "Service")}


def test_a_fleet_is_found_asked_and_let_in() -> None:
    """Gateways may ask for exactly what their discovery asks for, of the Service that engines are behind, on their
    port, and have the key that is expected of them."""
    [role], [binding] = of("fleet", "Role"), of("fleet", "RoleBinding")
    [account] = of("fleet", "ServiceAccount")
    assert role["rules"] == [
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [account["metadata"]["name"]]
    gateway = one("fleet", "StatefulSet", "trivet")["spec"]["template"]["spec"]
    assert gateway["serviceAccountName"] == account["metadata"]["name"]
    service, [engine] = one("fleet", "Service", "trivet-engines"), of("fleet", "Deployment")
    [held] = [item for item in of("fleet", "ConfigMap") if item["metadata"]["name"].startswith("trivet-config")]
    backend = yaml.safe_load(held["data"]["trivet.yaml"])["backends"]["engines"]
    assert backend["nodes"]["kubernetes"]["service"] == service["metadata"]["name"]
    ports = {port["containerPort"] for port in engine["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert KubernetesNodes(service="engines").port in ports
    [mounted] = [volume for volume in gateway["volumes"] if volume["name"] == "engine-key"]
    assert mounted["secret"]["secretName"] == "trivet-engine-key"
    [place] = [mount for mount in gateway["containers"][0]["volumeMounts"] if mount["name"] == "engine-key"]
    assert str(Path(backend["key_file"]).parent) == place["mountPath"]


def test_an_engine_is_probed_and_ended_as_it_expects() -> None:
    spec = one("fleet", "Deployment", "trivet-engine")["spec"]["template"]["spec"]
    [engine] = spec["containers"]
    assert engine["livenessProbe"]["grpc"] == engine["startupProbe"]["grpc"] == {"port": 7610, "service": "liveness"}
    assert engine["readinessProbe"]["grpc"] == {"port": 7610}
    told = engine_file()
    assert {told.listen, told.metrics_listen} == {f"0.0.0.0:{port['containerPort']}" for port in engine["ports"]}
    assert spec["terminationGracePeriodSeconds"] > told.stop_notice + told.drain_timeout


def engine_file() -> EngineFile:
    [held] = [item for item in of("fleet", "ConfigMap") if item["metadata"]["name"].startswith("trivet-engine-config")]
    return EngineFile.model_validate(yaml.safe_load(held["data"]["engine.yaml"]))


def test_gateways_that_scale_do_not_share_one_qdrant() -> None:
    """Each has documents of its own; two on one server would take each other's collections for damage."""
    assert of("single", "ScaledObject") == of("several", "HorizontalPodAutoscaler") == []
    assert len(of("single", "StatefulSet")) == 2
    assert "replicas" not in one("several", "StatefulSet", "trivet")["spec"]  # the autoscaler alone says how many
    [scaler] = of("several", "ScaledObject")
    assert scaler["spec"]["scaleTargetRef"]["name"] == "trivet"
    assert [item["metadata"]["name"] for item in of("several", "StatefulSet")] == ["trivet"]


def test_the_two_autoscalers_agree() -> None:
    """components/hpa, which no overlay takes, is sound and scales like components/keda."""
    autoscaler = yaml.safe_load((FOLDER / "components/hpa/autoscaler.yaml").read_text())
    kubernetes_validate.validate(autoscaler, VERSION, strict=True)
    [scaler] = of("several", "ScaledObject")
    spec = scaler["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (
        autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"],
    )  # fmt: skip
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == autoscaler["spec"]["behavior"]
    places = Admission().max_running
    share = float(spec["triggers"][0]["metadata"]["threshold"])
    assert float(autoscaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"]) == share * places


def test_the_scalers_queries_are_promql() -> None:
    [scaler] = of("several", "ScaledObject")
    for trigger in scaler["spec"]["triggers"]:
        promql_parser.parse(trigger["metadata"]["query"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configuration_is_sound_beside_its_content(overlay: str, tmp_path: Path) -> None:
    """With the demo's content in the place of the volume's."""
    [held] = [item for item in of(overlay, "ConfigMap") if item["metadata"]["name"].startswith("trivet-config")]
    content = tmp_path / "content"
    content.mkdir()
    for name in ("prompts", "indexes", "adapters"):
        (content / name).symlink_to(ROOT / name)
    (content / "model").symlink_to(ROOT / "models/demo/weights")
    (tmp_path / "key").write_text("secret")
    text = held["data"]["trivet.yaml"].replace("/srv/content", str(content)).replace("8192", "2048")
    (tmp_path / "trivet.yaml").write_text(text.replace("/run/secrets/trivet-engine/key", "key"))
    config = load_config(tmp_path / "trivet.yaml", Overrides(insecure=True))
    assert set(config.file.routes) == {"support"}
    assert config.file.state.url.startswith("sqlite" if overlay == "single" else "postgresql")


def test_the_engines_configuration_is_sound_beside_its_content(tmp_path: Path) -> None:
    text = (FOLDER / "components/fleet/engine.yaml").read_text().replace("8192", "2048")
    text = text.replace("/srv/content/model", str(ROOT / "models/demo/weights"))
    (tmp_path / "engine.yaml").write_text(text.replace("/srv/content/adapters", str(ROOT / "adapters")))
    config = load_engine_node(tmp_path / "engine.yaml", EngineOverrides(insecure=True))
    assert [key.name for key in config.file.keys] == ["replace-me"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_dashboard_and_every_rule_is_there(overlay: str) -> None:
    held = [item for item in of(overlay, "ConfigMap") if item["metadata"].get("labels", {}).get("grafana_dashboard")]
    assert {name for item in held for name in item["data"]} == {path.name for path in DASHBOARDS}
    [rules] = of(overlay, "PrometheusRule")
    assert {str(rule) for rule in of_rules()} == {
        rule.get("record") or rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]
    }

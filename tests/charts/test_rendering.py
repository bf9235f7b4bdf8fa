"""What the charts render for each environment is what Kubernetes knows and the policies of the product allow."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from feedplane_operator.settings import OperatorSettings
from feedplane_testing.charts import CHARTS, KUBERNETES, ROOT, Helm, Object, Refused, containers, kinds, pod_specs

Conform = Callable[[list[Object]], str]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
HOOKS_ONLY = "helm.sh/hook"


def operator_env(objects: list[Object]) -> dict[str, str]:
    (pod,) = (spec for name, _, spec in pod_specs(objects) if name == "Deployment/feedplane")
    return {one["name"]: one.get("value", "from-the-pod") for one in pod["containers"][0]["env"]}


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("chart", ["feedplane", "feedset-crds"])
def test_lint_finds_nothing(helm: Helm, chart: str, kubernetes: str) -> None:
    helm.run("lint", "--strict", "--kube-version", kubernetes, CHARTS / chart)


@pytest.mark.parametrize("kubernetes", KUBERNETES)
def test_every_environment_renders_and_lints(helm: Helm, environment: str, kubernetes: str) -> None:
    values = CHARTS / "feedplane" / f"values-{environment}.yaml"

    helm.run("lint", "--strict", "--kube-version", kubernetes, CHARTS / "feedplane", "-f", values)

    assert kinds(helm.template("feedplane", "-f", values, kubernetes=kubernetes), "Deployment")


def test_older_kubernetes_is_refused(helm: Helm) -> None:
    """Native sidecars are on by default from 1.29."""
    with pytest.raises(Refused, match="incompatible with Kubernetes"):
        helm.template(kubernetes="1.28.15")


def test_kubernetes_knows_every_field(rendered: list[Object], conform: Conform) -> None:
    assert conform(rendered) == ""


def test_kubernetes_knows_every_field_of_all_that_can_be_made(everything: list[Object], conform: Conform) -> None:
    assert conform(everything) == ""


def test_a_misspelled_field_would_be_found(everything: list[Object], conform: Conform) -> None:
    """The check above can fail."""
    wrong = copy.deepcopy(kinds(everything, "Deployment")[0])
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}

    assert "livenesProbe" in conform([wrong])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_follow_the_schema_of_the_resource(conform: Conform, path: Any) -> None:
    (example,) = yaml.safe_load_all(path.read_text())
    wrong = copy.deepcopy(example)
    wrong["spec"]["exchanges"][0]["feedz"] = []

    assert conform([example]) == ""
    assert "feedz" in conform([wrong])


# Policies


def test_every_pod_is_restricted(everything: list[Object]) -> None:
    """Pod Security Standard `restricted`, and a root file system that cannot be written."""
    for name, _, spec in pod_specs(everything):
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] == security["runAsGroup"] == 10001, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert all("hostPath" not in volume for volume in spec.get("volumes", ())), name
        for container in containers(spec):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert all("hostPort" not in port for port in container.get("ports", ())), name


def test_only_the_operator_and_the_test_get_a_token(everything: list[Object]) -> None:
    with_token = {name for name, _, spec in pod_specs(everything) if spec["automountServiceAccountToken"]}

    assert with_token == {"Deployment/feedplane", "Pod/feedplane-test"}


def test_images_are_pinned_and_resources_set(everything: list[Object]) -> None:
    for name, _, spec in pod_specs(everything):
        for container in containers(spec):
            assert re.fullmatch(r"feedplane/[a-z-]+:[0-9]+\.[0-9]+\.[0-9]+", container["image"]), name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name


def test_everything_that_runs_is_watched(everything: list[Object]) -> None:
    for name, _, spec in pod_specs(everything):
        if name != "Pod/feedplane-test":
            for container in containers(spec):
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name


def test_every_pod_has_a_network_policy(rendered: list[Object]) -> None:
    policies = [one["spec"] for one in kinds(rendered, "NetworkPolicy")]
    for name, metadata, _ in pod_specs(rendered):
        labels = metadata["labels"].items()
        chosen = [one for one in policies if one["podSelector"]["matchLabels"].items() <= labels]
        if name != "Pod/feedplane-test":
            assert any(set(one["policyTypes"]) == {"Ingress", "Egress"} for one in chosen), name


def test_labels_say_what_an_object_is(everything: list[Object]) -> None:
    recommended = {"name", "instance", "component", "part-of", "managed-by", "version"}
    for one in everything:
        labels = one["metadata"]["labels"]
        assert {f"app.kubernetes.io/{label}" for label in recommended} <= set(labels), one["metadata"]["name"]
        assert all(len(value) <= 63 for value in labels.values()), one["metadata"]["name"]


def test_selectors_hold_no_label_that_changes(everything: list[Object]) -> None:
    """A selector cannot be changed by an upgrade."""
    for kind in ("Deployment", "StatefulSet"):
        for one in kinds(everything, kind):
            assert set(one["spec"]["selector"]["matchLabels"]) == {
                f"app.kubernetes.io/{label}" for label in ("name", "instance", "component")
            }


def test_objects_are_in_the_namespace_of_the_release(everything: list[Object]) -> None:
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for one in everything:
        assert (one["kind"] in cluster_wide) or one["metadata"]["namespace"] == "md", one["metadata"]["name"]


@pytest.mark.parametrize("release", ["x", "feedplane", "r" * 53])
def test_names_fit(helm: Helm, release: str) -> None:
    """A pod of a Deployment or StatefulSet adds 11 characters or more, and labels end at 63."""
    on = {"enabled": True}
    objects = helm.template(values={"simex": on, "redis": on, "clickhouseLite": on}, release=release)
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]

    assert len(set(names)) == len(names)
    for kind, name in names:
        most = 63 - 11 if kind in ("Deployment", "StatefulSet") else 63
        assert len(name) <= most, name
        assert kind == "CustomResourceDefinition" or re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name), name


def test_overrides_and_common_labels_reach_everything(helm: Helm) -> None:
    values = {"fullnameOverride": "other", "commonLabels": {"team": "data"}, "commonAnnotations": {"note": "x"}}
    for one in helm.template(values=values | {"crds": {"enabled": False}}):
        assert "other" in one["metadata"]["name"]
        assert one["metadata"]["labels"]["team"] == "data"
        assert one["metadata"]["annotations"]["note"] == "x"


def test_registry_tag_digest_and_pull_secret_reach_pods_and_operator(helm: Helm) -> None:
    digest = "sha256:" + "0" * 64
    images = {
        "registry": "registry.example.com:5000/team",
        "tag": "1.2.3",
        "tags": {"simex": "1.2.4"},
        "digests": {"operator": digest},
    }
    objects = helm.template(values={"images": images | {"pullSecrets": ["pull"]}, "simex": {"enabled": True}})
    env = operator_env(objects)

    seen = {container["image"] for _, _, spec in pod_specs(objects) for container in containers(spec)}
    assert seen == {
        f"registry.example.com:5000/team/feedplane/operator@{digest}",
        "registry.example.com:5000/team/feedplane/simex:1.2.4",
    }
    assert all(spec["imagePullSecrets"] == [{"name": "pull"}] for _, _, spec in pod_specs(objects))
    assert json.loads(env["FEEDPLANE_OPERATOR_IMAGE_PULL_SECRETS"]) == ["pull"]
    assert (env["FEEDPLANE_OPERATOR_IMAGE_TAG"], env["FEEDPLANE_OPERATOR_IMAGE_TAGS"]) == ("1.2.3", '{"simex":"1.2.4"}')
    assert json.loads(env["FEEDPLANE_OPERATOR_IMAGE_DIGESTS"]) == {"operator": digest}


# The operator


def told(objects: list[Object], monkeypatch: pytest.MonkeyPatch) -> OperatorSettings:
    """What the operator's own settings make of the environment that the chart gives it."""
    env = operator_env(objects)
    known = {f"FEEDPLANE_OPERATOR_{field.upper()}" for field in OperatorSettings.model_fields}
    assert set(env) <= known, "the operator does not know all that it is told"
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return OperatorSettings.from_environment()


def test_the_operator_understands_every_environment(
    rendered: list[Object], environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = told(rendered, monkeypatch)

    assert settings.metrics_port == 8080
    assert str(settings.mode) == ("sim" if environment == "dev" else "live")
    assert settings.default_sinks.redis is not None
    assert settings.default_sinks.clickhouse is not None


def test_the_operator_understands_all_that_can_be_said(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = {"podSelector": {}}
    network = {"enabled": False, "privateRanges": ["10.0.0.0/8"], "metricsPeers": [peer], "egressPeers": [peer]}
    values = {
        "watch": {"namespaces": ["a", "b"]},
        "collectors": {"logLevel": "debug", "otlpEndpoint": "http://otel:4318", "networkPolicy": network},
        "operator": {"logLevel": "warning", "otlpEndpoint": "http://otel:4318"},
        "venues": {"endpoints": {"okx": {"rest": "http://okx"}}, "switches": {"kucoin": {"system": "uta"}}},
    }
    settings = told(helm.template(values=values), monkeypatch)

    assert settings.watch_namespaces == ("a", "b")
    assert settings.pod_log_level == "debug"
    assert settings.pod_otlp_endpoint == settings.otlp_endpoint == "http://otel:4318"
    assert settings.network_policy is False
    assert settings.private_ranges == ("10.0.0.0/8",)
    assert settings.metrics_peers == settings.egress_peers == (peer,)
    assert settings.endpoints == {"okx": {"rest": "http://okx"}}
    assert settings.switches == {"kucoin": {"system": "uta"}}


def test_stand_ins_are_the_default_stores(everything: list[Object], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the Secret that is made for them; their addresses are those of the pods."""
    sinks = told(everything, monkeypatch).default_sinks
    (secret,) = kinds(everything, "Secret")
    services = {one["metadata"]["name"] for one in kinds(everything, "Service")}

    assert sinks.redis is not None
    assert sinks.clickhouse is not None
    assert [len(sinks.redis.endpoints), len(sinks.clickhouse.shards)] == [6, 2]
    for sink in (sinks.redis, sinks.clickhouse):
        assert sink.password_secret_ref is not None
        assert (sink.password_secret_ref.name, sink.password_secret_ref.key) == (secret["metadata"]["name"], "password")
    for endpoint in (*sinks.redis.endpoints, *(one for shard in sinks.clickhouse.shards for one in shard.endpoints)):
        assert endpoint.split(".")[1] in services
        assert endpoint.split(".")[2] == "md"


def test_simulated_venues_replace_all_venues(everything: list[Object], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = told(everything, monkeypatch)
    folders = {path.parent.name for path in (ROOT / "services" / "feeds").glob("*/pyproject.toml")}

    assert set(settings.endpoints) == folders
    assert all("//feedplane-simex.md.svc:8090/" in url for urls in settings.endpoints.values() for url in urls.values())


# Rights


def test_rules_are_those_that_the_operator_asks_for(helm: Helm) -> None:
    wanted = yaml.safe_load((ROOT / "operator" / "rbac" / "role.yaml").read_text())["rules"]
    (own,) = [one for one in kinds(helm.template(), "Role") if one["metadata"]["name"] == "feedplane"]
    cluster = kinds(helm.template(values={"watch": {"namespaces": ["*"]}}), "ClusterRole")

    assert own["rules"] == wanted
    assert [one["rules"] for one in cluster if one["metadata"]["name"] == "md-feedplane"] == [wanted]


def test_nothing_may_touch_secrets(everything: list[Object]) -> None:
    for one in (*kinds(everything, "Role"), *kinds(everything, "ClusterRole")):
        for rule in one["rules"]:
            assert not {"secrets", "*"} & {*rule["resources"], *rule["verbs"]}, one["metadata"]["name"]


def test_roles_are_where_feedsets_are_watched(helm: Helm) -> None:
    def places(*namespaces: str) -> list[str]:
        objects = helm.template(values={"watch": {"namespaces": list(namespaces)}})
        bindings = [
            one for one in kinds(objects, "RoleBinding") if HOOKS_ONLY not in one["metadata"].get("annotations", {})
        ]
        assert all(one["subjects"][0]["namespace"] == "md" for one in bindings)
        return [one["metadata"]["namespace"] for one in bindings]

    assert places() == ["md"]
    assert places("a", "b") == ["a", "b"]
    assert places("*") == []


# The resource


@pytest.mark.parametrize("chart", ["feedplane", "feedset-crds"])
def test_the_resource_is_the_generated_one_and_is_kept(helm: Helm, chart: str) -> None:
    (crd,) = kinds(helm.template(chart), "CustomResourceDefinition")

    assert crd["spec"] == yaml.safe_load((ROOT / "operator" / "crd" / "feedset.yaml").read_text())["spec"]
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_resource_can_be_left_out(helm: Helm) -> None:
    assert not kinds(helm.template(values={"crds": {"enabled": False}}), "CustomResourceDefinition")


def test_helm_test_is_bounded(everything: list[Object]) -> None:
    (pod,) = kinds(everything, "Pod")

    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["activeDeadlineSeconds"] <= 120
    assert pod["spec"]["restartPolicy"] == "Never"

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr

import pytest
from feedplane_core.names import Mode
from feedplane_operator.desired import Images
from feedplane_operator.settings import OperatorSettings

PREFIX = "FEEDPLANE_OPERATOR_"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FEEDPLANE_")]:
        monkeypatch.delenv(name)


def settings(monkeypatch: pytest.MonkeyPatch, **values: str) -> OperatorSettings:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)
    return OperatorSettings.from_environment()


def test_without_a_word_it_serves_its_own_namespace_with_live_data(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = settings(monkeypatch, namespace="md")

    assert (plain.namespaces, plain.is_cluster_wide, plain.metrics_port, plain.metrics_host) == (
        ("md",),
        False,
        8080,
        "127.0.0.1",
    )
    assert plain.surroundings().mode is Mode.LIVE
    assert plain.surroundings().network.operator_namespace == "md"


@pytest.mark.parametrize(("watched", "namespaces"), [('["a","b"]', ("a", "b")), ('["*"]', ())])
def test_namespaces_are_listed(watched: str, namespaces: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, watch_namespaces=watched).namespaces == namespaces


def test_surroundings_are_what_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints = {"bybit": {"rest": "http://simex.sim.svc:8900/bybit/"}}
    sinks = {"redis": {"mode": "Cluster", "endpoints": ["redis:6379"], "passwordSecretRef": {"name": "stores"}}}
    around = settings(
        monkeypatch,
        image_registry="registry.example.com:5000/md",
        image_tags='{"feed-bybit": "1.0.1"}',
        image_digests=json.dumps({"writer": "sha256:" + "0" * 64}),
        mode="sim",
        endpoints=json.dumps(endpoints),
        default_sinks=json.dumps(sinks),
        private_ranges='["203.0.113.0/24"]',
        egress_peers='[{"ipBlock": {"cidr": "10.0.0.0/8"}}]',
        pod_log_level="debug",
    ).surroundings()

    assert around.images.reference("writer") == "registry.example.com:5000/md/feedplane/writer@sha256:" + "0" * 64
    assert around.images.reference("feed-bybit") == "registry.example.com:5000/md/feedplane/feed-bybit:1.0.1"
    assert around.mode is Mode.SIM
    assert around.endpoints == {"bybit": {"rest": "http://simex.sim.svc:8900/bybit"}}
    assert around.default_sinks.redis is not None
    assert around.default_sinks.redis.endpoints == ("redis:6379",)
    assert around.network.private_ranges == ("203.0.113.0/24",)
    assert around.network.egress_peers == ({"ipBlock": {"cidr": "10.0.0.0/8"}},)
    assert around.log_level == "debug"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_registry", "https://registry.example.com"),
        ("image_tag", "a tag"),
        ("image_tags", '{"writer": "a tag"}'),
        ("image_digests", '{"writer": "latest"}'),
        ("image_pull_policy", "Sometimes"),
        ("mode", "replay"),
        ("endpoints", '{"bybit": {"rest": "ftp://x"}}'),
        ("endpoints", '{"bybit": {"rest": "http://user:canary@x"}}'),
        ("default_sinks", '{"redis": {"endpoints": ["http://redis"]}}'),
        ("default_sinks", '{"kafka": {}}'),
        ("private_ranges", '["10.0.0.1/8"]'),
        ("watch_namespaces", '["Upper"]'),
        ("metrics_port", "70000"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = io.StringIO()
    with pytest.raises(SystemExit) as exited, redirect_stderr(printed):
        settings(monkeypatch, **{name: value})

    assert exited.value.code == 2
    assert f"{PREFIX}{name.upper()}" in printed.getvalue()
    assert "canary" not in printed.getvalue()


def test_an_image_is_named_by_tag_or_digest() -> None:
    assert Images(tag="1").reference("feed-bybit") == "feedplane/feed-bybit:1"
    assert Images(tag="1", tags={"writer": "2"}).reference("writer") == "feedplane/writer:2"
    assert Images(tags={"writer": "2"}, digests={"writer": "sha256:1"}).reference("writer").endswith("@sha256:1")
    assert Images(registry="r", prefix="", digests={"writer": "sha256:1"}).reference("writer") == "r/writer@sha256:1"

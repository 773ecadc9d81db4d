"""Plans are pure: what is refused before anybody is asked, what is sent, and what takes it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.actions import registry
from planc_tui.actions.base import ApiRequest, Outcome, Plan, Ports, Refusal, Risk
from planc_tui.actions.executor import send
from planc_tui.actions.kube import Json
from planc_tui.actions.manifests import for_apply
from planc_tui.actions.pod_delete import parse_grace
from planc_tui.actions.rollout_undo import choose
from planc_tui.actions.scale import ABSURD, parse_count
from planc_tui.actions.set_resources import wanted_values
from planc_tui.actions.template import contradiction, differences
from planc_tui.actions.workload import rollout_status
from planc_tui.core.clock import FakeClock
from planc_tui.core.quantity import nano
from planc_tui.core.table import Target
from planc_tui.playbook.loader import default

ACTIONS = registry.load()[0]
APP = Target("Deployment", "app", "shop", "u1", "prod")
POD = Target("Pod", "app-1", "shop", "p1", "prod")
NODE = Target("Node", "n1", "", "n1", "prod")
HPA = Target("HorizontalPodAutoscaler", "app", "shop", "h1", "prod")


def meta(target: Target, **more: Any) -> Json:
    return {"name": target.name, "namespace": target.namespace, "uid": target.uid, "resourceVersion": "7", **more}


def deployment(env: list[Json] | None = None, **spec: Any) -> Json:
    containers = [{"name": "c", "image": "r/i:1", "env": env or []}, {"name": "d", "image": "r/d:1"}]
    template = {"metadata": {"labels": {"app": "app"}}, "spec": {"containers": containers}}
    return {"metadata": meta(APP, generation=3), "spec": {"replicas": 4, "template": template, **spec}}


def seen(obj: Json | None = None, **more: Any) -> Json:
    nothing: Json = {"hpa": None, "budgets": [], "hidden": [], "revisions": [], "context": "prod", "now": 0.0}
    return {"object": obj or deployment(), **nothing, **more}


def autoscaler(low: int = 3, high: int = 9, current: int = 4) -> Json:
    spec = {"minReplicas": low, "maxReplicas": high, "scaleTargetRef": {"kind": "Deployment", "name": "app"}}
    return {"metadata": meta(HPA), "spec": spec, "status": {"currentReplicas": current}}


def pod(name: str = "app-1", uid: str = "p1", owner: str = "ReplicaSet", **spec: Any) -> Json:
    owners = [{"kind": owner, "name": "rs", "uid": "r1", "controller": True}] if owner else []
    metadata = {"name": name, "namespace": "shop", "uid": uid, "resourceVersion": "1", "ownerReferences": owners}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


def revision(number: int, image: str = "r/i:1") -> Json:
    obj = deployment()["spec"]["template"]
    obj["spec"]["containers"][0]["image"] = image
    return {
        "metadata": {"annotations": {"deployment.kubernetes.io/revision": str(number)}},
        "spec": {"template": obj},
    }


def decide(action: str, target: Target, what: Json, **args: str) -> Plan | Refusal:
    return ACTIONS[action].plan(what, target, args)


def plan(action: str, target: Target, what: Json, **args: str) -> Plan:
    found = decide(action, target, what, **args)
    assert isinstance(found, Plan), found
    return found


DYING = {**deployment(), "metadata": meta(APP, deletionTimestamp="now", generation=3)}
PODS: Json = {"pods": [pod()], "budgets": [], "replicas": 4, "context": "prod"}
BAD: list[tuple[str, Target, Json, dict[str, str], str]] = [
    ("scale", APP, seen(), {"replicas": "-1"}, "0 or more"),
    ("scale", APP, seen(), {"replicas": "ten"}, "whole number"),
    ("scale", APP, seen(), {"replicas": "9" * 5000}, "whole number"),
    ("scale", APP, seen(), {"replicas": "100000"}, "more than planc sets"),
    ("scale", APP, seen(), {"replicas": "4"}, "4 replicas already"),
    ("scale", APP, seen(), {}, "whole number"),
    ("scale", APP, seen(hpa=autoscaler()), {"replicas": "9"}, "owns the replicas"),
    ("scale", APP, seen(DYING), {"replicas": "9"}, "is being deleted"),
    ("hpa-bounds", HPA, seen(autoscaler()), {"min": "10"}, "raise both"),
    ("hpa-bounds", HPA, seen(autoscaler()), {"min": "0"}, "1 or more"),
    ("hpa-bounds", HPA, seen(autoscaler()), {"min": "3", "max": "9"}, "3‥9 already"),
    ("hpa-bounds", HPA, seen(autoscaler()), {"max": "x"}, "whole number"),
    ("set-env", APP, seen(), {"env": ""}, "at least one variable"),
    ("set-env", APP, seen(), {"env": "1A=x"}, "is no variable name"),
    ("set-env", APP, seen(), {"env": "A B=1"}, "sets nothing"),
    ("set-env", APP, seen(), {"env": "A=1 A-"}, "named twice"),
    ("set-env", APP, seen(), {"env": "A-"}, "these values already"),
    ("set-env", APP, seen(), {"env": "A=1", "container": "x"}, "there is c, d"),
    ("restore-env", APP, seen(), {"entries": '{"x":{"env":[],"order":[]}}'}, "any more"),
    ("set-image", APP, seen(), {"image": "r/i:2"}, "choose one"),
    ("set-image", APP, seen(), {"image": "r/i:1", "container": "c"}, "it runs r/i:1 already"),
    ("set-image", APP, seen(), {"image": "two words", "container": "c"}, "no image name"),
    ("set-resources", APP, seen(), {"container": "c"}, "at least one value"),
    ("set-resources", APP, seen(), {"container": "c", "memory-limit": "8GiB"}, "no quantity"),
    ("set-resources", APP, seen(), {"container": "c", "cpu-limit": "-1"}, "cannot be negative"),
    ("set-resources", APP, seen(), {"container": "c", "cpu-limit": "1", "cpu-request": "2"}, "above its limit"),
    ("set-resources", APP, seen(), {"container": "c", "cpu-limit": "none"}, "so already"),
    ("rollout-restart", APP, seen(deployment(paused=True)), {}, "is paused"),
    ("rollout-undo", APP, seen(deployment(paused=True)), {}, "is paused"),
    ("rollout-undo", APP, seen(), {}, "no earlier revision"),
    ("rollout-undo", APP, seen(revisions=[revision(1), revision(2)]), {"revision": "7"}, "revision 7 is gone"),
    ("rollout-undo", APP, seen(revisions=[revision(1), revision(2)]), {"revision": "²"}, "a revision is a number"),
    ("rollout-undo", APP, seen(revisions=[revision(1), revision(2)]), {}, "nothing to undo"),
    ("rollout-pause", APP, seen(deployment(paused=True)), {}, "paused already"),
    ("rollout-resume", APP, seen(), {}, "not paused already"),
    ("pod-delete", POD, PODS, {"grace": "-1"}, "0 to 3600"),
    ("pod-delete", POD, PODS, {"grace": "²"}, "0 to 3600"),
    ("pod-delete", POD, {**PODS, "pods": [pod(uid="other")]}, {}, "replaced by another object"),
    ("pods-greediest", APP, {**seen(), "found": [pod()], "usage": {}, "replicas": 4}, {}, "measured yet"),
    ("pods-greediest", APP, {**seen(), "found": [], "usage": {}}, {"count": "0"}, "1 or more"),
    ("cordon", NODE, {**seen({"metadata": meta(NODE), "spec": {"unschedulable": True}}), "pods": 0}, {}, "already"),
    ("uncordon", NODE, {**seen({"metadata": meta(NODE), "spec": {}}), "pods": 0}, {}, "not cordoned already"),
    ("drain", NODE, {**seen({"metadata": meta(NODE), "spec": {}}), "pods": [pod(owner="")]}, {}, "bare pods"),
    (
        "drain",
        NODE,
        {**seen({"metadata": meta(NODE), "spec": {}}), "pods": [pod(volumes=[{"emptyDir": {}}])]},
        {"emptydir": "no"},
        "emptyDir data",
    ),
]


@pytest.mark.parametrize(("action", "target", "what", "args", "expected"), BAD)
def test_bad_input_is_refused_in_words(
    action: str, target: Target, what: Json, args: dict[str, str], expected: str
) -> None:
    found = decide(action, target, what, **args)
    assert isinstance(found, Refusal), found
    assert expected in found.reason
    assert "\n" not in found.reason
    assert len(found.reason) < 160


@pytest.mark.parametrize(
    ("action", "target", "what", "args", "risk"),
    [
        ("scale", APP, seen(), {"replicas": "0"}, Risk.HIGH),
        ("scale", APP, seen(), {"replicas": "1"}, Risk.HIGH),
        ("scale", APP, seen(), {"replicas": "2"}, Risk.MEDIUM),
        ("hpa-bounds", HPA, seen(autoscaler(1, 9, 8)), {"max": "3"}, Risk.HIGH),
        ("pod-delete", POD, PODS, {}, Risk.LOW),
        ("pod-delete", POD, {**PODS, "pods": [pod(), pod("b", "p2")]}, {"also": "b"}, Risk.MEDIUM),
        ("pod-delete", POD, {**PODS, "replicas": 3, "pods": [pod(), pod("b", "p2")]}, {"also": "b"}, Risk.HIGH),
        ("drain", NODE, {**seen({"metadata": meta(NODE), "spec": {}}), "pods": []}, {}, Risk.HIGH),
    ],
)
def test_risk_follows_from_what_is_hit(
    action: str, target: Target, what: Json, args: dict[str, str], risk: Risk
) -> None:
    if args.get("also"):
        args = {"also": msgspec.json.encode([Target("Pod", "b", "shop", "p2", "prod")]).decode()}
    found = plan(action, target, what, **args)
    assert found.risk is risk
    assert found.confirm_word or risk is not Risk.HIGH


def test_the_card_of_an_undo_lists_the_other_revisions() -> None:
    history = [revision(n, f"r/i:{n}") for n in range(2, 9)] + [revision(9)]
    found = plan("rollout-undo", APP, seen(revisions=history))
    assert (found.changes[0].before, found.changes[0].after, found.changes[1].after) == ("9", "8", "r/i:8")
    assert found.blast[1:] == (
        *(f"revision {n} instead (e): c image r/i:{n}" for n in (7, 6, 5, 4)),
        "and 2 older revisions",
    )
    assert plan("rollout-undo", APP, seen(revisions=history), revision="4").changes[1].after == "r/i:4"


def test_every_pod_request_is_bound_to_its_uid() -> None:
    for action in ("pod-delete", "pod-evict"):
        (request,) = plan(action, POD, PODS, grace="0").requests
        body = json.loads(request.body)
        options = body if action == "pod-delete" else body["deleteOptions"]
        assert (options["preconditions"], options["gracePeriodSeconds"]) == ({"uid": "p1"}, 0)


def test_what_a_user_may_not_list_is_said_and_not_guessed() -> None:
    found = plan("scale", APP, seen(hidden=["HPAs"]), replicas="9")
    assert "HPAs are not known" in found.warnings[0]
    restart = plan("rollout-restart", APP, seen(hidden=["HPAs", "disruption budgets"]))
    assert sum("are not known: your role may not list them" in line for line in restart.blast) == 2
    delete = plan("pod-delete", POD, {**PODS, "budgets": None})
    assert any("budgets are not known" in line for line in delete.blast)


class Wire:
    """Remembers what is sent."""

    def request(self, method: str, path: str, **more: Any) -> bytes:
        self.sent = {"method": method, "path": path, **more}
        return b"{}"


@pytest.mark.parametrize("action", ["pod-delete", "pod-evict"])
def test_a_dry_run_says_so_where_the_server_looks(action: str) -> None:
    wire = Wire()
    ports = Ports(wire, FakeClock(), list, list, default())  # type: ignore[arg-type]  # fakes
    (request,) = plan(action, POD, PODS).requests
    send(ports, request, dry_run=True)
    assert wire.sent["query"]["dryRun"] == "All"
    if request.method == "DELETE":
        assert json.loads(wire.sent["body"])["dryRun"] == ["All"]
    send(ports, request)
    assert "dryRun" not in wire.sent["query"]
    assert "dryRun" not in json.loads(wire.sent["body"])


NAMES = st.sampled_from(["A", "B", "C", "D", "E"])
SOURCES = st.sampled_from(
    [{"secretKeyRef": {"name": "s", "key": "k"}}, {"fieldRef": {"fieldPath": "metadata.name"}}, None]
)


@st.composite
def environments(draw: st.DrawFn) -> list[Json]:
    """Variables of a container, each once; an empty value is left out, as the server does."""
    entries: list[Json] = []
    for name in draw(st.lists(NAMES, unique=True)):
        source, value = draw(SOURCES), draw(st.sampled_from(["", "1", "$(A) x"]))
        entries.append({"name": name, **({"valueFrom": source} if source else {"value": value} if value else {})})
    return entries


def merged(env: list[Json], patch: Mapping[str, Any]) -> list[Json]:
    """What a strategic merge patch of `env` gives on the server."""
    found = {entry["name"]: dict(entry) for entry in env}
    for entry in patch["env"]:
        if entry.get("$patch") == "delete":
            found.pop(entry["name"], None)
            continue
        now = found.setdefault(entry["name"], {"name": entry["name"]})
        for key, value in entry.items():
            if isinstance(value, dict):
                value = {k: v for k, v in {**(now.get(key) or {}), **value}.items() if v is not None}
            now.pop(key, None)
            if value not in (None, ""):
                now[key] = value
    order = [entry["name"] for entry in patch["$setElementOrder/env"]]
    assert set(found) <= set(order)
    return sorted(found.values(), key=lambda entry: order.index(entry["name"]))


def sent_env(found: Plan) -> Json:
    body = json.loads(found.requests[0].body)
    patch: Json = body["spec"]["template"]["spec"]["containers"][0]
    return patch


@given(environments(), st.dictionaries(NAMES, st.sampled_from(["1", "2", "", "x y", None]), min_size=1))
def test_env_undo_gives_back_exactly_what_was(env: list[Json], wanted: dict[str, str | None]) -> None:
    line = " ".join(f"{name}-" if value is None else f"{name}='{value}'" for name, value in wanted.items())
    found = decide("set-env", APP, seen(deployment(env)), env=line, container="c")
    if isinstance(found, Refusal):
        assert found.reason == "the variables have these values already"
        return
    after = merged(env, sent_env(found))
    for name, value in wanted.items():
        entries = [entry for entry in after if entry["name"] == name]
        assert entries == ([] if value is None else [{"name": name, **({"value": value} if value else {})}])
    kept = [entry for entry in after if entry["name"] not in wanted]
    assert kept == [entry for entry in env if entry["name"] not in wanted]
    undo = json.dumps(found.payload["undo"])
    back = plan("restore-env", APP, seen(deployment(after)), entries=undo)
    assert merged(after, sent_env(back)) == env


TEMPLATES = st.builds(
    lambda image, env, extra: {"spec": {"containers": [{"name": "c", "image": image, "env": env}], **extra}},
    st.sampled_from(["i:1", "i:2"]),
    environments(),
    st.dictionaries(st.sampled_from(["dnsPolicy", "hostNetwork"]), st.sampled_from(["x", "y"])),
)


@given(TEMPLATES, TEMPLATES)
def test_a_card_is_contradicted_by_what_was_and_not_by_what_comes(before: Json, after: Json) -> None:
    changes = differences(before, after)
    assert contradiction(after, changes) == ""
    assert bool(contradiction(before, changes)) is bool(changes)


@given(st.text(max_size=12))
def test_numbers_from_people(text: str) -> None:
    count, grace = parse_count(text, "replicas"), parse_grace(text)
    assert isinstance(count, str) or 0 <= count <= ABSURD
    assert grace is None or isinstance(grace, str) or 0 <= grace <= 3600
    assert isinstance(choose({1: {}, 2: {}}, text), int | Refusal)


QUANTITIES = st.sampled_from(["", "none", "100m", "1", "0.5", "2Gi", "512Mi", "1e3", "-1", "8GiB", "x"])


@given(QUANTITIES, QUANTITIES, QUANTITIES, QUANTITIES)
def test_no_request_above_its_limit_ever_leaves(a: str, b: str, c: str, d: str) -> None:
    args = {"cpu-request": a, "cpu-limit": b, "memory-request": c, "memory-limit": d}
    old = {"requests": {"cpu": "200m"}, "limits": {"memory": "1Gi"}}
    wanted = wanted_values(old, args)
    if isinstance(wanted, str):
        return
    for resource in ("cpu", "memory"):
        request, limit = ({**old[kind], **wanted.get(kind, {})}.get(resource) for kind in ("requests", "limits"))
        assert not (request and limit) or nano(request) <= nano(limit)


@pytest.mark.parametrize(
    ("kind", "spec", "status", "outcome"),
    [
        ("Deployment", {"replicas": 0}, {}, Outcome.RECOVERED),
        ("Deployment", {}, {"updatedReplicas": 1, "replicas": 2}, Outcome.PENDING),
        ("StatefulSet", {"replicas": 2}, {"readyReplicas": 1}, Outcome.PENDING),
        ("StatefulSet", {"updateStrategy": {"type": "OnDelete"}}, {}, Outcome.RECOVERED),
        ("DaemonSet", {}, {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2}, Outcome.PENDING),
    ],
)
def test_rollout_status(kind: str, spec: Json, status: Json, outcome: Outcome) -> None:
    obj = {"metadata": {"generation": 2}, "spec": spec, "status": {"observedGeneration": 2, **status}}
    assert rollout_status(kind, obj).outcome is outcome
    obj["status"] = {**status, "observedGeneration": 1}
    assert rollout_status(kind, obj).outcome is Outcome.PENDING


def test_what_is_saved_can_be_applied_again_and_again() -> None:
    obj = {**deployment(), "status": {"replicas": 1}}
    once = for_apply("Deployment", "apps/v1", obj)
    assert for_apply("Deployment", "apps/v1", once) == once
    assert "status" not in once
    assert set(once["metadata"]) == {"name", "namespace"}


def test_a_plan_survives_the_journal() -> None:
    for found in (plan("set-env", APP, seen(), env="A=1"), plan("pod-evict", POD, PODS)):
        written = msgspec.json.encode(msgspec.to_builtins(found))
        assert msgspec.convert(msgspec.json.decode(written), type=Plan).requests == found.requests
        assert isinstance(found.requests[0], ApiRequest)

"""Move every pod off a node through the eviction API.

Invariant: pods are evicted, never deleted, each bound to its uid; what would be lost (bare pods, emptyDir data) is
listed before and only touched when asked for; DaemonSet and mirror pods stay. A drain that fails or is cancelled says
which pods are left and leaves the node cordoned, with uncordon offered. The filters are kubectl drain's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from planc_tui.actions.base import (
    Action,
    Change,
    Need,
    Outcome,
    Param,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Report,
    Risk,
    Stopped,
    Verdict,
)
from planc_tui.actions.executor import send
from planc_tui.actions.kube import Json, access, get, guard, kubectl, list_all, needed, patch
from planc_tui.actions.pod_delete import controller, eviction
from planc_tui.actions.workload import refuse_gone, selects
from planc_tui.core.ports import NotFound, PortError, Rejected, Throttled, Unreachable
from planc_tui.core.table import Target

_CORDONED = "the node is still cordoned: uncordon it to use it again"
BATCH = 10
ASK_AGAIN = 5.0
POLL = 1.0


class Sorted(Struct, frozen=True):
    """Pods of a node by what a drain does with them."""

    moves: list[Json]
    stays: list[Json]
    lost: list[str]


class Drain(Action):
    """Cordon, evict with patience, and tell of every pod."""

    id = "drain"
    title = "Drain"
    needs = (Need("patch"), Need("create", "eviction", "Pod"))
    key = "r"
    risk = Risk.HIGH
    kinds = ("Node",)
    params = (
        Param("force", "evict bare pods too (they are lost)", "flag"),
        Param("emptydir", "evict pods with emptyDir data (it is lost)", "flag", default="yes"),
    )
    checked = "every pod of the node: owner, DaemonSet, mirror, emptyDir, budgets; dry run; permission to evict"
    undone = "uncordon; the pods stay where they moved"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        node = get(ports.cluster, "Node", "", target.name)
        pods = list_all(ports.cluster, "Pod", "", fieldSelector=f"spec.nodeName={target.name}")
        budgets = list(list_all(ports.cluster, "PodDisruptionBudget", ""))
        return {"object": node, "pods": pods, "budgets": budgets, "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        node = seen["object"]
        gone = refuse_gone(target, node)
        if gone:
            return Refusal(gone)
        sorted_ = sort_pods(seen["pods"])
        blocked = blockers(sorted_.moves, args)
        if blocked:
            return Refusal(blocked)
        cordoned = bool(node["spec"].get("unschedulable"))
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            targets=(target,),
            changes=(
                *((Change("takes new pods", "yes", "no"),) if not cordoned else ()),
                *(Change(_name(pod), "runs here", _fate(pod)) for pod in sorted_.moves),
            ),
            risk=self.risk,
            blast=(
                f"moves {len(sorted_.moves)} pods, {BATCH} at a time; {len(sorted_.stays)} stay (DaemonSet, mirror)",
                *budget_lines(seen["budgets"], sorted_.moves),
            ),
            warnings=tuple(sorted_.lost),
            equivalents=(_command(seen["context"], target.name, args),),
            undo="uncordon; the pods stay where they moved",
            confirm_word=target.name,
            deadline=900.0,
            access=(
                *needed(self, target)[:1],
                *(access("create", "Pod", ns, "", "eviction") for ns in sorted({_namespace(p) for p in sorted_.moves})),
            ),
            requests=(patch("Node", "", target.name, {"spec": {"unschedulable": True}}, label="cordon"),),
            guards=(guard(node, "Node"),),
            payload={"pods": [_identity(pod) for pod in sorted_.moves], "cordoned": cordoned},
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Cordon, then evict until every listed pod is gone. Raises PortError, Stopped."""
        report("cordoning")
        send(ports, plan.requests[0])
        run = _Eviction(ports, [dict(pod) for pod in plan.payload["pods"]])
        started = ports.clock.monotonic()
        try:
            while not run.step(ports.clock.monotonic()):
                report(run.progress())
                if ports.clock.monotonic() - started > plan.deadline:
                    return Receipt(partial=f"not drained within {plan.deadline:.0f} s: {run.left()}; {_CORDONED}")
                run.pause()
        except Stopped:
            raise Stopped(f"{run.left()}; {_CORDONED}", Receipt({"cordoned": True})) from None
        except PortError as error:
            return Receipt(partial=f"{error.message}; {run.left()}; {_CORDONED}")
        return Receipt({"evicted": len(plan.payload["pods"])})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        target = plan.targets[0]
        if receipt.partial:
            return Verdict(Outcome.FAILED, receipt.partial)
        if not get(ports.cluster, "Node", "", target.name)["spec"].get("unschedulable"):
            return Verdict(Outcome.FAILED, f"{target.name} is not cordoned: not done, or changed back since")
        pods = list_all(ports.cluster, "Pod", "", fieldSelector=f"spec.nodeName={target.name}")
        here = {pod["metadata"]["uid"] for pod in pods}
        left = [pod["name"] for pod in plan.payload["pods"] if pod["uid"] in here]
        if left:
            return Verdict(Outcome.PENDING, f"{len(left)} pods still here: {left[0]}")
        return Verdict(Outcome.RECOVERED, f"drained, {len(plan.payload['pods'])} pods moved")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return None if plan.payload["cordoned"] else ("uncordon", plan.targets[0], {})


class _Eviction:
    """The pods of one drain on their way out."""

    def __init__(self, ports: Ports, pods: list[dict[str, str]]) -> None:
        self._ports = ports
        self._waiting = pods
        self._asked: list[dict[str, str]] = []
        self._total = len(pods)
        self._not_before: dict[str, float] = {}
        self._refusal = ""

    def step(self, now: float) -> bool:
        """Ask for what may be asked for, look who is gone. True when nobody is left."""
        for pod in [p for p in self._waiting if self._not_before.get(p["uid"], 0.0) <= now]:
            if len(self._asked) >= BATCH:
                break
            self._evict(pod, now)
        self._asked = [pod for pod in self._asked if not self._gone(pod)]
        return not self._waiting and not self._asked

    def pause(self) -> None:
        """Until the next look; the report hears a cancel at once after it."""
        self._ports.clock.sleep(POLL)

    def progress(self) -> str:
        """`7/12 gone`, with the budget that holds the rest."""
        gone = self._total - len(self._waiting) - len(self._asked)
        held = f"; waiting: {self._refusal}" if self._waiting and self._refusal else ""
        return f"{gone}/{self._total} pods gone{held}"

    def left(self) -> str:
        """Who is still there, by name; those that were evicted and are on their way out are counted apart."""
        names = [pod["name"] for pod in self._waiting]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        going = f", {len(self._asked)} evicted and going" if self._asked else ""
        gone = self._total - len(names) - len(self._asked)
        return f"{gone}/{self._total} pods gone{going}, left: {', '.join(names[:3]) or 'none'}{more}"

    def _evict(self, pod: dict[str, str], now: float) -> None:
        try:
            send(self._ports, eviction(pod))
        except NotFound:
            self._waiting.remove(pod)
            return
        except PortError as error:
            # An eviction is bound to a uid, so one whose answer was lost may be asked for again.
            held = isinstance(error, Throttled | Unreachable) or (isinstance(error, Rejected) and error.code == 429)
            if not (held or "being terminated" in error.message):
                error.message = f"{pod['name']}: {error.message}"
                raise
            self._refusal = f"{pod['name']}: {error.message}"
            self._not_before[pod["uid"]] = now + ASK_AGAIN
            return
        self._waiting.remove(pod)
        self._asked.append(pod)

    def _gone(self, pod: dict[str, str]) -> bool:
        try:
            found = get(self._ports.cluster, "Pod", pod["namespace"], pod["name"])
        except NotFound:
            return True
        except PortError:
            return False
        return bool(found["metadata"]["uid"] != pod["uid"])


def sort_pods(pods: list[Json]) -> Sorted:
    """What moves, what stays, and a line for everything that is lost."""
    moves: list[Json] = []
    stays: list[Json] = []
    lost: list[str] = []
    for pod in pods:
        finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        mirror = "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})
        if mirror or (controller(pod).get("kind") == "DaemonSet" and not finished):
            stays.append(pod)
            continue
        moves.append(pod)
        if finished:
            continue
        if not controller(pod):
            lost.append(f"{_name(pod)} is a bare pod: nothing starts it again")
        if has_empty_dir(pod):
            lost.append(f"{_name(pod)} loses its emptyDir data")
    return Sorted(moves, stays, lost)


def blockers(pods: list[Json], args: Mapping[str, str]) -> str:
    """Why the drain may not start, as kubectl would refuse it; "" when it may."""
    force, emptydir = args.get("force") == "yes", args.get("emptydir", "yes") == "yes"
    alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
    bare = [_name(pod) for pod in alive if not controller(pod)]
    local = [_name(pod) for pod in alive if has_empty_dir(pod)]
    if bare and not force:
        return f"bare pods would be lost: {', '.join(bare[:3])}: choose force to drain anyway"
    if local and not emptydir:
        return f"emptyDir data would be lost: {', '.join(local[:3])}: choose emptyDir to drain anyway"
    return ""


def has_empty_dir(pod: Mapping[str, Any]) -> bool:
    """Whether a pod keeps data in an emptyDir volume."""
    return any("emptyDir" in volume for volume in pod["spec"].get("volumes") or [])


def budget_lines(budgets: list[Json], pods: list[Json]) -> tuple[str, ...]:
    """A line for each disruption budget that counts some of these pods."""
    lines: list[str] = []
    for budget in budgets:
        meta, selector = budget["metadata"], (budget.get("spec") or {}).get("selector")
        count = sum(
            _namespace(pod) == meta["namespace"] and selects(selector, pod["metadata"].get("labels") or {})
            for pod in pods
        )
        if count:
            allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
            held = "" if allowed else ", the drain waits until it allows some"
            lines.append(f"budget {meta['name']} counts {count} of them: {allowed} may be down now{held}")
    return tuple(lines)


def _identity(pod: Json) -> dict[str, str]:
    meta = pod["metadata"]
    return {"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def _name(pod: Json) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _namespace(pod: Json) -> str:
    return str(pod["metadata"]["namespace"])


def _fate(pod: Json) -> str:
    owner = controller(pod)
    return f"evicted, {owner['kind']} {owner['name']} starts another" if owner else "evicted for good"


def _command(context: str, node: str, args: Mapping[str, str]) -> str:
    flags = ["--ignore-daemonsets"]
    flags += ["--delete-emptydir-data"] if args.get("emptydir", "yes") == "yes" else []
    flags += ["--force"] if args.get("force") == "yes" else []
    return kubectl(context, "", "drain", node, *flags)

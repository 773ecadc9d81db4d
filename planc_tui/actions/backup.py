"""The emergency backup: the database and the namespace's objects, checked before success is said.

Invariant: success means that the dump ended with its marker and exit code 0 and that every file was read back and
matched its SHA-256; Secrets reach the disk encrypted, or not at all, or in plain only after that was typed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planc_tui.actions.backup_files import (
    DUMP_END,
    PARTIAL,
    BackupError,
    FileEntry,
    Writer,
    begin,
    check,
    complete,
    folder_name,
)
from planc_tui.actions.base import (
    Action,
    Change,
    Guard,
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
from planc_tui.actions.kube import Json, access, api_version, get, kubectl, list_all, path_of
from planc_tui.actions.manifests import as_yaml, for_apply, restorable
from planc_tui.core.complaint import complaint
from planc_tui.core.ports import NotFound, PortError, Rejected
from planc_tui.core.table import Target

PLAIN = "plain"
LEAST_FREE = 64 << 20


class Backup(Action):
    """Dump, manifests and Secrets into one folder stamped with the UTC time."""

    id = "backup"
    title = "Emergency backup"
    needs = (Need("create", "exec", "Pod"),)
    risk = Risk.MEDIUM
    kinds = ("Namespace",)
    params = (Param("secrets", "Secrets", "choice", choices=("", "encrypted", "omit", PLAIN)),)
    checked = "the same pod runs, room on the disk, permission to exec and list; dump marker, size and SHA-256 of all"
    undone = "nothing is changed in the cluster; delete the folder"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        postgres = ports.playbook.targets.postgres
        settings = ports.playbook.backup
        pod = get(ports.cluster, "Pod", target.namespace, postgres.pod) if postgres is not None else None
        base = Path(settings.folder).expanduser()
        return {
            "pod": pod,
            "container": postgres.container if postgres is not None else "",
            "user": postgres.user if postgres is not None else "",
            "database": postgres.database if postgres is not None else "",
            "base": str(base),
            "free": _free(base),
            "kinds": list(settings.kinds),
            "recipients": list(settings.recipients),
            "secrets": settings.secrets,
            "now": ports.clock.now(),
            "context": ports.cluster.context,
        }

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        if seen["pod"] is not None and (seen["pod"].get("status") or {}).get("phase") != "Running":
            return Refusal(f"pod {seen['pod']['metadata']['name']} is not running: nothing to dump from")
        if seen["free"] < LEAST_FREE:
            return Refusal(f"only {seen['free'] >> 20} MiB are free under {seen['base']}: make room first")
        secrets = secrets_mode(args.get("secrets", ""), seen["secrets"], seen["recipients"])
        if isinstance(secrets, Refusal):
            return secrets
        folder = str(Path(seen["base"]) / folder_name(seen["now"]))
        dump = ["pg_dump", "-U", seen["user"], seen["database"]]
        kinds = [kind for kind in seen["kinds"] if kind != "Secret" or secrets != "omit"]
        pod = seen["pod"]["metadata"] if seen["pod"] is not None else None
        where = (seen["context"], target.namespace)
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            namespace=target.namespace,
            targets=(target,),
            changes=(
                *((Change(f"database {seen['database']}", "", "pg_dump, zstd, SHA-256"),) if pod else ()),
                Change("objects", "", ", ".join(kinds)),
                Change("Secrets", "", _SAID[secrets]),
                Change("folder", "", folder),
            ),
            risk=Risk.HIGH if secrets == PLAIN else self.risk,
            blast=("reads alone; nothing in the cluster changes",),
            warnings=(f"Secrets will lie on this disk unencrypted, in {folder}",) if secrets == PLAIN else (),
            equivalents=(
                *((_dump_command(where, pod["name"], seen["container"], dump),) if pod else ()),
                *((_objects_command(where, kinds),) if kinds else ()),
            ),
            undo="nothing to undo; delete the folder when it is no longer needed",
            confirm_word=PLAIN,
            deadline=3600.0,
            access=(
                *((access("create", "Pod", target.namespace, pod["name"], "exec"),) if pod else ()),
                *(access("list", kind, target.namespace) for kind in kinds),
            ),
            payload={
                "folder": folder,
                "kinds": kinds,
                "secrets": secrets,
                "recipients": seen["recipients"],
                "dump": _dump_of(pod, seen["container"], dump) if pod else None,
            },
            guards=(Guard(path_of("Pod", pod["namespace"], pod["name"]), pod["uid"], name=f"pod/{pod['name']}"),)
            if pod
            else (),
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Write the folder. Raises PortError, Stopped; what was written by then stays marked as partial."""
        folder = Path(plan.payload["folder"])
        try:
            partial = begin(folder.parent, folder.name)
        except BackupError as error:
            raise Rejected(str(error)) from None
        entries: list[FileEntry] = []
        try:
            if plan.payload["dump"]:
                entries.append(self._dump(ports, plan, partial, report))
            for kind in plan.payload["kinds"]:
                report(f"saving {kind}s")
                entries.append(self._objects(ports, plan, partial, kind))
            report("checking every file")
            about = {"context": plan.context, "namespace": plan.namespace, "taken_at": folder.name[-16:]}
            final = complete(partial, entries, {**about, "secrets": plan.payload["secrets"]})
        except OSError as error:
            raise Rejected(f"{error.strerror}: the backup broke off, {partial} is incomplete") from None
        except BackupError as error:
            raise Rejected(f"{error}{_gone(ports, plan)}: {partial} is incomplete") from None
        except PortError as error:
            error.message = f"{error.message}{_gone(ports, plan)}: the backup broke off, {partial} is incomplete"
            raise
        except Stopped as stopped:
            raise Stopped(f"{stopped.done}; {partial} is incomplete") from None
        size = sum(entry.size for entry in entries)
        return Receipt({"folder": str(final), "files": len(entries), "bytes": size})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        folder = Path(plan.payload["folder"])
        partial = folder.with_name(folder.name + PARTIAL)
        if not folder.exists():
            left = f"it broke off, {partial} is incomplete" if partial.exists() else "nothing was written"
            return Verdict(Outcome.FAILED, left)
        try:
            manifest = check(folder)
        except BackupError as error:
            return Verdict(Outcome.FAILED, str(error))
        size = sum(row["size"] for row in manifest["files"])
        return Verdict(Outcome.RECOVERED, f"{folder}: {len(manifest['files'])} files, {size / 1e6:.1f} MB, checked")

    def _dump(self, ports: Ports, plan: Plan, partial: Path, report: Report) -> FileEntry:
        spec = plan.payload["dump"]
        writer = Writer(partial / "dump.sql.zst", f"pg_dump of {spec['command'][-1]}", compress=True)
        told = 0

        def take(data: bytes) -> None:
            nonlocal told
            writer.write(data)
            if writer.raw_size - told > 4 << 20:
                told = writer.raw_size
                report(f"dumping, {told / 1e6:.0f} MB")

        try:
            report("dumping")
            result = ports.cluster.execute(
                plan.namespace,
                spec["pod"],
                spec["container"],
                tuple(spec["command"]),
                stdout=take,
                timeout=plan.deadline,
                stop=lambda: report.cancelled,
            )
        except BaseException:
            writer.abandon()
            raise
        if report.cancelled:
            writer.abandon()
            raise Stopped("the dump was stopped")
        marked = writer.ends_with_marker(DUMP_END)
        entry = writer.finish()
        if result.code != 0:
            raise BackupError(f"pg_dump ended with code {result.code}: {complaint(result.stderr) or 'no reason'}")
        if not marked:
            raise BackupError(f"the dump has no end marker after {entry.raw_size} bytes: it was cut off")
        return entry

    def _objects(self, ports: Ports, plan: Plan, partial: Path, kind: str) -> FileEntry:
        found = list_all(ports.cluster, kind, plan.namespace)
        version = api_version(kind)
        data = as_yaml(for_apply(kind, version, obj) for obj in found if restorable(kind, obj))
        data = data or f"# {plan.namespace} has no {kind}.\n".encode()
        name, what = f"{kind.lower()}s.yaml", f"{kind}s for kubectl apply"
        if kind == "Secret" and plan.payload["secrets"] == "encrypted":
            name, what, data = f"{name}.age", f"{what}, encrypted with age", encrypt(data, plan.payload["recipients"])
        writer = Writer(partial / name, what, compress=False)
        try:
            writer.write(data)
            return writer.finish()
        except OSError:
            writer.abandon()
            raise


_SAID = {
    "encrypted": "encrypted to the playbook's age recipients",
    "omit": "left out",
    PLAIN: "in plain, mode 0600",
}


def _dump_of(pod: Mapping[str, Any], container: str, command: list[str]) -> Json:
    return {"pod": pod["name"], "uid": pod["uid"], "container": container, "command": command}


def _gone(ports: Ports, plan: Plan) -> str:
    """Whether the pod that was dumped from is the reason why it broke off; "" when it is still there."""
    dump = plan.payload["dump"]
    if not dump:
        return ""
    try:
        pod = get(ports.cluster, "Pod", plan.namespace, dump["pod"])
    except NotFound:
        return f"; pod {dump['pod']} is gone"
    except PortError:
        return ""
    leaves = pod["metadata"]["uid"] != dump["uid"] or pod["metadata"].get("deletionTimestamp")
    return f"; pod {dump['pod']} was deleted meanwhile" if leaves else ""


def _dump_command(where: tuple[str, str], pod: str, container: str, dump: list[str]) -> str:
    chosen = ("-c", container) if container else ()
    return f"{kubectl(*where, 'exec', pod, *chosen, '--', *dump)} | zstd > dump.sql.zst"


def _objects_command(where: tuple[str, str], kinds: list[str]) -> str:
    """What kubectl reads; planc leaves out the fields that the server sets."""
    return f"{kubectl(*where, 'get', ','.join(kinds).lower(), '-o', 'yaml')} > objects.yaml"


def secrets_mode(wanted: str, default: str, recipients: list[str]) -> str | Refusal:
    """encrypted, omit or plain.

    >>> secrets_mode("", "ask", []), secrets_mode("", "ask", ["age1x"]), secrets_mode("plain", "omit", [])
    ('omit', 'encrypted', 'plain')
    """
    mode = wanted or default
    if mode == "ask":
        return "encrypted" if recipients else "omit"
    if mode == "encrypted" and not recipients:
        return Refusal("the playbook names no age recipients: set backup.recipients, or leave Secrets out")
    return mode


def encrypt(data: bytes, recipients: list[str]) -> bytes:
    """Encrypt to age recipients. Raises BackupError when one is no age recipient."""
    import pyrage

    try:
        keys = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
    except Exception:
        raise BackupError("backup.recipients holds something that is no age recipient (age1...)") from None
    sealed: bytes = pyrage.encrypt(data, keys)
    return sealed


def _free(base: Path) -> int:
    """Free bytes on the file system that `base` is or will be on."""
    while not base.exists():
        base = base.parent
    return shutil.disk_usage(base).free

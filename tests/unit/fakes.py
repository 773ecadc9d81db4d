"""A Kubernetes API that says what a test tells it to."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from planc_tui.core.ports import ByteStream, ExecResult, Forward, PortError, Unreachable

Json = dict[str, Any]
Answer = bytes | PortError
Piece = bytes | PortError | Callable[[], None]


def pod(name: str = "app-1", *, uid: str = "", version: int = 1, **parts: Any) -> Json:
    """A running pod of one container as the API server sends it; `spec` and `status` are merged into it."""
    made: Json = {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-24T12:00:00Z",
            "labels": {"app": "shop"},
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "registry/app:1"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}],
            "containerStatuses": [running("app")],
        },
    }
    for part in ("metadata", "spec", "status"):
        made[part].update(parts.get(part, {}))
    return made


def running(name: str = "app", *, ready: bool = True, restarts: int = 0, **more: Any) -> Json:
    """Status of a running container."""
    state = {"running": {"startedAt": "2026-11-24T12:00:05Z"}}
    return {"name": name, "ready": ready, "started": True, "restartCount": restarts, "state": state, **more}


def waiting(reason: str, name: str = "app", *, restarts: int = 0, **more: Any) -> Json:
    """Status of a container that waits."""
    return {"name": name, "ready": False, "restartCount": restarts, "state": {"waiting": {"reason": reason}}, **more}


def ended(
    code: int = 0,
    reason: str = "",
    *,
    signal: int = 0,
    name: str = "app",
    at: str = "2026-11-24T12:01:00Z",
    **more: Any,
) -> Json:
    """Status of a container that ended."""
    return {"name": name, "ready": False, "restartCount": 0, "state": terminated(code, reason, signal, at), **more}


def terminated(code: int, reason: str = "", signal: int = 0, at: str = "2026-11-24T12:01:00Z") -> Json:
    """A container's state, or its last one."""
    return {"terminated": {"exitCode": code, "reason": reason, "signal": signal, "finishedAt": at}}


def page(items: list[Json] | None, *, version: int = 100, token: str = "", remaining: int | None = None) -> bytes:
    """One page of a list."""
    metadata: Json = {"resourceVersion": str(version), "continue": token}
    if remaining is not None:
        metadata["remainingItemCount"] = remaining
    return json.dumps({"kind": "PodList", "metadata": metadata, "items": items}).encode()


def event(kind: str, thing: Json) -> bytes:
    """One watch line."""
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    """A BOOKMARK line."""
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version), "creationTimestamp": None}})


def error(code: int, message: str = "no") -> bytes:
    """An ERROR line."""
    return event("ERROR", {"kind": "Status", "code": code, "reason": "Because", "message": message})


@dataclass
class Asked:
    """One request or stream that reached the server."""

    path: str
    query: dict[str, str]
    source: str
    timeout: float = 0.0


@dataclass
class FakeStream:
    """Chunks in their order; a PortError breaks the stream, a function is called. Ends when they are used up."""

    pieces: list[Piece]
    closed: bool = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if self.closed:
                return
            if isinstance(piece, PortError):
                raise piece
            if isinstance(piece, bytes):
                yield piece
            else:
                piece()

    def close(self) -> None:
        self.closed = True


@dataclass
class FakePort:
    """Implements ClusterPort. The last answer for a path is given again and again; a path without one is refused."""

    answers: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    watches: dict[str, deque[list[Piece] | PortError]] = field(default_factory=lambda: defaultdict(deque))
    requests: list[Asked] = field(default_factory=list)
    streams: list[Asked] = field(default_factory=list)
    opened: list[FakeStream] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None
    context: str = "test"
    server: str = "127.0.0.1:6443"

    def answer(self, path: str, *answers: Answer) -> None:
        """What the next requests for a path get."""
        self.answers[path].extend(answers)

    def watch(self, path: str, *streams: list[Piece] | PortError) -> None:
        """What the next streams of a path send."""
        self.watches[path].extend(streams)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 10.0,
        source: str = "",
    ) -> bytes:
        self.requests.append(Asked(path, dict(query or {}), source, timeout))
        self.on_request()
        queue = self.answers[path]
        if not queue:
            raise Unreachable(f"refused: {method} {path}")
        found = queue.popleft() if len(queue) > 1 else queue[0]
        if isinstance(found, PortError):
            raise found
        return found

    def stream(
        self, path: str, *, query: Mapping[str, str] | None = None, idle_timeout: float = 90.0, source: str = ""
    ) -> ByteStream:
        self.streams.append(Asked(path, dict(query or {}), source, idle_timeout))
        queue = self.watches[path]
        found = queue.popleft() if queue else []
        if isinstance(found, PortError):
            raise found
        self.opened.append(FakeStream(found))
        return self.opened[-1]

    def forward(self, namespace: str, pod: str, port: int) -> Forward:
        raise NotImplementedError  # no feed forwards, so a call is a mistake

    def execute(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: tuple[str, ...],
        *,
        stdout: Callable[[bytes], None],
        timeout: float,
        stdin: bytes = b"",
        stop: Callable[[], bool] = lambda: False,
    ) -> ExecResult:
        raise NotImplementedError  # no feed runs commands, so a call is a mistake

    def close(self) -> None:
        """Nothing is open."""

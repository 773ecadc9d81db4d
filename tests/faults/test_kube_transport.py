"""The transport against an API server that does everything wrong: the right error, in time, and nothing sent twice."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from planc_tui.backends.kubernetes import Impersonation
from planc_tui.backends.kubernetes.transport import ApiPort
from planc_tui.core.ports import (
    BadAnswer,
    LoginExpired,
    NoAnswer,
    NotFound,
    PortError,
    Rejected,
    Silent,
    Throttled,
    Unreachable,
)
from planc_tui.core.stats import RequestStats
from tests.faults.kube_server import (
    Answer,
    Asked,
    Server,
    Socks,
    chunk,
    drip,
    head,
    raw,
    read_request,
    reply,
    reset,
    tunnel_to,
    wait_for_end,
)

OK = reply(200, {"kind": "PodList", "items": []})
LIST = "/api/v1/namespaces/shop/pods"


def unauthorized() -> Answer:
    return reply(401, {"kind": "Status", "message": "Unauthorized"})


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (reply(429, b"", Retry_After="3"), Throttled, "asks to slow down"),
        (reply(500, {"kind": "Status", "message": "etcd"}), Unreachable, "answers 500: etcd"),
        (reply(200, b"<html>login", kind="text/html"), BadAnswer, "answers with a web page"),
        (reply(200, b'{"items": ['), BadAnswer, "not JSON"),
        (reply(200, b"\x00\xff\x1b[31m"), BadAnswer, "not JSON"),
        (reply(302, b"", Location="https://sso.example/x"), BadAnswer, "redirects to sso.example"),
        (reply(200, b"not gzip", Content_Encoding="gzip"), BadAnswer, "compressed answer"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), BadAnswer, "does not answer in HTTP"),
        (raw(head(200, "application/json", 100) + b'{"it'), BadAnswer, "was cut off"),
        (raw(head(200, "application/json", None) + b"5\r\n{"), BadAnswer, "was cut off"),
        (raw(head(200, "application/json", None) + b"zz\r\n{"), BadAnswer, "was cut off"),
        (raw(b""), Unreachable, "closed the connection without an answer"),
        (raw(b"", then=reset), Unreachable, "was reset"),
        (raw(head(200, "application/json", 100) + b"{", then=reset), Unreachable, "was reset"),
        (raw(b"", then=wait_for_end), NoAnswer, "no answer from 127.0.0.1"),
        (raw(b"HTTP/1.1 200 OK\r\nX-A: ", then=drip), NoAnswer, "within 0.6 s"),
        (raw(head(200, "application/json", 10_000), then=drip), NoAnswer, "within 0.6 s"),
        (raw(head(200, "application/json", None), then=drip), NoAnswer, "within 0.6 s"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_the_right_error_in_time_and_sent_once(
    tmp_path: Path, answer: Answer, kind: type[PortError], message: str, method: str
) -> None:
    with Server(answer) as server:
        port = server.port_to(tmp_path)
        port._client.prepare()
        started = time.monotonic()
        with pytest.raises(PortError) as caught:
            port.request(method, LIST, body=b"{}" if method != "GET" else None, timeout=0.6)
        assert time.monotonic() - started < 1.0
        port.close()
    assert type(caught.value) is kind, caught.value.message
    assert message in caught.value.message
    assert server.sends() == [f"{method} {LIST}"]


@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("POST", 1), ("DELETE", 1), ("PATCH", 1)])
def test_a_401_is_tried_again_for_a_get_alone(tmp_path: Path, method: str, sent: int) -> None:
    """The plugin gives another token each time; only GET may use the second one by itself."""
    counter = tmp_path / "count"
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!/bin/sh\necho x >> {counter}\nn=$(wc -l < {counter})\n"
        'echo \'{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",'
        '"status":{"token":"t\'$n\'"}}\'\n'
    )
    plugin.chmod(0o755)
    user = {"exec": {"command": str(plugin), "apiVersion": "client.authentication.k8s.io/v1"}}

    def answer(sock: socket.socket, asked: Asked) -> None:
        good = asked.headers["authorization"] == ["Bearer t2"]
        (OK if good else unauthorized())(sock, asked)

    with Server(answer) as server:
        port = server.port_to(tmp_path, user=user)
        # As if the first token were an old one.
        port._client.login(5)
        port._client.tokens._issued_at -= 60
        if method == "GET":
            assert json.loads(port.request(method, LIST))["items"] == []
        else:
            with pytest.raises(LoginExpired) as caught:
                port.request(method, LIST, body=b"{}")
            assert str(plugin) in caught.value.hint
            assert json.loads(port.request("GET", LIST))["items"] == [], "the renewed login serves the next one"
        port.close()
    assert [asked.method for asked in server.asked].count(method) == sent
    assert counter.read_text() == "x\n" * 2


def test_a_plain_token_that_is_refused_is_one_request(tmp_path: Path) -> None:
    with Server(unauthorized()) as server:
        port = server.port_to(tmp_path)
        with pytest.raises(LoginExpired) as caught:
            port.request("GET", LIST)
        port.close()
    assert caught.value.hint == "kubectl --context t get --raw /version"
    assert len(server.sends()) == 1


def test_what_goes_over_the_wire(tmp_path: Path) -> None:
    body = b'[{"op":"replace","path":"/a","value":1.5}]'

    def answer(sock: socket.socket, asked: Asked) -> None:
        packed = gzip.compress(json.dumps({"big": "x" * 5000}).encode())
        reply(200, packed, Content_Encoding="gzip")(sock, asked)

    stats = RequestStats()
    with Server(answer) as server:
        jane = Impersonation("jane", ("a", "b"))
        port = server.port_to(tmp_path, impersonate=jane, stats=stats)
        query = {"labelSelector": "a in (b, c)&x=y"}
        kind = "application/json-patch+json"
        answered = port.request("PATCH", f"{LIST}/a%2Fb", query=query, body=body, content_type=kind, source="actions")
        port.close()
    assert json.loads(answered) == {"big": "x" * 5000}
    (asked,) = server.asked
    assert asked.path == f"{LIST}/a%2Fb?labelSelector=a+in+%28b%2C+c%29%26x%3Dy"
    assert json.loads(asked.body) == json.loads(body)
    assert asked.headers["content-type"] == [kind]
    assert asked.headers["authorization"] == ["Bearer tok"]
    assert asked.headers["impersonate-user"] == ["jane"]
    assert asked.headers["impersonate-group"] == ["a", "b"]
    assert asked.headers["user-agent"][0].startswith("planc/")
    (load,) = stats.loads(time.monotonic())
    assert (load.source, load.total) == ("actions", 1)
    assert 0 < load.bytes_in < 1000, "counted as it came over the wire"


def in_chunks(body: bytes, *, end: bytes, **headers: str) -> Answer:
    """An answer in chunks of 7,000 bytes. end: what comes after the last one."""

    def answer(sock: socket.socket, _: Asked) -> None:
        sock.sendall(head(200, "application/json", None, **headers))
        for start in range(0, len(body), 7000):
            sock.sendall(chunk(body[start : start + 7000]))
        sock.sendall(end)
        if not end:
            sock.shutdown(socket.SHUT_RDWR)

    return answer


@pytest.mark.parametrize("zipped", [False, True])
def test_a_chunked_answer_is_counted_as_it_came_and_half_of_one_is_none(tmp_path: Path, zipped: bool) -> None:
    text = json.dumps({"kind": "PodList", "items": [], "big": list(range(20_000))}).encode()
    body = gzip.compress(text) if zipped else text
    headers = {"Content_Encoding": "gzip"} if zipped else {}
    stats = RequestStats()
    with Server(in_chunks(body, end=b"0\r\n\r\n", **headers)) as server:
        port = server.port_to(tmp_path, stats=stats)
        assert port.request("GET", LIST, source="pods") == text
        (load,) = stats.loads(time.monotonic())
        assert load.bytes_in == len(body)
        server.answer = in_chunks(body, end=b"", **headers)
        with pytest.raises(BadAnswer, match="cut off"):
            port.request("GET", LIST, source="pods")
        port.close()


def test_a_token_with_a_line_break_sends_nothing(tmp_path: Path) -> None:
    with Server(OK) as server:
        port = server.port_to(tmp_path, user={"token": "a\r\nX-Evil: 1"})
        with pytest.raises(PortError, match="a header cannot carry"):
            port.request("GET", LIST)
        port.close()
    assert server.asked == []


def test_refused_and_unknown_servers_are_asked_nothing(tmp_path: Path) -> None:
    stats = RequestStats()
    with Server(OK) as server:
        port = server.port_to(tmp_path, stats=stats)
        nowhere = server.port_to(tmp_path, cluster={"server": "https://no-such-host.invalid"}, stats=stats)
    with pytest.raises(Unreachable, match="connection refused by 127"):
        port.request("GET", LIST)
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid was not"):
        nowhere.request("GET", LIST, timeout=5)
    assert stats.last_minute(time.monotonic()) == 0


def test_a_name_server_that_is_silent_costs_the_deadline_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])
    with Server(OK) as server:
        port = server.port_to(tmp_path, cluster={"server": "https://slow.example"})
        port._client.prepare()
        started = time.monotonic()
        with pytest.raises(Unreachable, match=r"slow\.example was not resolved"):
            port.request("GET", LIST, timeout=0.3)
        assert time.monotonic() - started < 1.0
        port.close()
    release.set()


def test_the_next_address_is_tried_when_one_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(OK) as server, socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = closed.getsockname()
        closed.close()
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (refusing, ("127.0.0.1", server.port))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        port = server.port_to(tmp_path, cluster={"server": "http://two.example"})
        assert b"PodList" in port.request("GET", LIST)
        port.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "api.example").configure_cert(context)
    return context


def ca_file(authority: trustme.CA, folder: Path) -> str:
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_tls_trust(tmp_path: Path, authority: trustme.CA, tls: ssl.SSLContext) -> None:
    trusted = {"certificate-authority": ca_file(authority, tmp_path)}
    stranger = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    cases: list[tuple[dict[str, Any], str]] = [
        (trusted, ""),
        ({**trusted, "tls-server-name": "api.example"}, ""),
        ({"insecure-skip-tls-verify": True}, ""),
        ({**trusted, "tls-server-name": "other.example"}, "not trusted: Hostname mismatch"),
        ({"certificate-authority": str(stranger)}, "not trusted"),
        ({"certificate-authority": str(tmp_path / "none.pem")}, "cannot read"),
        ({"certificate-authority-data": "eA=="}, "not a PEM certificate"),
    ]
    with Server(OK, tls) as server:
        for cluster, message in cases:
            port = server.port_to(tmp_path, cluster=cluster)
            if message:
                with pytest.raises(PortError) as caught:
                    port.request("GET", LIST, timeout=5)
                assert message in caught.value.message
            else:
                assert b"PodList" in port.request("GET", LIST, timeout=5)
            port.close()


def test_client_certificates_leave_no_file(tmp_path: Path, authority: trustme.CA, tls: ssl.SSLContext) -> None:
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    mine = authority.issue_cert("jo@example")
    mine.private_key_pem.write_to_path(str(tmp_path / "key"))
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "cert"))
    before = set(Path("/tmp").glob("planc-*"))
    cluster = {"certificate-authority": ca_file(authority, tmp_path)}
    with Server(OK, tls) as server:
        user = {"client-certificate": "cert", "client-key": "key"}
        port = server.port_to(tmp_path, cluster=cluster, user=user)
        assert b"PodList" in port.request("GET", LIST)
        port.close()
        without = server.port_to(tmp_path, cluster=cluster)
        with pytest.raises(PortError) as caught:
            without.request("GET", LIST)
        assert isinstance(caught.value, LoginExpired | Unreachable)
        without.close()
    assert set(Path("/tmp").glob("planc-*")) == before


def test_plain_http_where_tls_is_due_and_a_silent_handshake(tmp_path: Path) -> None:
    with Server(OK) as server:
        cluster = {"server": f"https://127.0.0.1:{server.port}", "insecure-skip-tls-verify": True}
        port = server.port_to(tmp_path, cluster=cluster)
        started = time.monotonic()
        with pytest.raises(PortError):
            port.request("GET", LIST, timeout=0.6)
        assert time.monotonic() - started < 1.2
        port.close()


def test_a_proxy_is_used_and_its_refusal_is_named(tmp_path: Path) -> None:
    def tunnel(sock: socket.socket, asked: Asked) -> None:
        assert asked.method == "CONNECT"
        assert asked.headers["proxy-authorization"] == ["Basic am86cHc="]
        sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with Server(tunnel) as proxy:
        cluster = {"server": "https://api.example", "proxy-url": f"http://jo:pw@127.0.0.1:{proxy.port}"}
        port = proxy.port_to(tmp_path, cluster=cluster)
        with pytest.raises(Unreachable, match=r"the proxy refused the way to api\.example:443") as caught:
            port.request("GET", LIST, timeout=5)
        assert "pw" not in caught.value.message
        port.close()
    assert proxy.sends() == ["CONNECT api.example:443"]


def test_eight_threads_share_a_port(tmp_path: Path) -> None:
    with Server(OK) as server:
        port = server.port_to(tmp_path)
        results: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: results.extend(port.request("GET", LIST) for _ in range(5)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        port.close()
    assert len(results) == len(server.asked) == 40


def watch_of(lines: list[bytes], then: Any = None) -> Answer:
    def answer(sock: socket.socket, _: Asked) -> None:
        sock.sendall(head(200, "application/json", None))
        for line in lines:
            sock.sendall(chunk(line))
        if then is not None:
            then(sock)
        else:
            sock.sendall(b"0\r\n\r\n")

    return answer


def test_a_stream_gives_pieces_as_they_come_and_ends(tmp_path: Path) -> None:
    stats = RequestStats()
    with Server(watch_of([b'{"a":1}\n', b'{"a":2}\n'])) as server:
        port = server.port_to(tmp_path, stats=stats)
        assert list(port.stream(LIST, query={"watch": "true"}, source="pods")) == [b'{"a":1}\n', b'{"a":2}\n']
        assert server.asked[0].headers["accept-encoding"] == ["identity"]
        port.close()
    (load,) = stats.loads(time.monotonic())
    assert (load.total, load.streams, load.bytes_in) == (0, 1, 16)


@pytest.mark.parametrize(
    ("then", "idle", "message"),
    [
        (wait_for_end, 0.3, "was silent for 0.3 s"),
        (reset, 5.0, "was reset"),
        (lambda sock: sock.sendall(b"ff\r\nhalf") or sock.shutdown(socket.SHUT_RDWR), 5.0, "connection to .* ended"),
    ],
)
def test_a_stream_that_breaks(tmp_path: Path, then: Any, idle: float, message: str) -> None:
    with Server(watch_of([b"x"], then)) as server:
        port = server.port_to(tmp_path)
        stream = port.stream(LIST, query={"watch": "true"}, idle_timeout=idle)
        with pytest.raises(Unreachable, match=message):
            list(stream)
        port.close()


def test_a_log_that_has_nothing_to_say_is_silent_not_broken(tmp_path: Path) -> None:
    """A server may keep back even the head of its answer until there is a line."""
    with Server(lambda sock, _: wait_for_end(sock)) as server:
        port = server.port_to(tmp_path)
        with pytest.raises(Silent, match=r"silent for 0\.3 s"):
            list(port.stream(f"{LIST}/a/log", query={"follow": "true"}, idle_timeout=0.3))
        port.close()


def test_a_refused_stream_says_why(tmp_path: Path) -> None:
    missing = {"kind": "Status", "message": 'pods "a" not found'}
    with Server(reply(404, missing)) as server:
        port = server.port_to(tmp_path)
        with pytest.raises(NotFound):
            port.stream(LIST)
        with pytest.raises(NotFound):
            next(iter(port.stream(f"{LIST}/a/log", query={"follow": "true"})))
        port.close()
    with Server(reply(200, b"<html>", kind="text/html")) as server:
        port = server.port_to(tmp_path)
        with pytest.raises(BadAnswer, match="web page"):
            port.stream(LIST)
        port.close()


def blocked(stream: Iterator[bytes], seen: list[bytes]) -> threading.Thread:
    thread = threading.Thread(target=lambda: seen.extend(stream), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("how", ["stream", "port"])
@pytest.mark.parametrize("path", [LIST, f"{LIST}/a/log"])
def test_close_wakes_the_reader_at_once(
    tmp_path: Path, authority: trustme.CA, tls: ssl.SSLContext, secure: bool, how: str, path: str
) -> None:
    cluster = {"certificate-authority": ca_file(authority, tmp_path)} if secure else {}
    with Server(watch_of([b"first"], wait_for_end), tls if secure else None) as server:
        port = server.port_to(tmp_path, cluster=cluster)
        stream = port.stream(path, query={"follow": "true"})
        seen: list[bytes] = []
        thread = blocked(iter(stream), seen)
        until = time.monotonic() + 5
        while not seen and time.monotonic() < until:
            time.sleep(0.01)
        started = time.monotonic()
        (stream if how == "stream" else port).close()
        thread.join(5)
        assert time.monotonic() - started < 0.3
        assert seen == [b"first"]
        assert list(stream) == []
        stream.close()
        port.close()


def test_a_log_without_a_first_byte_can_be_closed(tmp_path: Path) -> None:
    """A server may hold back even the head of its answer until the container says something."""
    with Server(lambda sock, _: wait_for_end(sock)) as server:
        port = server.port_to(tmp_path)
        stream = port.stream(f"{LIST}/a/log", query={"follow": "true"})
        thread = blocked(iter(stream), [])
        while not server.asked:
            time.sleep(0.01)
        started = time.monotonic()
        stream.close()
        thread.join(5)
        assert not thread.is_alive()
        assert time.monotonic() - started < 0.3
        port.close()


def test_closing_the_port_ends_a_request(tmp_path: Path) -> None:
    with Server(lambda sock, _: wait_for_end(sock)) as server:
        port = server.port_to(tmp_path)
        errors: list[PortError] = []

        def ask() -> None:
            try:
                port.request("GET", LIST, timeout=30)
            except PortError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.asked:
            time.sleep(0.01)
        port.close()
        thread.join(1)
        assert [error.message.split(" ", 3)[-1] for error in errors] == [f"127.0.0.1:{server.port} was closed"]
        with pytest.raises(Unreachable, match="was closed"):
            port.request("GET", LIST)


# Exec and forwards ------------------------------------------------------------------------------------------------


def accept_key(asked: Asked) -> str:
    import base64
    import hashlib

    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1((asked.headers["sec-websocket-key"][0] + guid).encode()).digest()).decode()


def upgrade(sock: socket.socket, asked: Asked) -> None:
    protocol = asked.headers["sec-websocket-protocol"][0].split(",")[0]
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept_key(asked)}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
    )


def frame(channel: int, data: bytes) -> bytes:
    payload = bytes([channel]) + data
    size = len(payload)
    return (b"\x82" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big"))) + payload


def client_frames(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """(opcode, payload) of what the client sends."""
    from planc_tui.backends.kubernetes.frames import FrameReader

    reader = FrameReader()
    while data := sock.recv(65_536):
        yield from reader.feed(data)


def exit_status(code: int) -> bytes:
    if code == 0:
        return json.dumps({"status": "Success"}).encode()
    causes = [{"reason": "ExitCode", "message": str(code)}]
    document = {"status": "Failure", "reason": "NonZeroExitCode", "message": "x", "details": {"causes": causes}}
    return json.dumps(document).encode()


def run(port: ApiPort, **more: Any) -> tuple[Any, bytes]:
    out: list[bytes] = []
    options: dict[str, Any] = {"timeout": 5.0, **more}
    result = port.execute("shop", "a", "c", ("sh", "-c", "x y"), stdout=out.append, **options)
    return result, b"".join(out)


@pytest.mark.parametrize("code", [0, 1, 137])
def test_exec_gives_bytes_and_code(tmp_path: Path, code: int) -> None:
    noise = bytes(range(256)) * 100

    def answer(sock: socket.socket, asked: Asked) -> None:
        upgrade(sock, asked)
        sock.sendall(b"\x89\x01p" + frame(1, noise) + frame(2, b"warn\x1b[31m") + frame(1, b"\x00"))
        sock.sendall(frame(3, exit_status(code)) + b"\x88\x02\x03\xe8")
        wait_for_end(sock)

    with Server(answer) as server:
        port = server.port_to(tmp_path)
        result, out = run(port)
        port.close()
    assert (result.code, result.stderr, result.ended) == (code, "warn", "exited")
    assert out == noise + b"\x00"
    (asked,) = server.asked
    assert asked.path.endswith(
        "/pods/a/exec?stdout=true&stderr=true&tty=false&stdin=false&container=c&command=sh&command=-c&command=x+y"
    )
    assert asked.headers["sec-websocket-protocol"] == ["v5.channel.k8s.io,v4.channel.k8s.io"]
    assert asked.headers["authorization"] == ["Bearer tok"]


def test_exec_stdin_is_sent_and_closed_while_output_flows(tmp_path: Path) -> None:
    """The fake echoes and stops reading while its own output is not taken: a blocking writer would deadlock."""
    data = bytes(range(256)) * 40_000

    def answer(sock: socket.socket, asked: Asked) -> None:
        upgrade(sock, asked)
        for _, payload in client_frames(sock):
            if payload[:1] == b"\xff":
                assert payload == b"\xff\x00"
                break
            for start in range(1, len(payload), 8192):
                sock.sendall(frame(1, payload[start : start + 8192]))
        sock.sendall(frame(3, exit_status(0)))
        wait_for_end(sock)

    with Server(answer) as server:
        port = server.port_to(tmp_path)
        result, out = run(port, stdin=data, timeout=30.0)
        port.close()
    assert result.code == 0
    assert out == data
    assert server.asked[0].headers["sec-websocket-protocol"] == ["v5.channel.k8s.io"]


@pytest.mark.parametrize(
    ("after", "ended"),
    [(reset, "reset"), (lambda sock: sock.shutdown(socket.SHUT_RDWR), "the connection broke")],
)
def test_exec_without_a_last_word_has_no_code(tmp_path: Path, after: Any, ended: str) -> None:
    def answer(sock: socket.socket, asked: Asked) -> None:
        upgrade(sock, asked)
        sock.sendall(frame(1, b"half"))
        time.sleep(0.1)
        after(sock)

    with Server(answer) as server:
        port = server.port_to(tmp_path)
        result, out = run(port)
        port.close()
    assert result.code == -1
    assert ended in result.ended
    assert result.stderr.splitlines()[-1] == result.ended
    assert out == b"half"


def test_exec_timeout_and_stop(tmp_path: Path) -> None:
    def answer(sock: socket.socket, asked: Asked) -> None:
        upgrade(sock, asked)
        wait_for_end(sock)

    with Server(answer) as server:
        port = server.port_to(tmp_path)
        started = time.monotonic()
        assert run(port, timeout=0.3)[0].ended == "timeout"
        assert run(port, stop=lambda: time.monotonic() - started > 0.6)[0].ended == "stopped"
        assert time.monotonic() - started < 1.5
        port.close()


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (reply(404, {"kind": "Status", "message": 'pods "a" not found'}), NotFound, 'pods "a" not found'),
        (reply(401, {"kind": "Status", "message": "no"}), LoginExpired, "does not accept the login"),
        (reply(400, {"kind": "Status", "message": "container c is not valid"}), Rejected, "container c is not valid"),
        (reply(200, b"hello"), PortError, ""),
        (raw(b""), PortError, ""),
        (raw(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), BadAnswer, "WebSocket"),
    ],
)
def test_exec_that_cannot_be_opened(tmp_path: Path, answer: Answer, kind: type[PortError], message: str) -> None:
    with Server(answer) as server:
        port = server.port_to(tmp_path)
        with pytest.raises(kind) as caught:
            run(port)
        port.close()
    assert message in caught.value.message
    assert len(server.asked) == 1


def test_exec_of_what_cannot_run_gives_the_clusters_words(tmp_path: Path) -> None:
    def answer(sock: socket.socket, asked: Asked) -> None:
        upgrade(sock, asked)
        sock.sendall(frame(3, json.dumps({"status": "Failure", "message": "no such executable"}).encode()))
        wait_for_end(sock)

    with Server(answer) as server:
        port = server.port_to(tmp_path)
        with pytest.raises(Rejected, match="no such executable"):
            run(port)
        port.close()


def test_a_silent_upgrade_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from planc_tui.backends.kubernetes import websocket

    monkeypatch.setattr(websocket.open_link, "__defaults__", (0.4,))
    with Server(lambda sock, _: wait_for_end(sock)) as server:
        port = server.port_to(tmp_path)
        port._client.prepare()
        started = time.monotonic()
        with pytest.raises(NoAnswer, match="no answer"):
            run(port)
        assert time.monotonic() - started < 1.0
        port.close()


def relay(sock: socket.socket, asked: Asked) -> None:
    """A kubelet whose pod echoes."""
    number = int(asked.path.rpartition("ports=")[2]).to_bytes(2, "little")
    upgrade(sock, asked)
    sock.sendall(frame(0, number) + frame(1, number))
    for opcode, payload in client_frames(sock):
        if opcode == 2:
            for start in range(1, len(payload), 8192):
                sock.sendall(frame(0, payload[start : start + 8192]))


def test_forward_carries_bytes_on_connections_of_their_own(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    with Server(relay) as server:
        port = server.port_to(tmp_path)
        forward = port.forward("shop", "a", 5432)
        assert server.asked == [], "nothing is sent before somebody connects"
        clients = [socket.create_connection(("127.0.0.1", forward.port), 5) for _ in range(3)]
        for client in clients:
            threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        for client in clients:
            got = b""
            while len(got) < len(data):
                got += client.recv(65_536)
            assert got == data
        started = time.monotonic()
        forward.close()
        for client in clients:
            client.settimeout(1)
            assert client.recv(10) == b""
            client.close()
        assert time.monotonic() - started < 0.5
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", forward.port), 1)
        assert forward.last_error == ""
        port.close()
    assert server.sends() == ["GET /api/v1/namespaces/shop/pods/a/portforward?ports=5432"] * 3


def refuse_in_channel(sock: socket.socket, asked: Asked) -> None:
    upgrade(sock, asked)
    sock.sendall(frame(0, b"\x38\x15") + frame(1, b"\x38\x15") + frame(1, b"connection refused in the pod"))
    wait_for_end(sock)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(404, {"kind": "Status", "message": 'pods "a" not found'}), 'pods "a" not found'),
        (refuse_in_channel, "connection refused in the pod"),
        (raw(b""), "127.0.0.1"),
    ],
)
def test_a_forward_that_fails_closes_the_client_and_says_why(tmp_path: Path, answer: Answer, message: str) -> None:
    with Server(answer) as server:
        port = server.port_to(tmp_path)
        forward = port.forward("shop", "a", 5432)
        with socket.create_connection(("127.0.0.1", forward.port), 5) as client:
            assert client.recv(10) == b""
        assert message in forward.last_error
        port.close()


def test_exec_and_forward_go_through_tls_and_proxy(tmp_path: Path, authority: trustme.CA, tls: ssl.SSLContext) -> None:
    """A CONNECT proxy in front of a TLS server: the websocket takes the same way as everything else."""

    def answer(sock: socket.socket, asked: Asked) -> None:
        upgrade(sock, asked)
        sock.sendall(frame(1, b"hello") + frame(3, exit_status(0)))
        wait_for_end(sock)

    with Server(answer, tls) as server:
        with Server(tunnel_to("127.0.0.1", server.port)) as proxy:
            cluster = {
                "server": "https://api.example:6443",
                "certificate-authority": ca_file(authority, tmp_path),
                "proxy-url": f"http://127.0.0.1:{proxy.port}",
            }
            port = server.port_to(tmp_path, cluster=cluster)
            result, out = run(port)
            port.close()
        assert proxy.sends() == ["CONNECT api.example:6443"]
    assert (result.code, out) == (0, b"hello")


@pytest.mark.parametrize(
    ("scheme", "host"),
    [("socks5h", "localhost"), ("socks5", socket.inet_aton("127.0.0.1"))],
    ids=["the proxy resolves", "planc resolves"],
)
def test_everything_goes_through_a_socks_proxy(
    tmp_path: Path, authority: trustme.CA, tls: ssl.SSLContext, scheme: str, host: str | bytes
) -> None:
    """`ssh -D` in front of a TLS server: requests and websockets take the same way."""

    def answer(sock: socket.socket, asked: Asked) -> None:
        if asked.path == LIST:
            OK(sock, asked)
            return
        upgrade(sock, asked)
        sock.sendall(frame(1, b"hello") + frame(3, exit_status(0)))
        wait_for_end(sock)

    with Server(answer, tls) as server, Socks("127.0.0.1", server.port) as proxy:
        cluster = {
            "server": "https://localhost:6443",
            "certificate-authority": ca_file(authority, tmp_path),
            "tls-server-name": "api.example",
            "proxy-url": f"{scheme}://127.0.0.1:{proxy.port}",
        }
        port = server.port_to(tmp_path, cluster=cluster)
        port.request("GET", LIST)
        result, out = run(port)
        port.close()
    assert (result.code, out) == (0, b"hello")
    assert proxy.wanted == [(host, 6443)] * 2


def test_a_socks_proxy_that_is_away_is_said(tmp_path: Path) -> None:
    with Server(OK) as server:
        cluster = {"server": "https://api.example", "proxy-url": "socks5h://127.0.0.1:1"}
        port = server.port_to(tmp_path, cluster=cluster)
        with pytest.raises(Unreachable, match="refused"):
            port.request("GET", LIST, timeout=5)
        port.close()


def test_read_request_ends_with_its_connection() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        assert read_request(theirs) is None


def test_the_slow_start_of_a_plugin_does_not_outlast_the_request(tmp_path: Path) -> None:
    plugin = tmp_path / "slow"
    plugin.write_text("#!/bin/sh\nsleep 5\n")
    plugin.chmod(0o755)
    user = {"exec": {"command": str(plugin), "apiVersion": "client.authentication.k8s.io/v1"}}
    with Server(OK) as server:
        port = server.port_to(tmp_path, user=user)
        started = time.monotonic()
        for _ in itertools.repeat(None, 2):
            with pytest.raises(LoginExpired, match="has not finished"):
                port.request("GET", LIST, timeout=0.3)
        assert time.monotonic() - started < 1.5
        port.close()
    assert server.asked == []

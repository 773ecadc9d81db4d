"""Logins are renewed in time, once, and by plugins that never get the terminal."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planc_tui.backends.kubernetes.auth import Credential, EntryIssuer, TokenSource
from planc_tui.backends.kubernetes.model import ClusterEntry, ExecSpec, Pem, UserEntry
from planc_tui.backends.kubernetes.plugin import Issued, login_command, run_plugin
from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import LoginExpired
from tests.real import eventually

V1 = "client.authentication.k8s.io/v1"
CLUSTER = ClusterEntry("c", "https://api.example:6443", ca=Pem(data=b"CA"), exec_config={"audience": "x"})


class Counting:
    """Issues token-1, token-2, ... each for `life` seconds."""

    def __init__(self, clock: FakeClock, life: float | None) -> None:
        self.clock = clock
        self.life = life
        self.calls = 0
        self.gate: threading.Event | None = None
        self.error: LoginExpired | None = None

    def issue(self, again: bool) -> tuple[Credential, float | None]:
        del again
        self.calls += 1
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return Credential(f"Bearer token-{self.calls}"), None if self.life is None else self.clock.now() + self.life


def source(life: float | None) -> tuple[TokenSource, Counting, FakeClock]:
    clock = FakeClock(monotonic=1000.0)
    issuer = Counting(clock, life)
    return TokenSource(issuer, clock, "log in"), issuer, clock


@pytest.mark.parametrize(("life", "renewed_at"), [(3600.0, 3300.0), (240.0, 192.0)])
def test_renewed_before_the_end(life: float, renewed_at: float) -> None:
    tokens, issuer, clock = source(life)
    assert tokens.get(5).header == "Bearer token-1"
    clock.advance(renewed_at - 1)
    assert tokens.get(5).header == "Bearer token-1"
    clock.advance(1)
    assert tokens.get(5).header == "Bearer token-2"
    assert issuer.calls == 2


def test_a_token_without_an_end_is_kept_until_it_is_refused() -> None:
    tokens, issuer, clock = source(None)
    first = tokens.get(5)
    clock.advance(1e6)
    assert tokens.get(5) == first
    second = tokens.refresh(first, 5)
    assert second is not None
    assert second.header == "Bearer token-2"
    assert tokens.refresh(first, 5) == second, "somebody else renewed it already"
    assert tokens.refresh(second, 5) is None, "fresh and refused: renewing again brings nothing"
    assert issuer.calls == 2


def test_many_requests_at_the_end_start_one_renewal() -> None:
    tokens, issuer, _ = source(None)
    issuer.gate = threading.Event()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(tokens.get(10).header)) for _ in range(8)]
    for thread in threads:
        thread.start()
    issuer.gate.set()
    for thread in threads:
        thread.join(10)
    assert got == ["Bearer token-1"] * 8
    assert issuer.calls == 1


def test_a_request_that_comes_late_takes_what_another_has_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, issuer, _ = source(None)
    renew = tokens._renew

    def late(*args: Any, **named: Any) -> Credential:
        monkeypatch.setattr(tokens, "_renew", renew)
        tokens.get(5)
        return renew(*args, **named)

    monkeypatch.setattr(tokens, "_renew", late)
    assert tokens.get(5).header == "Bearer token-1"
    assert issuer.calls == 1


def test_a_slow_login_holds_a_request_no_longer_than_told() -> None:
    tokens, issuer, _ = source(None)
    issuer.gate = threading.Event()
    with pytest.raises(LoginExpired, match=r"not finished within 0\.05 s") as caught:
        tokens.get(0.05)
    assert caught.value.hint == "log in"
    issuer.gate.set()
    assert tokens.get(10).header == "Bearer token-1", "the login went on meanwhile"


def test_a_failed_login_is_not_repeated_at_once_and_mends() -> None:
    tokens, issuer, clock = source(None)
    issuer.error = LoginExpired("no")
    for _ in range(5):
        with pytest.raises(LoginExpired):
            tokens.get(5)
    assert issuer.calls == 1
    issuer.error = None
    clock.advance(5)
    assert tokens.get(5).header == "Bearer token-2"


def test_a_renewal_that_fails_early_does_not_take_a_good_login_away() -> None:
    tokens, issuer, clock = source(3600)
    tokens.get(5)
    issuer.error = LoginExpired("no")
    clock.advance(3400)
    assert tokens.get(5).header == "Bearer token-1"
    clock.advance(200)
    with pytest.raises(LoginExpired):
        tokens.get(5)


def test_token_file_is_read_again(tmp_path: Path) -> None:
    clock = FakeClock(monotonic=1000.0)
    path = tmp_path / "token"
    path.write_text("one\n")
    tokens = TokenSource(EntryIssuer(UserEntry(token_file=str(path)), clock), clock, "")
    assert tokens.get(5).header == "Bearer one"
    path.write_text("two\n")
    clock.advance(60)
    assert tokens.get(5).header == "Bearer two"
    path.unlink()
    clock.advance(60)
    with pytest.raises(LoginExpired, match="no token in"):
        tokens.get(5)


def test_a_refused_token_is_looked_up_again_in_the_kubeconfig() -> None:
    clock = FakeClock(monotonic=1000.0)
    users = iter([UserEntry(token="new"), None])
    tokens = TokenSource(EntryIssuer(UserEntry(token="old"), clock, lambda: next(users)), clock, "")
    old = tokens.get(5)
    clock.advance(10)
    fresh = tokens.refresh(old, 5)
    assert fresh is not None
    assert fresh.header == "Bearer new"
    clock.advance(10)
    assert tokens.refresh(fresh, 5) is None


def test_basic_auth() -> None:
    clock = FakeClock()
    header = EntryIssuer(UserEntry(username="jo", password="pä"), clock).issue(False)[0].header
    assert header == "Basic am86cMOk"


Plugin = Callable[..., ExecSpec]


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """Makes a credential plugin of a shell script."""

    def make(script: str, **fields: object) -> ExecSpec:
        path = tmp_path / "cloud-login"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return ExecSpec("./cloud-login", directory=str(tmp_path), **fields)  # type: ignore[arg-type]  # test data

    return make


def run(spec: ExecSpec, timeout: float = 10.0) -> Issued:
    return run_plugin(spec, CLUSTER, {"PATH": os.environ["PATH"]}, hint="log in", timeout=timeout)


def answer(**status: object) -> str:
    return "echo '" + json.dumps({"kind": "ExecCredential", "apiVersion": V1, "status": status}) + "'"


def test_plugin_gives_token_end_and_certificate(plugin: Plugin) -> None:
    script = answer(token="t", expirationTimestamp="2026-11-24T00:00:00Z", clientCertificateData="C", clientKeyData="K")
    assert run(plugin(script)) == Issued("t", 1795478400.0, b"C", b"K")


def test_plugin_sees_no_terminal_and_is_told_about_the_cluster(plugin: Plugin) -> None:
    script = (
        "if (: < /dev/tty) 2>/dev/null || test -t 0 || test -t 1 || test -t 2; then exit 9; fi\n"
        'test "$(cat)" = "" || exit 8\n'
        'printf \'{"kind":"ExecCredential","apiVersion":"%s","status":{"token":"%s"}}\' '
        f'{V1} "$(echo "$KUBERNETES_EXEC_INFO" "$EXTRA" | base64 -w0)"'
    )
    spec = plugin(script, env=(("EXTRA", "more"),), provide_cluster_info=True)
    import base64

    told, _, extra = base64.b64decode(run(spec).token).decode().strip().rpartition(" ")
    info = json.loads(told)
    assert extra == "more"
    assert info["spec"]["interactive"] is False
    assert info["spec"]["cluster"] == {
        "server": "https://api.example:6443",
        "certificate-authority-data": "Q0E=",
        "config": {"audience": "x"},
    }


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'sso expired\x1b[31m' >&2; exit 1", "cloud-login failed (sso expired)"),
        ("echo 'denied token=abcdef12345' >&2; exit 1", "cloud-login failed (denied token=…)"),
        ("exit 3", "cloud-login failed (exit code 3)"),
        ("echo not json", "cloud-login printed no ExecCredential"),
        ("echo '[]'", "cloud-login printed no ExecCredential"),
        (answer(), "neither a token nor a certificate"),
        (answer(clientCertificateData="x"), "neither a token nor a certificate"),
        (answer(token=7), "of another version or kind"),
        (answer(token="t", expirationTimestamp="soon"), "printed no ExecCredential"),
        (answer(token="t").replace("/v1", "/v1beta1"), "of another version or kind"),
    ],
)
def test_plugin_failures_are_one_line(plugin: Plugin, script: str, message: str) -> None:
    with pytest.raises(LoginExpired) as caught:
        run(plugin(script))
    assert message in caught.value.message
    assert caught.value.hint == "log in"


def test_a_plugin_that_hangs_is_ended_with_its_children(plugin: Plugin, tmp_path: Path) -> None:
    spec = plugin(f"sleep 60 & echo $! > {tmp_path}/child\nwait")
    with pytest.raises(LoginExpired, match=r"did not finish within 0\.5 s"):
        run(spec, timeout=0.5)
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    # A signal that ends a process takes effect when the process runs next.
    eventually(lambda: not state.exists() or state.read_text().split()[2] == "Z", 5.0)


def test_interactive_and_missing_plugins_say_what_to_do(plugin: Plugin) -> None:
    with pytest.raises(LoginExpired, match="terminal of its own"):
        run(plugin("exit 0", interactive_mode="Always"))
    with pytest.raises(LoginExpired, match="not found") as caught:
        run(ExecSpec("planc-no-such-plugin", install_hint="apt install it"))
    assert caught.value.hint == "apt install it"


@pytest.mark.parametrize(
    ("spec", "command"),
    [
        (None, "kubectl --context 'my ctx' get --raw /version"),
        (ExecSpec("aws", ("eks", "get-token", "--cluster", "a b")), "aws eks get-token --cluster 'a b'"),
        (ExecSpec("kl", ("--client-secret=x",)), "kubectl --context 'my ctx' get --raw /version"),
        (ExecSpec("aws", ("eks",), (("AWS_PROFILE", "p"),)), "kubectl --context 'my ctx' get --raw /version"),
    ],
)
def test_the_command_that_logs_in(spec: ExecSpec | None, command: str) -> None:
    assert login_command(spec, "my ctx") == command

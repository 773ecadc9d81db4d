"""The kubeconfig is read as kubectl reads it, and what is wrong with it is one line."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from planc_tui.backends.kubernetes import Impersonation, KubeConfigError, load
from planc_tui.backends.kubernetes.client import acting_headers, proxy_of
from planc_tui.backends.kubernetes.model import Target
from planc_tui.core.clock import FakeClock
from planc_tui.core.stats import RequestStats


def config(
    *names: str, current: str = "", server: str = "https://{}.example:6443", user: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A kubeconfig whose contexts, clusters and users have the same names."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in names],
        "clusters": [{"name": n, "cluster": {"server": server.format(n)}} for n in names],
        "users": [{"name": n, "user": user or {}} for n in names],
    }


def write(path: Path, document: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return str(path)


def test_several_files_merge_first_wins(tmp_path: Path) -> None:
    one = write(tmp_path / "one", config("a", "b", current="b"))
    second = config("b", "c", current="c", server="https://other-{}.example")
    two = write(tmp_path / "two", second)
    kube = load({"KUBECONFIG": f":{one}:{tmp_path / 'missing'}:{two}:"}, tmp_path)
    assert kube.contexts() == ("b", "a", "c")
    assert kube.info().server == "https://b.example:6443"
    assert kube.info("c").address == "other-c.example:443"
    swapped = load({"KUBECONFIG": f"{two}:{one}"}, tmp_path)
    assert swapped.current == "c"
    assert swapped.info("b").server == "https://other-b.example"


def test_current_context_of_a_later_file_counts_when_the_first_has_none(tmp_path: Path) -> None:
    one = write(tmp_path / "one", config("a"))
    two = write(tmp_path / "two", config("c", current="c"))
    assert load({"KUBECONFIG": f"{one}:{two}"}, tmp_path).info().context == "c"


def test_paths_start_at_the_file_that_names_them(tmp_path: Path) -> None:
    document = config("a", current="a", user={"tokenFile": "secrets/token"})
    document["clusters"][0]["cluster"]["certificate-authority"] = "../ca.pem"
    path = write(tmp_path / "deep" / "config", document)
    target = load({"KUBECONFIG": path}, tmp_path).target()
    assert target.cluster.ca.file == str(tmp_path / "ca.pem")
    assert target.user.token_file == str(tmp_path / "deep" / "secrets" / "token")


def test_namespace_comes_from_the_caller_then_the_context_then_default(tmp_path: Path) -> None:
    document = config("a", "b", current="a")
    document["contexts"][0]["context"]["namespace"] = "shop"
    write(tmp_path / ".kube" / "config", document)
    kube = load({}, tmp_path)
    assert [kube.info(None, "x").namespace, kube.info().namespace, kube.info("b").namespace] == ["x", "shop", "default"]


def broken_user(**user: Any) -> dict[str, Any]:
    return config("a", current="a", user=user)


@pytest.mark.parametrize(
    ("document", "message", "hint"),
    [
        (config("prod-eu", "prod-us", current="prod"), 'no context "prod" in', "prod-eu"),
        (config("a", "b"), "no current context in", "planc --context NAME (a, b)"),
        ({"contexts": None, "clusters": None}, "no contexts in", "set KUBECONFIG"),
        ("", "no contexts in", "set KUBECONFIG"),
        ("a: b: c", "line 1: mapping values are not allowed", "mend the YAML"),
        ("contexts: [\x00]", "", ""),
        ("[1]", "is not a kubeconfig", ""),
        ({"contexts": {"a": 1}}, "contexts must be a list", ""),
        ({"contexts": [{"name": 7}]}, "contexts[0] has no name", "quotes"),
        ({**config("a", current="a"), "clusters": []}, 'names cluster "a"', "kubectl config view"),
        ({**config("a", current="a"), "users": []}, 'names user "a"', "kubectl config view"),
        (config("a", current="a", server="{}:6443"), "server must be a URL", "set-cluster a"),
        (config("a", current="a", server="https://{}:99999"), "server must be a URL", ""),
        (broken_user(token=12), "token must be text", "quotes"),
        (broken_user(**{"client-certificate-data": "eA=="}), "needs a client key", ""),
        (broken_user(exec={"command": "x"}), "apiVersion is missing", "upgrade"),
        (broken_user(**{"auth-provider": {"name": "gcp"}}), "auth-provider gcp is not supported", "exec"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, document: Any, message: str, hint: str) -> None:
    path = write(tmp_path / "config", document)
    with pytest.raises(KubeConfigError) as caught:
        load({"KUBECONFIG": path}, tmp_path).info()
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


def test_what_is_no_file_holds_nobody_up(tmp_path: Path) -> None:
    pipe, huge = tmp_path / "pipe", tmp_path / "huge"
    os.mkfifo(pipe)
    with huge.open("wb") as file:
        file.truncate((16 << 20) + 1)
    for path, message in ((pipe, "is not a file"), (huge, "is larger than 16 MiB")):
        with pytest.raises(KubeConfigError, match=f"{path} {message}"):
            load({"KUBECONFIG": str(path)}, tmp_path)


def test_no_file_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KubeConfigError, match="does not exist") as caught:
        load({}, tmp_path)
    assert "KUBECONFIG" in caught.value.hint
    with pytest.raises(KubeConfigError, match="does not exist"):
        load({}, tmp_path, kubeconfig=str(tmp_path / "named"))


def test_in_a_pod_the_service_account_is_used(tmp_path: Path) -> None:
    for name, text in (("token", "t0k3n\n"), ("ca.crt", "-"), ("namespace", "jobs\n")):
        write(tmp_path / "sa" / name, text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    kube = load(environ, tmp_path, service_account=str(tmp_path / "sa"))
    info = kube.info()
    assert (info.server, info.namespace, info.address) == ("https://[fd00::1]:443", "jobs", "[fd00::1]:443")
    assert kube.target().user.token_file == str(tmp_path / "sa" / "token")


def test_impersonation_of_the_command_line_beats_the_file(tmp_path: Path) -> None:
    groups = ["g1", "g2"]
    path = write(tmp_path / "c", config("a", current="a", user={"as": "bot", "as-groups": groups}))
    assert load({"KUBECONFIG": path}, tmp_path).target().impersonation == Impersonation("bot", ("g1", "g2"))
    jane = Impersonation("jane", ("ops", "dev"), "7", (("scope", "x"),))
    target = load({"KUBECONFIG": path}, tmp_path, impersonate=jane).target()
    assert acting_headers(target.impersonation) == [
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-scope", "x"),
    ]


def target_of(tmp_path: Path, server: str, environ: dict[str, str], proxy: str = "") -> Target:
    document = config("a", current="a", server=server)
    if proxy:
        document["clusters"][0]["cluster"]["proxy-url"] = proxy
    path = write(tmp_path / "c", document)
    return load({**environ, "KUBECONFIG": path}, tmp_path).target()


@pytest.mark.parametrize(
    ("server", "environ", "proxy", "expected"),
    [
        ("https://api.example", {"HTTPS_PROXY": "http://p:1"}, "", ("http://p:1", "")),
        ("https://api.example", {"https_proxy": "p:1", "NO_PROXY": ".x"}, "", ("http://p:1", ".x")),
        ("https://api.example", {"HTTP_PROXY": "http://p:1"}, "", ("", "")),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:1"}, "", ("", "")),
        ("https://api.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "socks5://q:2", ("socks5://q:2", "")),
    ],
)
def test_proxy_selection(
    tmp_path: Path, server: str, environ: dict[str, str], proxy: str, expected: tuple[str, str]
) -> None:
    assert proxy_of(target_of(tmp_path, server, environ, proxy)) == expected


def test_no_secret_in_any_repr(tmp_path: Path) -> None:
    secret = "s3cr3t-value"
    data = base64.b64encode(secret.encode()).decode()
    user = {
        "token": secret,
        "password": secret,
        "client-key-data": data,
        "client-certificate-data": data,
        "exec": {"command": "c", "args": [secret], "apiVersion": "client.authentication.k8s.io/v1"},
    }
    path = write(tmp_path / "c", config("a", current="a", user=user))
    kube = load({"KUBECONFIG": path, "TOKEN": secret}, tmp_path)
    assert secret not in repr(kube.target())
    assert secret not in repr(kube.open(None, None, RequestStats(), FakeClock()))


def test_reading_a_kubeconfig_imports_no_network_library() -> None:
    code = (
        "import sys; import planc_tui.backends.kubernetes;"
        "print([m for m in ('kubernetes', 'urllib3', 'websocket', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

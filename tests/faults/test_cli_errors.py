"""What the user got wrong ends in one clear line and a non-zero exit, and leaves the terminal as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.cluster.console_kit import LARGE, ROOT, Console

KUBECONFIG = yaml.safe_dump(
    {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "production-eu",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "sEcReT"}}],
        "contexts": [{"name": "production-eu", "context": {"cluster": "c", "user": "u"}}],
    }
)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """said: words of the line. files: by name, in the folder where planc runs. lines: how many it may take."""

    said: tuple[str, ...]
    arguments: tuple[str, ...] = ("--kubeconfig", "{folder}/kubeconfig")
    files: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = LARGE
    environ: dict[str, str] = field(default_factory=dict)
    lines: int = 1


# What shows at a look: planc says it without a frame of the console before it.
AT_A_LOOK = {
    "unknown context", "no kubeconfig there", "kubeconfig is a folder", "no kubeconfig at all", "groups without a user",
    "no playbook there", "home of nobody",
}  # fmt: skip  # rows as a person reads them
PLAYBOOK = ("--kubeconfig", "{folder}/kubeconfig", "--playbook", "{folder}/playbook.yaml")
MISTAKES = {
    "unknown context": Mistake(
        ("production-uu", "production-eu"), ("--kubeconfig", "{folder}/kubeconfig", "--context", "production-uu")
    ),
    "no kubeconfig there": Mistake(("nothing-here",), ("--kubeconfig", "{folder}/nothing-here")),
    "kubeconfig is a folder": Mistake(("{folder}",), ("--kubeconfig", "{folder}")),
    "kubeconfig is not YAML": Mistake(("kubeconfig",), files={"kubeconfig": "clusters: [\n\x00{"}),
    "kubeconfig is a list": Mistake(("kubeconfig",), files={"kubeconfig": "- a\n- b\n"}),
    "no such cluster": Mistake(("gone",), files={"kubeconfig": KUBECONFIG.replace("cluster: c", "cluster: gone")}),
    "groups without a user": Mistake(("--as",), ("--kubeconfig", "{folder}/kubeconfig", "--as-group", "x")),
    "no kubeconfig at all": Mistake(("KUBECONFIG",), ()),
    "no playbook there": Mistake(("playbook.yaml",), PLAYBOOK),
    "home of nobody": Mistake(("~nobody-at-all/x.yaml",), (*PLAYBOOK[:2], "--playbook", "~nobody-at-all/x.yaml")),
    "extends the home of nobody": Mistake(
        ("~nobody-at-all/x.yaml",), PLAYBOOK, {"playbook.yaml": "extends: ~nobody-at-all/x.yaml\n"}
    ),
    "playbook that fails while it is read": Mistake(
        ("/proc/self/mem", "error"), (*PLAYBOOK[:2], "--playbook", "/proc/self/mem")
    ),
    "unknown key in the playbook": Mistake(
        ("thresholds", "tresholds"), PLAYBOOK, {"playbook.yaml": "extends: plan-c\ntresholds: {}\n"}, lines=2
    ),
    "playbook that makes objects": Mistake(
        ("playbook.yaml",), PLAYBOOK, {"playbook.yaml": "extends: !!python/object/apply:os.system ['id']\n"}, lines=2
    ),
    "playbook that explodes": Mistake(("playbook.yaml",), PLAYBOOK, {"playbook.yaml": BOMB}, lines=4),
    "playbook with escape sequences": Mistake(
        ("playbook.yaml",), PLAYBOOK, {"playbook.yaml": 'extends: plan-c\n"\\e]0;PWN\\a\\u202e": 1\n'}, lines=2
    ),
    "terminal too small": Mistake(("40x10", "60x20"), size=(40, 10), lines=3),
    "terminal without a cursor": Mistake(("TERM",), environ={"TERM": "dumb"}),
    "own settings broken": Mistake(("config.yaml",), files={"config/planc/config.yaml": "keys: [\n"}, lines=2),
}  # fmt: skip  # rows as a person reads them


@pytest.mark.parametrize("name", MISTAKES)
def test_one_clear_line(tmp_path: Path, name: str) -> None:
    mistake = MISTAKES[name]
    for file, text in {"kubeconfig": KUBECONFIG, **mistake.files}.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    arguments = [one.format(folder=tmp_path) for one in mistake.arguments]
    with Console(tmp_path, *arguments, size=mistake.size, **mistake.environ) as console:
        code = console.ended(20)
        assert console.modes_left_on() == []
        # The frame that is drawn while planc loads has gone with the alternate screen.
        text = console.tail()
        assert (b"\x1b[?1049h" in console.raw) == (
            name not in AT_A_LOOK | {"terminal too small", "terminal without a cursor"}
        )
    assert code not in (0, 130, 137, 143), text
    assert not re.search("[\x00-\x09\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", text), text.encode()
    assert "Traceback" not in text
    assert "sEcReT" not in text
    said = [line for line in text.replace("\r", "").split("\n") if line.strip()]
    # The terminal breaks long lines; what counts is how many lines planc wrote.
    assert 1 <= len(said) <= mistake.lines, text
    assert [word for word in mistake.said if word.format(folder=tmp_path) not in text] == [], text


@pytest.mark.parametrize("wired", ["stdin", "stdout"])
def test_no_terminal_at_all(wired: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from planc_tui.cli import main; main()"],
        stdin=subprocess.DEVNULL if wired == "stdin" else None,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.strip().count("\n") == 0
    assert "needs a terminal" in done.stderr


def test_the_terminal_says_how_large_it_is(tmp_path: Path) -> None:
    """A parent that uses readline leaves COLUMNS and LINES of another terminal behind."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    with Console(tmp_path, "--kubeconfig", str(tmp_path / "kubeconfig"), COLUMNS="80", LINES="24") as console:
        console.wait(lambda: "? help" in console.lines()[LARGE[1] - 1], 15, "the footer in the last line")


DEAD = """
import sys
from planc_tui.cli import leave
class Dead:
    def flush(self): raise OSError(5, "Input/output error")
sys.stdout = sys.stderr = Dead()
leave(129)
"""


def test_a_terminal_that_takes_no_more_text_does_not_change_the_code() -> None:
    assert subprocess.run([sys.executable, "-c", DEAD], check=False).returncode == 129


def test_a_terminal_that_goes_without_a_signal_ends_planc(tmp_path: Path) -> None:
    """As when it was told to ignore SIGHUP, or its terminal is that of a container."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    with Console(tmp_path, "--kubeconfig", str(tmp_path / "kubeconfig")) as console:
        console.wait(lambda: "? help" in console.lines()[LARGE[1] - 1], 15, "the console")
        console.press("\t")  # the answer wakes the reader, which lets go of the terminal
        console.hang_up()
        assert console.ended(5) == 129

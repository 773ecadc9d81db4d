"""Each channel against a server that checks the documented formats and can fail in every way."""

from __future__ import annotations

import hashlib
import hmac
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from planc_tui.backends.notifiers import payloads
from planc_tui.backends.notifiers.build import build_senders
from planc_tui.backends.notifiers.senders import Apprise, Folder, PagerDuty, Slack, Webhook
from planc_tui.core.clock import FakeClock
from planc_tui.core.notify import Parcel, Sender, SendFailed
from planc_tui.core.secret import Secret
from planc_tui.playbook.loader import load
from tests.contract.recorder import Recorder, recording

# apprise imports a module of the standard library that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

KEY = "e93facc04764012d7bfb002500d5d1a6"
CLOCK = FakeClock(now=1_795_478_343.716)
PARCEL = Parcel(
    id="d-1",
    kind="page",
    text="senior developer is needed <!channel> & now",
    incident="INC-20261124-001",
    title="checkout answers 502",
    severity="P0",
    state="open",
    at=1_795_478_343.716,
    rank=0,
    level="L2",
    dedup="planc/PROD/INC-20261124-001",
    sender="planc@bastion1",
    environment="PROD",
    facts=(("Status", "open, L2"), ("Commander", "alice")),
    record={"id": "INC-20261124-001", "severity": "P0"},
)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as running:
        yield running


def secret(text: str) -> Any:
    return lambda: Secret(text)


def senders(recorder: Recorder) -> dict[str, Sender]:
    return {
        "slack": Slack("Slack #incidents", secret(f"{recorder.url}/services/T0/B0/s3cr3t"), CLOCK),
        "pagerduty": PagerDuty("PagerDuty", secret(KEY), CLOCK, recorder.url),
        "webhook": Webhook("hook", secret(f"{recorder.url}/hook?token=s3cr3t"), CLOCK, secret("k3y")),
        "apprise": Apprise("ops", secret(f"json://127.0.0.1:{recorder.port}/apprise/s3cr3t")),
    }


def test_slack_gets_a_text_for_notifications_and_blocks(recorder: Recorder) -> None:
    sent = senders(recorder)["slack"].send(PARCEL)
    assert (sent.status, sent.note) == (200, "ok")
    body = recorder.calls[0].body
    assert body["text"].startswith("[P0] INC-20261124-001 checkout answers 502")
    assert [block["type"] for block in body["blocks"]] == ["header", "section", "section", "context"]
    assert body["blocks"][1]["fields"][0] == {"type": "mrkdwn", "text": "*Status*\nopen, L2"}
    assert body["blocks"][2]["text"]["text"] == "senior developer is needed &lt;!channel&gt; &amp; now"


def test_pagerduty_follows_the_incident_under_one_key(recorder: Recorder) -> None:
    pager = senders(recorder)["pagerduty"]
    for kind in ("page", "acknowledge", "resolve"):
        pager.send(Parcel(**{**asdict(PARCEL), "kind": kind}))
    bodies = [call.body for call in recorder.calls]
    assert [body["event_action"] for body in bodies] == ["trigger", "acknowledge", "resolve"]
    assert {body["dedup_key"] for body in bodies} == {"planc/PROD/INC-20261124-001"}
    assert bodies[0]["payload"]["severity"] == "critical"
    assert bodies[0]["payload"]["timestamp"] == "2026-11-23T23:59:03.716Z"
    assert bodies[0]["payload"]["custom_details"]["level"] == "L2"
    assert set(bodies[1]) == {"routing_key", "event_action", "dedup_key"}
    assert {body["routing_key"] for body in bodies} == {KEY}
    assert all(call.headers["user-agent"].startswith("python-pagerduty/") for call in recorder.calls)
    assert recorder.incidents == {"planc/PROD/INC-20261124-001": "resolve"}


def test_webhook_is_signed_over_timestamp_and_body(recorder: Recorder) -> None:
    senders(recorder)["webhook"].send(PARCEL)
    call = recorder.calls[0]
    signed = call.headers["x-planc-timestamp"].encode() + b"." + call.raw
    wanted = hmac.new(b"k3y", signed, hashlib.sha256).hexdigest()
    assert call.headers["x-planc-signature"] == f"v1={wanted}"
    assert call.headers["x-planc-delivery"] == "d-1"
    assert call.headers["x-planc-event"] == call.body["event"]["type"] == "incident.page"
    assert call.body["incident"]["severity"] == "P0"


def test_apprise_takes_the_text_through_its_own_json_scheme(recorder: Recorder) -> None:
    senders(recorder)["apprise"].send(PARCEL)
    body = recorder.calls[0].body
    assert body["title"] == "[P0] INC-20261124-001 checkout answers 502"
    assert body["message"] == PARCEL.text


@pytest.mark.parametrize("channel", ["slack", "pagerduty", "webhook", "apprise"])
@pytest.mark.parametrize("fault", [500, "drop"])
def test_what_may_pass_is_worth_another_try(recorder: Recorder, channel: str, fault: int | str) -> None:
    recorder.plan = [fault]
    sender = senders(recorder)[channel]
    with pytest.raises(SendFailed) as failure:
        sender.send(PARCEL)
    assert not failure.value.final
    assert "s3cr3t" not in str(failure.value)
    sender.send(PARCEL)
    assert len(recorder.taken()) == 1


@pytest.mark.parametrize("channel", ["slack", "pagerduty", "webhook"])
def test_slow_down_says_for_how_long(recorder: Recorder, channel: str) -> None:
    recorder.plan, recorder.wait = [429], "28"
    with pytest.raises(SendFailed) as failure:
        senders(recorder)[channel].send(PARCEL)
    assert (failure.value.status, failure.value.retry_after, failure.value.final) == (429, 28.0, False)


@pytest.mark.parametrize(
    ("channel", "status", "words", "said"),
    [
        ("slack", 400, "invalid_blocks", "invalid_blocks"),
        ("slack", 404, "no_service", "make a new one"),
        ("pagerduty", 400, '{"errors":["bad"]}', "bad"),
        ("webhook", 410, "", "410"),
        ("slack", 302, "", "302"),
    ],
)
def test_what_is_refused_stays_refused(recorder: Recorder, channel: str, status: int, words: str, said: str) -> None:
    recorder.plan, recorder.words = [status], words
    with pytest.raises(SendFailed, match=said) as failure:
        senders(recorder)[channel].send(PARCEL)
    assert failure.value.final
    assert len(recorder.calls) == 1, "never sent twice by itself"


@pytest.mark.parametrize("fault", [401, 429, 503, 301, "drop"])
def test_pagerdutys_client_does_not_try_again_by_itself(recorder: Recorder, fault: int | str) -> None:
    recorder.plan = [fault] * 2
    began = time.monotonic()
    with pytest.raises(SendFailed) as failure:
        senders(recorder)["pagerduty"].send(PARCEL)
    assert len(recorder.calls) == 1
    assert time.monotonic() - began < 2, "it slept"
    assert KEY[-4:] not in failure.value.message


def test_pagerdutys_answer_must_confirm_the_event(recorder: Recorder) -> None:
    recorder.plan, recorder.words = [202], "welcome to the captive portal"
    with pytest.raises(SendFailed, match="did not confirm") as failure:
        senders(recorder)["pagerduty"].send(PARCEL)
    assert not failure.value.final


def test_pagerdutys_client_takes_no_way_of_its_own(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    senders(recorder)["pagerduty"].send(PARCEL)
    assert len(recorder.taken()) == 1


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_server_that_does_not_finish_is_left_after_seconds(recorder: Recorder, fault: str) -> None:
    recorder.plan = [fault]
    began = time.monotonic()
    with pytest.raises(SendFailed, match=r"did not (answer|finish)") as failure:
        PagerDuty("PagerDuty", secret(KEY), CLOCK, recorder.url).send(PARCEL)
    assert time.monotonic() - began < 8
    assert not failure.value.final


def test_a_closed_port_and_a_wrong_address_are_named_without_the_address() -> None:
    with pytest.raises(SendFailed, match="refused the connection") as refused:
        Slack("Slack", secret("http://127.0.0.1:1/services/s3cr3t"), CLOCK).send(PARCEL)
    assert "s3cr3t" not in str(refused.value)
    with pytest.raises(SendFailed, match="not a web address") as wrong:
        Slack("Slack", secret("s3cr3t"), CLOCK).send(PARCEL)
    assert (wrong.value.final, wrong.value.configured) == (True, False)


def test_wrong_keys_and_addresses_are_the_machines_mistake(recorder: Recorder) -> None:
    with pytest.raises(SendFailed, match="32 characters") as key:
        PagerDuty("PagerDuty", secret("short"), CLOCK, recorder.url).send(PARCEL)
    with pytest.raises(SendFailed, match="apprise knows") as address:
        Apprise("ops", secret("nonsense://s3cr3t")).send(PARCEL)
    assert not key.value.configured
    assert not address.value.configured
    assert recorder.calls == []


def test_a_folder_takes_one_private_file_per_text(tmp_path: Path) -> None:
    folder = Folder("files", tmp_path / "out")
    folder.send(PARCEL)
    folder.send(PARCEL)
    files = list((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["INC-20261124-001-page-d-1.txt"]
    assert "senior developer is needed" in files[0].read_text()
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    (tmp_path / "file").write_text("")
    with pytest.raises(SendFailed, match="cannot write"):
        Folder("files", tmp_path / "file" / "deeper").send(PARCEL)


def test_previews_show_what_is_sent_without_secrets(recorder: Recorder) -> None:
    for sender in senders(recorder).values():
        preview = sender.preview(PARCEL)
        assert "checkout answers 502" in preview or "INC-20261124-001" in preview
        assert KEY not in preview
        assert "s3cr3t" not in preview


def test_default_playbook_builds_its_channels_and_says_what_is_not_set() -> None:
    built = build_senders(load("plan-c"), environ={"PLANC_PAGERDUTY_KEY": KEY}, clock=CLOCK)
    assert {name: sender.kind for name, sender in built.items()} == {
        "incidents": "slack",
        "ops": "slack",
        "pagerduty": "pagerduty",
        "mail": "apprise",
    }
    with pytest.raises(SendFailed, match="PLANC_SLACK_INCIDENTS is not set") as failure:
        built["incidents"].send(PARCEL)
    assert (failure.value.final, failure.value.configured) == (True, False)


@given(title=st.text(max_size=400), text=st.text(max_size=4000), value=st.text(max_size=2500))
def test_any_text_keeps_the_limits_of_slack_and_pagerduty(title: str, text: str, value: str) -> None:
    parcel = Parcel(**{**asdict(PARCEL), "title": title, "text": text, "facts": (("Status", value),) * 12})
    message = payloads.slack_message(parcel)
    assert 0 < len(message["text"]) <= 3000
    header, *rest = message["blocks"]
    assert len(header["text"]["text"]) <= 150
    for block in rest:
        texts = [block["text"]] if "text" in block else block.get("fields", block.get("elements", []))
        assert len(texts) <= 10
        assert all(0 < len(item["text"]) <= 3000 for item in texts)
        assert all("<" not in item["text"] and ">" not in item["text"] for item in texts)
        assert not any("&" in item["text"][-4:] and ";" not in item["text"][-5:] for item in texts if len(text) > 2999)
    event = payloads.pagerduty_event(parcel)
    assert 0 < len(event["payload"]["summary"]) <= 1024

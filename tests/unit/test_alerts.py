"""Silences that always name something, and a pane that shows what is quiet as quiet."""

from __future__ import annotations

import pytest

from planc_tui.backends.alertmanager import AlertmanagerPort, error_text
from planc_tui.backends.http import HttpAnswer
from planc_tui.core.alerts import Alert, AlertsReport, Matcher, matchers_for, muted, parse_matcher, problem
from planc_tui.core.derive import alert_facts
from planc_tui.core.ports import BadAnswer, Rejected, Unreachable
from planc_tui.sources.alerts import AlertsSource
from tests.steps import complete

DOWN = Alert("f1", {"alertname": "ApiDown", "namespace": "shop", "severity": "critical"}, 100.0)
SLOW = Alert("f2", {"alertname": "Slow", "severity": "warning"}, 200.0, silenced_by=("s",))


class FakeHttp:
    """Answers in order; keeps what was asked."""

    name = "Alertmanager"

    def __init__(self, *answers: HttpAnswer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, bytes | None]] = []

    def get(self, path: str, query: object = None) -> HttpAnswer:
        return self.exchange("GET", path)

    def exchange(self, method: str, path: str, body: bytes | None = None, query: object = None) -> HttpAnswer:
        self.asked.append((method, path, body))
        return self.answers.pop(0)

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ('alertname="ApiDown"', ["f1"]),
        ("alertname=~Api.*", ["f1"]),
        ("alertname=~pi", []),
        ("namespace!=shop", ["f2"]),
        ('severity!~"crit.*|info"', ["f2"]),
        ("namespace=", ["f2"]),
    ],
)
def test_matchers_match_as_alertmanager_does(text: str, hits: list[str]) -> None:
    assert [alert.fingerprint for alert in muted((DOWN, SLOW), [parse_matcher(text)])] == hits


@pytest.mark.parametrize("text", ["", "alertname", "=x", "1a=x", "a=~(", "a=~" + "x" * 501])
def test_what_is_no_matcher_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"matcher|pattern"):
        parse_matcher(text)


@pytest.mark.parametrize(
    ("matchers", "fine"),
    [
        ([], False),
        ([Matcher("severity", "info", equal=False)], False),
        ([Matcher("team", "")], False),
        ([Matcher("alertname", ".*", regex=True)], False),
        ([Matcher("alertname", "ApiDown")], True),
        ([Matcher("alertname", ".+", regex=True), Matcher("severity", "info", equal=False)], True),
    ],
)
def test_a_silence_must_name_something(matchers: list[Matcher], fine: bool) -> None:
    assert (problem(matchers, 1800.0) == "") is fine


def test_a_silence_ends_some_day_and_starts_from_the_alert() -> None:
    assert "at most" in problem([Matcher("a", "b")], 10 * 86_400.0)
    assert list(map(str, matchers_for(DOWN))) == ['alertname="ApiDown"', 'namespace="shop"']


def test_only_what_reaches_somebody_is_a_finding() -> None:
    facts = alert_facts(AlertsReport((DOWN, SLOW)))
    assert (facts["alerts_firing"].value, facts["alerts_firing"].subject) == (1.0, "ApiDown")
    assert alert_facts(AlertsReport())["alerts_firing"].value == 0.0


def test_errors_come_as_text_or_as_an_object_and_keep_their_words() -> None:
    invalid = b'{"code":602,"message":"comment in body is required"}'
    port = AlertmanagerPort(FakeHttp(HttpAnswer(422, invalid), HttpAnswer(503, b"<html>"), HttpAnswer(200, b"{}")))
    with pytest.raises(Rejected, match="comment in body is required"):
        port.silence([Matcher("a", "b")], 0.0, 60.0, "alice", "")
    with pytest.raises(Unreachable, match="503"):
        port.expire("x")
    with pytest.raises(BadAnswer, match="which silence"):
        port.silence([Matcher("a", "b")], 0.0, 60.0, "alice", "c")
    assert error_text(b"") == ""


@pytest.mark.parametrize(
    "answer",
    [HttpAnswer(200, b""), HttpAnswer(404, b'"silence not found"'), HttpAnswer(500, b'"silence not found"')],
)
def test_ending_a_silence_that_is_over_is_fine(answer: HttpAnswer) -> None:
    http = FakeHttp(answer)
    AlertmanagerPort(http).expire("a b")
    assert http.asked == [("DELETE", "/api/v2/silence/a%20b", None)]


def test_text_of_alerts_is_harmless_and_garbage_is_named() -> None:
    body = (
        b'[{"fingerprint":"f","labels":{"alertname":"A\\u001b[31m"},"startsAt":"2026-11-23T23:52:48.000Z",'
        b'"status":{"state":"active","silencedBy":[],"inhibitedBy":[]},"annotations":{"summary":"x\\ny"}}]'
    )
    report = AlertmanagerPort(FakeHttp(HttpAnswer(200, body), HttpAnswer(200, b"[]"))).report()
    assert (report.alerts[0].name, report.alerts[0].summary) == ("A", "x y")
    with pytest.raises(BadAnswer):
        AlertmanagerPort(FakeHttp(HttpAnswer(200, b"<html>"))).report()


def test_silences_are_asked_for_when_another_one_mutes_and_never_keep_the_alerts_waiting() -> None:
    alert = (
        '[{"fingerprint":"f","labels":{"alertname":"A"},"startsAt":"2026-11-23T23:52:48.000Z",'
        '"status":{"state":"active","silencedBy":[%s],"inhibitedBy":[]}}]'
    )
    silence = (
        b'[{"id":"s1","matchers":[{"name":"a","value":"b"}],"startsAt":"2026-11-23T23:52:48.000Z",'
        b'"endsAt":"2026-11-24T23:52:48.000Z","status":{"state":"active"}}]'
    )

    class Server(FakeHttp):
        muted, fails = "", False

        def exchange(self, method: str, path: str, body: bytes | None = None, query: object = None) -> HttpAnswer:
            self.asked.append((method, path, body))
            if self.fails:
                raise Unreachable("away")
            return HttpAnswer(200, silence if "silences" in path else (alert % self.muted).encode())

    server = Server()
    source = AlertsSource(AlertmanagerPort(server))

    def looks(count: int) -> list[int]:
        """Requests of each look."""
        sizes = []
        for _ in range(count):
            before = len(server.asked)
            report = complete(source.read())
            assert len(report.alerts) == 1
            sizes.append(len(server.asked) - before)
        return sizes

    assert looks(3) == [1, 1, 1], "nothing is muted"
    server.muted = '"s1"'
    assert looks(4) == [1, 2, 1, 1], "the alerts come first, and who mutes them with the next look"
    assert [one.id for one in complete(source.read()).silences] == ["s1"]
    server.muted = '"s2"'
    assert looks(4) == [1, 2, 1, 1], "one that Alertmanager does not list is asked for once"
    server.muted = '"s3"'
    assert looks(1) == [1]
    server.fails = True
    with pytest.raises(Unreachable):
        complete(source.read())
    server.fails = False
    assert looks(2) == [1, 2], "the first answer after an absence is one request away"
    source.close()
    assert looks(2) == [1, 2]

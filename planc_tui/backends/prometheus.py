"""Prometheus' instant queries through prometheus-api-client, over planc's own bounded HTTP.

Invariant: a query is sent once, with a limit the server knows of too; a refusal carries Prometheus' own words.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from planc_tui.backends.http import Http, HttpAnswer, expect_ok
from planc_tui.core.ports import BadAnswer, Denied, LoginExpired, NotFound, PortError
from planc_tui.core.slo import Sample
from planc_tui.core.text import clean

if TYPE_CHECKING:
    from prometheus_api_client.prometheus_connect import PrometheusConnect
    from requests import Session

# Never looked up: every request of the session goes through the adapter below.
BASE = "http://prometheus.invalid"
SERVER_TIMEOUT = "5s"
LOGIN_HINT = "check user, password or token of systems.prometheus in the playbook"


class _ErrorBody(msgspec.Struct):
    error: str = ""


class PrometheusPort:
    """Asks one Prometheus. Used by one thread at a time."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._session: Session | None = None
        self._client: PrometheusConnect | None = None
        self._answer: HttpAnswer | None = None

    def query(self, promql: str) -> tuple[Sample, ...]:
        """Evaluate now. Raises PortError; Rejected when Prometheus refuses the query itself."""
        client = self._open()
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests.exceptions import RequestException

        try:
            result = client.custom_query(promql, params={"timeout": SERVER_TIMEOUT})
        except PrometheusApiClientException:
            raise self._refusal() from None
        except (RequestException, KeyError, TypeError, ValueError):
            raise BadAnswer(f"{self._http.name} sent something that is not its API's JSON") from None
        try:
            return _samples(result)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise BadAnswer(f"{self._http.name} sent a result that is not readable") from None

    def close(self) -> None:
        """Drop the connection and the way to it."""
        session, self._session, self._client = self._session, None, None
        if session is not None:
            session.close()
        self._http.close()

    def _open(self) -> PrometheusConnect:
        if self._client is not None:
            return self._client
        from prometheus_api_client.prometheus_connect import PrometheusConnect
        from requests import Session
        from urllib3.util.retry import Retry

        session = Session()
        session.trust_env = False
        client = PrometheusConnect(url=BASE, session=session, retry=Retry(total=0), timeout=(3.05, 10))
        # The client mounts an adapter of its own in its constructor; ours takes its place.
        session.mount(BASE, _adapter(self._get))
        self._session, self._client = session, client
        return client

    def _get(self, path: str, query: dict[str, str]) -> HttpAnswer:
        """One request of the client's session; the answer is kept, because the client's exception has only part."""
        self._answer = self._http.get(path, query)
        return self._answer

    def _refusal(self) -> PortError:
        """The fault behind an answer that is not a 200."""
        answer = self._answer or HttpAnswer(0, b"")
        try:
            expect_ok(answer, self._http.name, "query", error_text(answer.body))
        except (LoginExpired, Denied) as error:
            error.hint = error.hint or LOGIN_HINT
            return error
        except NotFound as error:
            error.hint = "there is no query API behind this address: check systems.prometheus in the playbook"
            return error
        except PortError as error:
            return error
        return BadAnswer(f"{self._http.name} sent something that is not its API's JSON")


def error_text(body: bytes) -> str:
    """What Prometheus says is wrong; empty when the body is not its JSON.

    >>> error_text(b'{"status":"error","errorType":"bad_data","error":"parse error"}')
    'parse error'
    """
    try:
        return clean(msgspec.json.decode(body, type=_ErrorBody).error, 200)
    except msgspec.DecodeError:
        return ""


def _samples(result: Any) -> tuple[Sample, ...]:
    """Samples of an instant query: a vector is a list of series, a scalar is one [time, text] pair."""
    if len(result) == 2 and not isinstance(result[0], dict):
        return (Sample({}, float(result[1])),)
    found = []
    for series in result:
        labels = {clean(name, 200): clean(text, 500) for name, text in series["metric"].items()}
        found.append(Sample(labels, float(series["value"][1])))
    return tuple(found)


def _adapter(get: Callable[[str, dict[str, str]], HttpAnswer]) -> Any:
    """A transport for requests that goes through `get`, with its limits, its login and its way to the server."""
    from requests import PreparedRequest, Response
    from requests.adapters import BaseAdapter

    class PortAdapter(BaseAdapter):
        def send(self, request: PreparedRequest, *_args: Any, **_options: Any) -> Response:
            parts = urlsplit(request.url or "")
            answer = get(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))
            response = Response()
            response.status_code = answer.status
            # Neither location, which requests would follow, nor content-encoding: the body is inflated already.
            response.headers["content-type"] = answer.headers.get("content-type", "application/json")
            response.raw = io.BytesIO(answer.body)
            response.url = request.url or ""
            response.request = request
            return response

        def close(self) -> None:
            """Nothing of its own to close."""

    return PortAdapter()

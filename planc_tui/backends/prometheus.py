"""Prometheus' instant queries through prometheus-api-client, over planc's own bounded HTTP.

Invariant: a query is sent once, with a limit the server knows of too; a refusal carries Prometheus' own words.
"""

from __future__ import annotations

import ast
import io
import re
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
SERVER_TIMEOUT = "6s"
LOGIN_HINT = "check user, password or token of systems.prometheus in the playbook"


class _ErrorBody(msgspec.Struct):
    error: str = ""


class PrometheusPort:
    """Asks one Prometheus. Used by one thread at a time."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._session: Session | None = None
        self._client: PrometheusConnect | None = None

    def query(self, promql: str) -> tuple[Sample, ...]:
        """Evaluate now. Raises PortError; Rejected when Prometheus refuses the query itself."""
        client = self._open()
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests.exceptions import RequestException

        try:
            result = client.custom_query(promql, params={"timeout": SERVER_TIMEOUT})
        except PrometheusApiClientException as error:
            raise self._refusal(str(error)) from None
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
        session.mount(BASE, _adapter(self._http))
        self._session, self._client = session, client
        return client

    def _refusal(self, message: str) -> PortError:
        """The fault behind the client's exception, whose text is `HTTP Status Code 400 (b'...')`."""
        status, body = parse_refusal(message)
        try:
            expect_ok(HttpAnswer(status, body), self._http.name, "query", error_text(body))
        except (LoginExpired, Denied) as error:
            error.hint = error.hint or LOGIN_HINT
            return error
        except NotFound as error:
            error.hint = "there is no query API behind this address: check systems.prometheus in the playbook"
            return error
        except PortError as error:
            return error
        return BadAnswer(f"{self._http.name} sent something that is not its API's JSON")


def parse_refusal(message: str) -> tuple[int, bytes]:
    """Status and body out of the text of PrometheusApiClientException.

    >>> parse_refusal("HTTP Status Code 400 (b'no')")
    (400, b'no')
    """
    found = re.fullmatch(r"HTTP Status Code (\d+) \((b['\"].*)\)", message, re.DOTALL)
    if found is None:
        return 0, message.encode()
    try:
        body = ast.literal_eval(found[2])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        body = b""
    return int(found[1]), body if isinstance(body, bytes) else b""


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


def _adapter(http: Http) -> Any:
    """A transport for requests that goes through `http`, with its limits, its login and its way to the server."""
    from requests import PreparedRequest, Response
    from requests.adapters import BaseAdapter

    class PortAdapter(BaseAdapter):
        def send(self, request: PreparedRequest, *_args: Any, **_options: Any) -> Response:
            parts = urlsplit(request.url or "")
            answer = http.get(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))
            response = Response()
            response.status_code = answer.status
            response.headers.update(answer.headers)
            response.headers.pop("content-encoding", None)  # the body is inflated already
            response.raw = io.BytesIO(answer.body)
            response.url = request.url or ""
            response.request = request
            return response

        def close(self) -> None:
            """Nothing of its own to close."""

    return PortAdapter()

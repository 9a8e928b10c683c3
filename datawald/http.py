"""The one HTTP session every connector uses: total deadlines, retries of reads, single writes, no secrets in texts.

The connectors own one :class:`HttpSession` per system and tell it, through ``judge``, what that system's refusals mean.
It knows nothing of records, of Flask or of the rest of the core, and raises only the errors of
:mod:`datawald.domain.errors`. Safe to share between threads (connections are pooled) and across a fork.

Why not ``requests.Session``: its time-out is per read, so a slow drip never ends; it sends a space in a query as ``+``,
which breaks Magento's OAuth signature; it keeps cookies (Magento's PHP session locks), reads ``.netrc`` over our
credentials and follows redirects. What is used of requests is what is good in it: preparing, auth objects, the adapter
and the connection pool. The deadline sits where bytes move: in the sockets.
"""

from __future__ import annotations

import http.client
import json as _stdlib_json
import logging
import os
import queue
import random
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry
from urllib3.util.ssl_ import create_urllib3_context

from datawald.domain.errors import BadInput, DataWaldError, InDoubt, Misconfigured, Rejected, Retryable

__all__ = ["Answer", "Hooks", "HttpSession", "from_json", "redact", "to_json"]

log = logging.getLogger(__name__)

#: Threads of one process that may talk to one system at once without opening connections that are thrown away.
POOL_SIZE = 32
#: A pooled connection idle for longer is not used again. SAP's proxy and Apache close theirs after 5 s; a request sent
#: into a connection that is just being closed is lost, and for a write nobody can tell (``InDoubt``).
IDLE_S = 4.0
#: An answer beyond this is not read to its end: it would take the worker's memory.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Full jitter before the n-th retry of a read: between 0 and ``BACKOFF_S * 2**n``, at most ``BACKOFF_MAX_S`` seconds.
BACKOFF_S, BACKOFF_MAX_S = 0.2, 5.0

Params = Mapping[str, Any] | Sequence[tuple[str, Any]]
Judge = Callable[["Answer"], Exception | None]
Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]
E = TypeVar("E", bound=DataWaldError)


# --- JSON without floats ------------------------------------------------------------------------------------------


def from_json(text: str) -> Any:
    """Parse JSON with every fractional number as ``Decimal``. Raises ``ValueError`` for anything that is not JSON."""
    try:
        return _stdlib_json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def to_json(value: Any) -> str:
    """Write JSON, a ``Decimal`` as a number with exactly its digits (the standard library would need a float).

    Takes dicts with string keys, lists, tuples, str, int, bool, None, Decimal and finite floats; anything else is a
    ``TypeError``, NaN and infinity are a ``ValueError``.
    """
    parts: list[str] = []
    _write_json(value, parts.append)
    return "".join(parts)


def _write_json(value: Any, out: Callable[[str], None]) -> None:
    if value is None:
        out("null")
    elif isinstance(value, bool):
        out("true" if value else "false")
    elif isinstance(value, str):
        out(_stdlib_json.dumps(str(value)))
    elif isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} has no JSON form")
        out(format(value, "f"))
    elif isinstance(value, int):
        out(int.__repr__(value))
    elif isinstance(value, float):
        out(_stdlib_json.dumps(value, allow_nan=False))
    elif isinstance(value, Mapping):
        out("{")
        for number, (key, item) in enumerate(value.items()):
            if not isinstance(key, str):
                raise TypeError(f"a JSON key must be text, not {type(key).__name__}")
            out(("," if number else "") + _stdlib_json.dumps(key) + ":")
            _write_json(item, out)
        out("}")
    elif isinstance(value, list | tuple):
        out("[")
        for number, item in enumerate(value):
            if number:
                out(",")
            _write_json(item, out)
        out("]")
    else:
        raise TypeError(f"{type(value).__name__} has no JSON form")


# --- Redaction ----------------------------------------------------------------------------------------------------

HIDDEN = "[hidden]"
_SECRETS = (
    # Whole header lines; the rest of the line goes, since an OAuth header is a list of name="value".
    (
        re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)(['\"]?\s*[:=]\s*)[^\r\n]+"),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic|jwt)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?"), HIDDEN),
    (
        re.compile(
            r"(?i)\b(\w*(?:password|passwd|secret|token|signature|nonce|session_?id|api_?key|consumer_?key|b1session))"
            r"((?:['\"]|%22)?\s*[=:]\s*)(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s\"'&;,}]+)"
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?<=://)[^/@\s]+@"), f"{HIDDEN}@"),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without the named ``secrets`` and without anything that looks like a credential."""
    for secret in secrets:
        # Shorter ones would blank out half of every text and are no secret to anybody.
        if len(secret) >= 4:
            for form in {secret, quote(secret, safe=""), _stdlib_json.dumps(secret)[1:-1]}:
                text = text.replace(form, HIDDEN)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class _RedactingFilter(logging.Filter):
    """urllib3 logs every request line at DEBUG, query included: tokens in URLs must not follow it into the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        call: _Call | None = getattr(_here, "call", None)
        record.msg, record.args = redact(record.getMessage(), call.secrets if call else ()), None
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_RedactingFilter())


# --- Sockets that know when the call must be over -----------------------------------------------------------------


class _Call:
    """One request on the wire, as the sockets of its thread see it.

    ``ends`` is a time of the monotonic clock. ``sent`` turns true before the first byte of the request is handed to the
    operating system: while it is false, the server cannot have acted. ``secrets`` are for the log filter above.
    """

    __slots__ = ("ends", "secrets", "sent")

    def __init__(self, ends: float, secrets: Collection[str] = ()) -> None:
        self.ends = ends
        self.secrets = secrets
        self.sent = False


_here = threading.local()  # .call: the _Call this thread is making; a socket is used by one thread at a time


def _seconds_left() -> float:
    """Seconds until this thread's call must be over. Raises ``TimeoutError`` when that moment has passed."""
    call: _Call | None = getattr(_here, "call", None)
    if call is None:  # closing down outside a call
        return 1.0
    left = call.ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("the total deadline has passed")
    return left


def _mark_sent() -> None:
    call: _Call | None = getattr(_here, "call", None)
    if call is not None:
        call.sent = True


if TYPE_CHECKING:
    _AnySocket = socket.socket
    _AnyConnection = HTTPConnection
    _AnyPool = HTTPConnectionPool
else:
    _AnySocket = _AnyConnection = _AnyPool = object


class _DeadlineSocket(_AnySocket):
    """Gives every single read and send only what is left of the call: a drip of bytes cannot prolong it."""

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        self.settimeout(_seconds_left())
        return super().recv(*args, **kwargs)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_seconds_left())
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_seconds_left())
        _mark_sent()
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        # A plain socket counts its time-out over the whole sendall, a TLS socket calls our send() piece by piece.
        self.settimeout(_seconds_left())
        _mark_sent()
        super().sendall(*args, **kwargs)


class _PlainSocket(_DeadlineSocket, socket.socket):
    pass


class _TLSSocket(_DeadlineSocket, ssl.SSLSocket):
    pass


def _resolve(host: str, port: int) -> list[Any]:
    """``getaddrinfo`` within the deadline: it cannot be interrupted, so a thread of its own waits for it."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError:
        pass
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except Exception as exc:
            answers.put(exc)

    left = _seconds_left()
    threading.Thread(target=ask, name="datawald-resolve", daemon=True).start()
    try:
        found = answers.get(timeout=left)
    except queue.Empty:
        raise TimeoutError("the host name was not resolved in time") from None
    if isinstance(found, Exception):
        raise found
    return list(found)


class _DeadlineConnection(_AnyConnection):
    """Connects, and shakes hands, within what is left of the call."""

    idle_since: float = 0.0

    def _new_conn(self) -> socket.socket:
        try:
            addresses = _resolve(self._dns_host.strip("[]"), self.port or self.default_port)
        except socket.gaierror as exc:
            raise urllib3.exceptions.NameResolutionError(self.host, self, exc) from exc
        problem: OSError = OSError("the host name has no address")
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = _PlainSocket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                # A dead first address (IPv6 behind a firewall) must leave time for the next one.
                sock.settimeout(_seconds_left() / (len(addresses) - number))
                sock.connect(address)
                sock.settimeout(_seconds_left())  # TLS copies it: the handshake's total time
                return sock
            except OSError as exc:
                sock.close()
                problem = exc
        raise urllib3.exceptions.NewConnectionError(self, type(problem).__name__) from problem

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            call: _Call | None = getattr(_here, "call", None)
            if call is not None:  # what a proxy was told to open the tunnel is not the request
                call.sent = False


class _PlainConnection(_DeadlineConnection, HTTPConnection):
    pass


class _TLSConnection(_DeadlineConnection, HTTPSConnection):
    pass


class _FreshPool(_AnyPool):
    """Never hands out a connection the server may be about to close (see ``IDLE_S``)."""

    idle_s: float = IDLE_S

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn: Any = super()._get_conn(timeout)
        if conn.sock is not None and time.monotonic() - conn.idle_since > self.idle_s:
            conn.close()  # it connects again when used
        return conn

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)


class _PlainPool(_FreshPool, HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLSPool(_FreshPool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


#: urllib3 must never send anything twice, wait, or follow anything on its own.
_NEVER = Retry(total=0, connect=0, read=0, redirect=0, status=0, other=0, respect_retry_after_header=False)


class _Adapter(HTTPAdapter):
    """requests' adapter on the pools above, with one TLS context for all connections."""

    def __init__(self, context: ssl.SSLContext | None, idle_s: float) -> None:
        self._context = context
        self._idle_s = idle_s
        super().__init__(pool_connections=4, pool_maxsize=POOL_SIZE, max_retries=_NEVER)

    def _ours(self, manager: Any) -> Any:
        def made(kind: type[_FreshPool]) -> Callable[..., _FreshPool]:
            def make(*args: Any, **kwargs: Any) -> _FreshPool:
                pool = kind(*args, **kwargs)
                pool.idle_s = self._idle_s
                return pool

            return make

        manager.pool_classes_by_scheme = {"http": made(_PlainPool), "https": made(_TLSPool)}
        return manager

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)
        self._ours(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        return self._ours(super().proxy_manager_for(proxy, **kwargs))

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """The context already holds the CA certificates; loading them again per connection costs 20 ms."""


def _tls_context(verify: bool | str) -> ssl.SSLContext:
    context = create_urllib3_context()
    context.sslsocket_class = _TLSSocket
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    where = verify if isinstance(verify, str) else os.environ.get("REQUESTS_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    try:
        if os.path.isdir(where):
            context.load_verify_locations(capath=where)
        else:
            context.load_verify_locations(cafile=where)
    except (OSError, ssl.SSLError) as exc:
        raise Misconfigured(f"the CA file cannot be read: {type(exc).__name__}") from None
    return context


# --- What a call gives back ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the server said. ``json`` is None where the body is empty or not JSON; ``text`` is always the body."""

    status: int
    headers: Mapping[str, str]  #: names in any case
    json: Any
    text: str
    method: str = "GET"
    path: str = ""  #: without the query: it may hold names and e-mail addresses
    is_write: bool = False
    cookies: tuple[str, ...] = ()  #: the Set-Cookie lines, one by one

    @property
    def plain(self) -> str:
        """At most 200 characters of the body for people: tags, scripts and doubled blanks taken out."""
        text = re.sub(r"(?is)<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", " ", self.text[:20_000])
        text = " ".join(text.split())
        return text if len(text) <= 200 else text[:199] + "…"

    @property
    def retry_after(self) -> float | None:
        """Seconds of ``Retry-After``, given as a number or as a date (then compared with the server's own clock)."""
        value = self.headers.get("Retry-After", "").strip()
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        until = _http_date(value)
        if until is None:
            return None
        return max(0.0, (until - (self.date or datetime.now(UTC))).total_seconds())

    @property
    def date(self) -> datetime | None:
        """The server's clock when it answered (UTC), if it says."""
        return _http_date(self.headers.get("Date", ""))


def _http_date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Hooks:
    """Look-ins for tests and metrics; they must not raise."""

    #: Called with every prepared request just before it is sent, each retry included. It holds the credentials.
    sending: Callable[[requests.PreparedRequest], None] | None = None
    #: Called after every attempt with method, path, status (None: no answer) and seconds.
    answered: Callable[[str, str, int | None, float], None] | None = None
    #: Waits before a retry, ``time.sleep`` unless told.
    sleep: Callable[[float], None] = field(default=time.sleep)


# --- The session --------------------------------------------------------------------------------------------------


class HttpSession:
    """Speaks HTTP with one system: reads are tried again, writes are sent once, both end by a total deadline.

    ``base_url``
        scheme, host and optional path, without credentials and query.
    ``system``
        name of the connection; stands in errors and logs.
    ``auth``
        called with each prepared request (requests' auth objects fit); a retry is signed afresh.
    ``verify``
        True: usual CAs (or ``REQUESTS_CA_BUNDLE``); a path: a CA file or folder; False: anyone may pose as the system.
    ``deadline_s``
        total seconds of one call, from resolving the name to the last byte of the body, retries included.
    ``read_retries``
        how often a read is tried again at most.
    ``redact``
        secrets that must appear in no text; :meth:`hide` adds those learnt later.
    ``judge``
        called with every answer that is neither 2xx nor accepted; returns the error it means, or None for the default:
        401/403 ``Misconfigured``, 429 ``Retryable``, 5xx and 408 ``Retryable`` on a read and ``InDoubt`` on a write,
        other 4xx ``Rejected``, redirects ``Misconfigured`` (a write may have been done before 301-303: ``InDoubt``).
        ``Retryable`` for a read makes the session try again. On a write it claims that nothing was processed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        system: str,
        auth: Auth | None = None,
        verify: bool | str = True,
        deadline_s: float = 20.0,
        read_retries: int = 3,
        redact: Iterable[str] = (),
        judge: Judge | None = None,
        hooks: Hooks | None = None,
        headers: Mapping[str, str] | None = None,
        idle_s: float = IDLE_S,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.system = system
        self.auth = auth
        self.deadline_s = deadline_s
        self.read_retries = read_retries
        self.judge = judge
        self.hooks = hooks or Hooks()
        self._secrets = frozenset(secret for secret in redact if secret)
        self._learnt: deque[str] = deque(maxlen=64)
        self._verify = verify
        self._idle_s = idle_s
        self._max_bytes = max_answer_bytes
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "DataWald/0.1",
            **(headers or {}),
        }
        parts = urlsplit(base_url.strip())
        try:
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            usable = False
        if not usable or parts.query or parts.fragment:
            raise Misconfigured("the URL must look like https://host/path", system=system)
        if parts.username or parts.password:
            raise Misconfigured("credentials do not belong into the URL", system=system)
        self.base_url = base_url.strip().rstrip("/")
        self._host = parts.netloc
        self._proxies = get_environ_proxies(self.base_url)
        # For plain http there is nothing to verify, and reading the CA bundle takes time.
        self._context = _tls_context(verify) if parts.scheme == "https" or self._proxies else None
        self._lock = threading.Lock()
        self._adapter = _Adapter(self._context, idle_s)
        self._pid = os.getpid()

    # -- calls

    def read(
        self,
        method: str = "GET",
        path: str = "",
        *,
        params: Params | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        text: bool = False,
        deadline_s: float | None = None,
    ) -> Answer:
        """Ask for something; asking twice must do no harm, whatever the method.

        Tried again with full jitter, never past the deadline, on broken or refused connections, 408, 429, 500, 502,
        503, 504 and whatever ``judge`` calls ``Retryable``; a ``Retry-After`` is waited for if the deadline allows,
        else raised. ``path`` is percent-encoded by the caller. ``accept`` names statuses to return instead of raising,
        ``text`` allows a body that is not JSON, ``deadline_s`` shortens the session's deadline.
        Raises Retryable, Rejected, Misconfigured.
        """
        ends = self._ends(deadline_s)
        tried = 0
        while True:
            try:
                return self._send(method, path, params, json, None, headers, accept, text, ends, is_write=False)
            except Retryable as exc:
                tried += 1
                left = ends - time.monotonic()
                if tried > self.read_retries or left < 0.05:
                    raise
                jitter = random.uniform(0, min(BACKOFF_S * 2**tried, BACKOFF_MAX_S, left / 2))  # noqa: S311
                pause = jitter if exc.retry_after is None else exc.retry_after + jitter / 10
                if pause >= left:
                    raise
            self.hooks.sleep(pause)

    def write(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        text: bool = False,
        deadline_s: float | None = None,
    ) -> Answer:
        """Change something; sent exactly once, never tried again here.

        Raises Retryable only if not a byte of the request can have reached the server, on 429, or where ``judge``
        knows that nothing was processed; InDoubt after a time-out, a reset, a broken or unreadable answer, a 5xx;
        Rejected and Misconfigured as for reads. A pooled connection that the server closed just then is InDoubt too:
        its bytes left us, and nobody can tell how far they came. ``data`` is a body that is not JSON (its
        Content-Type goes in ``headers``).
        """
        ends = self._ends(deadline_s)
        return self._send(method, path, params, json, data, headers, accept, text, ends, is_write=True)

    def hide(self, *secrets: str) -> None:
        """Keep secrets learnt later (tokens, session ids) out of every text."""
        self._learnt.extend(secret for secret in secrets if secret)

    def redact(self, text: str) -> str:
        """``text`` without this session's secrets."""
        return redact(text, self._hidden())

    def _hidden(self) -> Collection[str]:
        return (*self._secrets, *self._learnt.copy())  # another thread may be adding one

    def close(self) -> None:
        """Close the pooled connections; the session may be used again."""
        self._adapter.close()

    def __enter__(self) -> HttpSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one attempt

    def _ends(self, deadline_s: float | None) -> float:
        allowed = self.deadline_s if deadline_s is None else min(deadline_s, self.deadline_s)
        return time.monotonic() + allowed

    def _send(
        self,
        method: str,
        path: str,
        params: Params | None,
        json: Any,
        data: bytes | None,
        headers: Mapping[str, str] | None,
        accept: Collection[int],
        text: bool,
        ends: float,
        *,
        is_write: bool,
    ) -> Answer:
        request = self._prepare(method, path, params, json, data, headers)
        if self.hooks.sending:
            self.hooks.sending(request)
        shown = self.redact(urlsplit("/" + path.lstrip("/")).path)
        began = time.monotonic()
        call, before = _Call(ends, self._hidden()), getattr(_here, "call", None)
        status: int | None = None
        _here.call = call
        try:
            response = self._transport().send(
                request,
                stream=True,
                timeout=max(0.001, ends - began),
                verify=self._verify is not False,
                proxies=self._proxies,
            )
            try:
                body = self._body(response)
            except BaseException:
                response.close()
                raise
            status = response.status_code
        except _TooLarge:
            kind = InDoubt if is_write else Rejected
            raise self._error(kind, f"{method} {shown}: the answer is larger than {self._max_bytes} bytes") from None
        # "from None": the original's text holds the URL with its query, which a logged traceback would show.
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as exc:
            raise self._broken(exc, call, f"{method} {shown}", is_write, time.monotonic() - began) from None
        finally:
            _here.call = before
            spent = time.monotonic() - began
            log.debug("%s: %s %s: %s in %.3f s", self.system, method, shown, status or "no answer", spent)
            if self.hooks.answered:
                self.hooks.answered(method, shown, status, spent)
        return self._judged(self._answer(response, body, method, shown, is_write), accept, text)

    def _prepare(
        self,
        method: str,
        path: str,
        params: Params | None,
        json: Any,
        data: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> requests.PreparedRequest:
        all_headers = {**self._headers, **(headers or {})}
        if json is not None:
            data = to_json(json).encode()
            all_headers.setdefault("Content-Type", "application/json")
        url = f"{self.base_url}/{path.lstrip('/')}" if path else self.base_url
        if query := _query(params):
            url += ("&" if "?" in url else "?") + query
        try:
            # Each attempt is prepared and signed anew: OAuth refuses a nonce it has seen.
            return requests.Request(method, url, headers=all_headers, data=data, auth=self.auth or _no_auth).prepare()
        except (requests.RequestException, ValueError) as exc:
            # A secret with a line break in it: requests would quote it in its message.
            raise self._error(Misconfigured, f"the request cannot be built ({type(exc).__name__})") from None

    def _transport(self) -> _Adapter:
        if self._pid != os.getpid():  # after a fork parent and child would read each other's answers
            with self._lock:
                if self._pid != os.getpid():
                    self._adapter = _Adapter(self._context, self._idle_s)
                    self._pid = os.getpid()
        return self._adapter

    def _body(self, response: requests.Response) -> bytes:
        chunks, size = [], 0
        for chunk in response.raw.stream(65536, decode_content=True):
            size += len(chunk)
            if size > self._max_bytes:
                raise _TooLarge
            chunks.append(chunk)
        response.raw.release_conn()  # an answer without a body (204) would keep its connection
        return b"".join(chunks)

    def _answer(self, response: requests.Response, body: bytes, method: str, shown: str, is_write: bool) -> Answer:
        text = body.decode("utf-8-sig", errors="replace")
        content_type = response.headers.get("Content-Type", "").lower()
        parsed = None
        if "json" in content_type or text[:1] in ("{", "["):
            try:
                parsed = from_json(text)
            except ValueError:
                parsed = None
        return Answer(
            status=response.status_code,
            headers=CaseInsensitiveDict(response.headers),
            json=parsed,
            text=text,
            method=method,
            path=shown,
            is_write=is_write,
            cookies=tuple(response.raw.headers.getlist("Set-Cookie")),
        )

    # -- judging

    def _judged(self, answer: Answer, accept: Collection[int], text: bool) -> Answer:
        what = f"{answer.method} {answer.path}"
        if 200 <= answer.status < 300 or answer.status in accept:
            if text or answer.json is not None or answer.text.strip() in ("", "null") or answer.status in accept:
                return answer
            said = f"{what}: the answer is not JSON: {answer.plain}"
            if answer.is_write:
                raise self._error(InDoubt, said, answer)
            # A page instead of JSON is the wrong address; JSON that breaks off is an accident.
            is_json = "json" in answer.headers.get("Content-Type", "").lower()
            raise self._error(Retryable if is_json else Misconfigured, said, answer)
        verdict = self.judge(answer) if self.judge else None
        if verdict is None:
            verdict = self._usual(answer, what)
        if isinstance(verdict, DataWaldError):
            verdict.system = verdict.system or self.system
            verdict.status = verdict.status or answer.status
            verdict.message = self.redact(verdict.message)
            verdict.args = (verdict.message,)
            verdict.detail = self._clean(verdict.detail)
        if isinstance(verdict, Retryable) and verdict.retry_after is None:
            verdict.retry_after = answer.retry_after
        raise verdict

    def _usual(self, answer: Answer, what: str) -> DataWaldError:
        status = answer.status
        said = f"{what}: HTTP {status} {answer.plain}".rstrip()
        kind: type[DataWaldError] = Rejected
        if 300 <= status < 400:
            kind = InDoubt if answer.is_write and status not in (307, 308) else Misconfigured
            said = f"{what}: HTTP {status}, redirected to {answer.headers.get('Location', 'nowhere')}; correct the URL"
        elif status in (401, 403):
            kind = Misconfigured
        elif status == 429:
            kind = Retryable
        elif status in (408, 500, 502, 503, 504):
            kind = InDoubt if answer.is_write else Retryable
        elif status >= 500:
            kind = InDoubt if answer.is_write else Rejected
        return self._error(kind, said, answer)

    def _broken(
        self, exc: Exception, call: _Call, what: str, is_write: bool, spent: float
    ) -> Retryable | InDoubt | Misconfigured:
        """The error for a call without a whole answer."""
        causes = _causes(exc)
        certificate = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
        if certificate is not None and not call.sent:
            # Nothing was sent, and no other record would fare better.
            why = certificate.verify_message or "it cannot be verified"
            return self._error(Misconfigured, f"{what}: the certificate of {self._host} is refused: {why}")
        if any(isinstance(cause, TimeoutError | urllib3.exceptions.ReadTimeoutError) for cause in causes):
            why = f"no complete answer within {spent:.1f} s" if call.sent else f"no connection within {spent:.1f} s"
        elif any(isinstance(cause, socket.gaierror) for cause in causes):
            why = f"the host name of {self._host} cannot be resolved"
        elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            why = f"{self._host} refuses connections"
        else:
            names = dict.fromkeys(type(cause).__name__ for cause in causes)
            why = f"the connection to {self._host} broke ({', '.join(names)})"
        if is_write and call.sent:
            return self._error(InDoubt, f"{what}: {why}; the write may have happened")
        return self._error(Retryable, f"{what}: {why}")

    def _error(self, kind: type[E], message: str, answer: Answer | None = None) -> E:
        error = kind(self.redact(message), system=self.system, status=answer.status if answer else None)
        if isinstance(error, Retryable) and answer is not None:
            error.retry_after = answer.retry_after
        return error

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {key: self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(item) for item in value]
        return value


class _TooLarge(Exception):
    """The body passed ``max_answer_bytes``."""


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _query(params: Params | None) -> str:
    """The query string: a space is ``%20`` (``+`` breaks Magento's OAuth signature), OData's ``$`` is left alone."""
    if params is None:
        return ""
    pairs = params.items() if isinstance(params, Mapping) else params
    encoded = []
    for name, value in pairs:
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, Decimal):
            value = format(value, "f")
        elif not isinstance(value, str | int):
            raise BadInput(f"{type(value).__name__} cannot stand in a query", field=str(name))
        encoded.append(f"{quote(str(name), safe='$')}={quote(str(value), safe='')}")
    return "&".join(encoded)


def _causes(exc: BaseException) -> list[BaseException]:
    """The exception and all that hide in it: requests wraps urllib3, which wraps the operating system's."""
    found: list[BaseException] = []
    todo: list[Any] = [exc]
    while todo and len(found) < 20:
        one = todo.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return found

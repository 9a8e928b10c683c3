"""datawald.http against real sockets: what is sent, how often, how long it lasts, and what is said when it fails."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import os
import pickle
import socket
import ssl
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from wire import Peer, answer, free_port, reset, saying

from datawald.domain import errors
from datawald.domain.errors import BadInput, InDoubt, Misconfigured, Rejected, Retryable
from datawald.http import Answer, Hooks, HttpSession, from_json, redact, to_json


def session(peer: Peer, **options: object) -> HttpSession:
    options.setdefault("deadline_s", 5.0)
    return HttpSession(f"http://127.0.0.1:{peer.port}/base", system="probe", **options)  # type: ignore[arg-type]


# --- what is sent


def test_query_keeps_dollar_and_sends_space_as_percent_20(peer):
    server = peer(saying(answer()))
    session(server).read(path="/x", params={"$filter": "a eq 'b c+d'", "f[0]": "2026-01-02 03:04:05", "no": None})
    line = server.requests[0].split(b"\r\n")[0]
    assert line == b"GET /base/x?$filter=a%20eq%20%27b%20c%2Bd%27&f%5B0%5D=2026-01-02%2003%3A04%3A05 HTTP/1.1"
    assert b"expect" not in server.requests[0].lower()
    assert b"cookie" not in server.requests[0].lower()


def test_query_refuses_what_has_no_text_form(peer):
    with pytest.raises(BadInput) as failure:
        session(peer(saying(answer()))).read(params={"when": dt.date(2026, 1, 1)})
    assert failure.value.field == "when"


def test_decimal_goes_out_and_comes_back_digit_for_digit(peer):
    server = peer(saying(answer('{"total": 0.10000000000000000001, "n": 84.0400, "whole": 7}')))
    body = {"price": Decimal("12345678901234567.10"), "rate": Decimal("1E-7"), "lines": [{"qty": Decimal("2.000")}]}
    got = session(server).write("POST", "orders", json=body)
    assert server.requests[0].endswith(b'{"price":12345678901234567.10,"rate":0.0000001,"lines":[{"qty":2.000}]}')
    assert got.json == {"total": Decimal("0.10000000000000000001"), "n": Decimal("84.0400"), "whole": 7}
    assert str(got.json["n"]) == "84.0400" and isinstance(got.json["whole"], int)


@pytest.mark.parametrize("value", [Decimal("NaN"), float("inf"), object(), {1: 2}, {"d": dt.date(2026, 1, 1)}])
def test_to_json_refuses_what_json_cannot_say(value):
    with pytest.raises((ValueError, TypeError)):
        to_json(value)


def test_json_round_trip():
    value = {'ä\u2028"\\': [None, True, False, -3, "x\n", [], {}], "d": Decimal("-0.50"), "f": 0.5}
    assert from_json(to_json(value)) == {**value, "f": Decimal("0.5")}
    for bad in ("NaN", "[" * 100_000, "", "{'a':1}"):
        with pytest.raises(ValueError):
            from_json(bad)


def test_connections_are_kept_alive_and_cookies_are_not(peer):
    server = peer(saying(answer(more="Set-Cookie: A=1; path=/\r\nSet-Cookie: B=2\r\n")))
    http = session(server)
    got = [http.read(path="x") for _ in range(5)]
    assert server.connections == 1
    assert got[0].cookies == ("A=1; path=/", "B=2")
    assert not any(b"cookie" in request.lower() for request in server.requests)


def test_connections_survive_empty_answers(peer):
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    server = peer(saying(empty, answer("", 200), answer("", 404), empty))
    http = session(server)
    for _ in range(6):
        http.write("PATCH", "x", json={}, accept=(404,))
    assert server.connections == 1


def test_a_proxy_of_the_environment_is_used(peer, monkeypatch):
    server = peer(saying(answer('{"via": 1}'), answer("", 407)))
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
    assert HttpSession("http://erp.example/b", system="probe").read(path="x").json == {"via": 1}
    assert server.requests[0].startswith(b"GET http://erp.example/b/x HTTP/1.1")
    # Refused before the tunnel stood: the write itself never left.
    with pytest.raises(Retryable):
        HttpSession("https://erp.example", system="probe").write("POST", "x", json={})
    assert server.requests[1].startswith(b"CONNECT erp.example:443")
    assert len(server.requests) == 2


def test_thirty_two_threads_share_one_session_without_losing_connections(peer):
    server = peer(saying(answer()))
    http = session(server)
    gate = threading.Barrier(32)

    def work() -> None:
        gate.wait()
        for _ in range(5):
            http.read(path="x")

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 160
    assert server.connections <= 32


def test_an_idle_connection_is_not_used_again(peer):
    server = peer(saying(answer()))
    http = session(server, idle_s=0.05)
    http.read(path="x")
    time.sleep(0.1)
    http.write("POST", "x", json={})
    assert server.connections == 2


# --- deadlines


def drip(data: bytes, pause: float = 0.05) -> Callable[[Peer, socket.socket, int], object]:
    def script(peer: Peer, conn: socket.socket, _: int) -> None:
        peer.read(conn)
        for byte in data:
            conn.sendall(bytes([byte]))
            time.sleep(pause)

    return script


def body_drip(peer: Peer, conn: socket.socket, _: int) -> None:
    peer.read(conn)
    whole = answer("[" + "1," * 300 + "1]")
    head = whole.index(b"\r\n\r\n") + 4
    conn.sendall(whole[:head])
    for byte in whole[head:]:
        conn.sendall(bytes([byte]))
        time.sleep(0.05)


DRIPS = {"body": body_drip, "headers": drip(answer(more="X-Long: " + "y" * 400 + "\r\n"))}


@pytest.mark.parametrize("where", DRIPS)
def test_a_drip_cannot_prolong_a_call(peer, where):
    server = peer(DRIPS[where])
    http = session(server, deadline_s=0.3)
    began = time.monotonic()
    with pytest.raises(Retryable, match="no complete answer within 0"):
        http.read(path="slow")
    with pytest.raises(InDoubt, match="may have happened"):
        http.write("POST", "slow", json={})
    assert 0.55 < time.monotonic() - began < 3
    assert len(server.requests) == 2


def test_a_drip_over_tls_cannot_prolong_a_call(peer, certificate):
    server = peer(body_drip, server_tls(certificate))
    http = HttpSession(f"https://127.0.0.1:{server.port}", system="probe", verify=str(certificate[0]), deadline_s=0.4)
    began = time.monotonic()
    with pytest.raises(InDoubt):
        http.write("POST", "slow", json={})
    assert time.monotonic() - began < 2.5


def test_silence_after_the_request_ends_at_the_deadline_of_the_call(peer):
    server = peer(lambda peer, conn, _: (peer.read(conn), time.sleep(3)))
    began = time.monotonic()
    with pytest.raises(InDoubt) as failure:
        session(server).write("POST", "x", json={}, deadline_s=0.3)
    assert time.monotonic() - began < 2.5
    assert failure.value.system == "probe"


def test_a_longer_deadline_than_the_sessions_is_not_given(peer):
    server = peer(lambda peer, conn, _: (peer.read(conn), time.sleep(3)))
    began = time.monotonic()
    with pytest.raises(Retryable):
        session(server, deadline_s=0.3).read(path="x", deadline_s=60)
    assert time.monotonic() - began < 2.5


def test_a_server_that_does_not_read_ends_at_the_deadline(peer):
    server = peer(lambda peer, conn, _: time.sleep(3))
    began = time.monotonic()
    with pytest.raises(InDoubt):
        session(server, deadline_s=0.4).write("POST", "x", data=b"y" * 20_000_000)
    assert time.monotonic() - began < 2.5


def test_a_connect_that_never_completes_wrote_nothing():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:  # the backlog is full: the next connect gets no answer at all
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        time.sleep(0.05)
        http = HttpSession(f"http://127.0.0.1:{full.getsockname()[1]}", system="probe", deadline_s=0.4)
        began = time.monotonic()
        with pytest.raises((Retryable, InDoubt)) as failure:
            http.write("POST", "x", json={})
        assert time.monotonic() - began < 2.5
        for one in waiting:
            one.close()
    if isinstance(failure.value, InDoubt):
        pytest.skip("this kernel completes connects beyond the backlog")


def test_a_silent_tls_handshake_wrote_nothing(peer):
    server = peer(lambda peer, conn, _: time.sleep(3))
    http = HttpSession(f"https://127.0.0.1:{server.port}", system="probe", deadline_s=0.4)
    began = time.monotonic()
    with pytest.raises(Retryable, match="no connection within"):
        http.write("POST", "x", json={})
    assert time.monotonic() - began < 2.5


def test_a_name_server_that_does_not_answer_ends_at_the_deadline(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: time.sleep(3))
    began = time.monotonic()
    with pytest.raises(Retryable, match="no connection within"):
        HttpSession("http://erp.example", system="probe", deadline_s=0.3).write("POST", "x")
    assert time.monotonic() - began < 2.5


# --- writes: once


def test_refused_connection_and_unknown_host_wrote_nothing(monkeypatch):
    with pytest.raises(Retryable, match="refuses connections"):
        HttpSession(f"http://127.0.0.1:{free_port()}", system="probe").write("POST", "x", json={})

    def unknown(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Retryable, match="cannot be resolved"):
        HttpSession("http://erp.example", system="probe").write("POST", "x", json={})


BROKEN: dict[str, Callable[[Peer, socket.socket, int], object]] = {
    "reset while reading": lambda peer, conn, _: (conn.recv(1), reset(conn)),
    "reset after reading": lambda peer, conn, _: (peer.read(conn), reset(conn)),
    "closed after reading": lambda peer, conn, _: (peer.read(conn), conn.close()),
    "half an answer": lambda peer, conn, _: (peer.read(conn), conn.sendall(answer("[1,2,3]")[:-3])),
    "no HTTP": lambda peer, conn, _: (peer.read(conn), conn.sendall(b"SSH-2.0-x\r\n\r\n")),
    "500": lambda peer, conn, _: (peer.read(conn), conn.sendall(answer("", 500))),
    "502 page": lambda peer, conn, _: (peer.read(conn), conn.sendall(answer("<h1>Bad</h1>", 502, "text/html"))),
    "503": lambda peer, conn, _: (peer.read(conn), conn.sendall(answer("{}", 503))),
    "not JSON": lambda peer, conn, _: (peer.read(conn), conn.sendall(answer("<p>ok</p>", 200, "text/html"))),
    "broken JSON": lambda peer, conn, _: (peer.read(conn), conn.sendall(answer('{"id": 1'))),
    "redirect": lambda peer, conn, _: (peer.read(conn), conn.sendall(answer("", 302, more="Location: /x\r\n"))),
    "bad gzip": lambda peer, conn, _: (
        peer.read(conn),
        conn.sendall(answer("{}", more="Content-Encoding: gzip\r\n")),
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_write_that_may_have_happened_is_in_doubt_and_sent_once(peer, how):
    server = peer(BROKEN[how])
    with pytest.raises(InDoubt):
        session(server).write("POST", "x", json={"a": 1})
    time.sleep(0.05)
    assert server.connections == 1


def test_a_write_on_a_connection_closed_meanwhile(peer):
    """Closed while idle is seen before sending; closed while sending cannot be told from done: InDoubt."""

    def script(peer: Peer, conn: socket.socket, number: int) -> None:
        peer.read(conn)
        conn.sendall(answer())
        if number == 1:
            return  # closes
        peer.read(conn)
        reset(conn)

    server = peer(script)
    http = session(server)
    http.read(path="x")
    time.sleep(0.1)
    http.write("POST", "x", json={})
    assert server.connections == 2
    with pytest.raises(InDoubt):
        http.write("POST", "x", json={})
    assert server.connections == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Rejected), (404, Rejected), (409, Rejected), (413, Rejected), (401, Misconfigured), (403, Misconfigured)],
)
def test_a_refused_write(peer, status, kind):
    server = peer(saying(answer("<html><head><title>t</title></head><b>No</b>&nbsp;way</html>", status, "text/html")))
    with pytest.raises(kind) as failure:
        session(server).write("POST", "x", json={})
    assert failure.value.status == status
    assert "No" in str(failure.value) and "<" not in str(failure.value)
    assert len(server.requests) == 1


def test_429_on_a_write_is_retryable_and_says_when(peer):
    server = peer(saying(answer("", 429, more="Retry-After: 7\r\n")))
    with pytest.raises(Retryable) as failure:
        session(server).write("POST", "x", json={})
    assert failure.value.retry_after == 7.0
    assert len(server.requests) == 1


# --- reads: again


def test_a_read_is_tried_again_after_breaks_and_bad_gateways(peer):
    def script(peer: Peer, conn: socket.socket, number: int) -> None:
        peer.read(conn)
        if number == 1:
            return reset(conn)
        conn.sendall(answer("", 502) if number == 2 else answer('{"ok": 1}'))
        return None

    server = peer(script)
    assert session(server, hooks=Hooks(sleep=lambda _: None)).read(path="x").json == {"ok": 1}
    assert len(server.requests) == 3


def test_a_read_gives_up_after_its_retries(peer):
    server = peer(saying(answer("<p>Down</p>", 503, "text/html")))
    pauses: list[float] = []
    with pytest.raises(Retryable, match="503 Down"):
        session(server, hooks=Hooks(sleep=pauses.append)).read(path="x")
    assert len(server.requests) == 4
    assert len(pauses) == 3 and all(0 <= pause <= 5 for pause in pauses)


def test_a_read_waits_as_long_as_it_is_told(peer):
    server = peer(saying(answer("", 429, more="Retry-After: 2\r\n"), answer("[]")))
    pauses: list[float] = []
    assert session(server, hooks=Hooks(sleep=pauses.append)).read(path="x").json == []
    assert len(pauses) == 1 and 2.0 <= pauses[0] < 3.0


@pytest.mark.parametrize(
    "told",
    [
        "Retry-After: 60\r\n",
        "Date: Tue, 06 Jan 2026 10:00:00 GMT\r\nRetry-After: Tue, 06 Jan 2026 10:01:00 GMT\r\n",
    ],
)
def test_a_wait_beyond_the_deadline_is_handed_to_the_caller(peer, told):
    server = peer(saying(answer("", 503, more=told)))
    began = time.monotonic()
    with pytest.raises(Retryable) as failure:
        session(server).read(path="x")
    assert failure.value.retry_after == 60.0
    assert time.monotonic() - began < 2.5 and len(server.requests) == 1


def test_retries_end_with_the_deadline(peer):
    def script(peer: Peer, conn: socket.socket, _: int) -> None:
        peer.read(conn)
        time.sleep(0.25)
        conn.sendall(answer("", 503))

    began = time.monotonic()
    with pytest.raises(Retryable):
        session(peer(script), deadline_s=0.6, read_retries=50).read(path="x")
    assert time.monotonic() - began < 2.5


def test_a_refused_read_is_not_tried_again(peer):
    server = peer(saying(answer('{"message": "no"}', 400)))
    with pytest.raises(Rejected):
        session(server).read("POST", "search", json={})
    assert len(server.requests) == 1


def test_a_page_instead_of_json_is_the_wrong_address(peer):
    page = "<html><script>var x = 1;</script><h1>Welcome</h1>" + "word " * 200 + "</html>"
    server = peer(saying(answer(page, 200, "text/html")))
    with pytest.raises(Misconfigured) as failure:
        session(server).read(path="x")
    assert "Welcome word" in failure.value.message and "var x" not in failure.value.message
    assert len(failure.value.message) < 300
    assert session(server).read(path="x", text=True).text == page


def test_an_answer_beyond_the_limit_is_not_read(peer):
    server = peer(saying(answer("[" + "1," * 100_000 + "1]")))
    with pytest.raises(Rejected, match="larger than 1000"):
        session(server, max_answer_bytes=1000).read(path="x")
    with pytest.raises(InDoubt):
        session(server, max_answer_bytes=1000).write("POST", "x")


def test_accepted_statuses_come_back_and_empty_bodies_are_none(peer):
    server = peer(saying(answer("", 404), answer("", 204)))
    http = session(server)
    assert http.read(path="x", accept=(404,)).status == 404
    assert http.write("PATCH", "x", json={}).json is None


# --- the connector's judgement


def test_judge_decides_and_its_errors_are_completed(peer):
    def judge(given: Answer) -> Exception | None:
        if given.status == 401:
            return Misconfigured(
                f"wrong key top-secret-key at {given.method} {given.path}", detail={"k": "top-secret-key"}
            )
        if given.status == 503 and given.is_write:
            return Retryable("closed for maintenance")
        return None

    server = peer(saying(answer("{}", 401), answer("", 503, more="Retry-After: 3\r\n"), answer("", 500)))
    http = session(server, judge=judge, redact=["top-secret-key"])
    with pytest.raises(Misconfigured) as refused:
        http.read(path="x?token=abc")
    assert str(refused.value) == "probe: wrong key [hidden] at GET /x"
    assert (refused.value.status, refused.value.detail) == (401, {"k": "[hidden]"})
    with pytest.raises(Retryable) as closed:
        http.write("POST", "x")
    assert closed.value.retry_after == 3.0
    with pytest.raises(InDoubt):
        http.write("POST", "x")


# --- secrets


def test_no_secret_reaches_a_log_or_a_text(peer, caplog):
    caplog.set_level(logging.DEBUG)
    server = peer(saying(answer('{"message": "bad password hunter2hunter2", "echo": "Bearer abcdef123456"}', 400)))
    http = session(
        server,
        redact=["hunter2hunter2"],
        auth=lambda request: (request.headers.update(Authorization="Bearer abcdef123456"), request)[1],
    )
    http.hide("late-secret")
    with pytest.raises(Rejected) as failure:
        http.read(
            path="late-secret/x",
            params={"access_token": "abcdef123456"},
            headers={"Cookie": "B1SESSION=0815-4711"},
        )
    with pytest.raises(Retryable) as refused:
        HttpSession(f"http://127.0.0.1:{free_port()}", system="probe", read_retries=0).read(
            path="x", params={"token": "abcdef123456"}
        )
    for text in (caplog.text, repr(failure.value), str(failure.value), str(failure.value.detail), str(refused.value)):
        for secret in ("hunter2hunter2", "abcdef123456", "0815-4711", "late-secret"):
            assert secret not in text
    assert refused.value.__suppress_context__
    assert b"Bearer abcdef123456" in server.requests[0]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('Authorization: OAuth oauth_token="abc123", oauth_signature="x%3D"', "abc123"),
        ("{'Cookie': 'B1SESSION=4711; ROUTEID=.node1'}", "4711"),
        ('{"UserName":"manager","Password":"se cr\\"et"}', "cr"),
        ("https://user:pa55word@host/x", "pa55word"),
        ("GET /x?searchCriteria=&access_token=deadbeef HTTP/1.1", "deadbeef"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.c2ln is bad", "eyJpZCI6MX0"),
        ("login with Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ],
)
def test_redact(text, secret):
    assert secret not in redact(text)


def test_redact_leaves_prose_alone():
    text = "Invalid session or session already timeout. The nonce is already used; check the password."
    assert redact(text) == text


def test_a_secret_with_a_line_break_is_not_quoted(peer):
    http = session(peer(saying(answer())), headers={"Authorization": "Bearer s3cr3t-token\nX: y"})
    with pytest.raises(Misconfigured) as failure:
        http.read(path="x")
    assert "s3cr3t" not in str(failure.value) and failure.value.__suppress_context__


@pytest.mark.parametrize(
    "url", ["", "erp.example", "ftp://x", "http://", "https://u:p@x", "http://x:y", "http://x/?a=b"]
)
def test_a_url_that_cannot_work_is_refused_at_once(url):
    with pytest.raises(Misconfigured):
        HttpSession(url, system="probe")


# --- TLS, hooks, fork


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "probe")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_tls_is_verified_unless_told_otherwise(peer, certificate):
    server = peer(saying(answer('{"ok": 1}')), server_tls(certificate))
    url = f"https://127.0.0.1:{server.port}"
    with pytest.raises(Misconfigured, match="certificate"):
        HttpSession(url, system="probe").write("POST", "x", json={})
    assert server.requests == []
    assert HttpSession(url, system="probe", verify=str(certificate[0])).write("POST", "x", json={}).json == {"ok": 1}
    with pytest.warns(Warning, match="Unverified"):
        assert HttpSession(url, system="probe", verify=False).read(path="x").json == {"ok": 1}
    with pytest.raises(Misconfigured, match="CA file"):
        HttpSession(url, system="probe", verify="no-such-file.pem")


def test_a_tls_write_after_a_reset_is_in_doubt(peer, certificate):
    server = peer(BROKEN["reset after reading"], server_tls(certificate))
    http = HttpSession(f"https://127.0.0.1:{server.port}", system="probe", verify=str(certificate[0]))
    with pytest.raises(InDoubt):
        http.write("POST", "x", json={})
    assert server.connections == 1


def test_hooks_see_every_attempt(peer):
    server = peer(saying(answer("", 502), answer("[]")))
    sent: list[str | None] = []
    seen: list[int | None] = []
    hooks = Hooks(
        sending=lambda request: sent.append(request.url),
        answered=lambda method, path, status, seconds: seen.append(status),
        sleep=lambda _: None,
    )
    session(server, hooks=hooks).read(path="x", params={"a": "b"})
    assert [str(url).rpartition("/")[2] for url in sent] == ["x?a=b"] * 2
    assert seen == [502, 200]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking a process that has threads
def test_a_fork_does_not_share_connections(peer):
    server = peer(saying(answer()))
    http = session(server)
    http.read(path="x")
    child = os.fork()
    if child == 0:
        try:
            http.read(path="x")
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    http.read(path="x")
    assert server.connections == 2


# --- errors


def test_errors_survive_pickling_with_all_they_carry():
    first = Retryable("later", retry_after=2.5, system="b1", status=429, code="-1", detail={"a": [1]})
    again = pickle.loads(pickle.dumps(first))
    assert vars(again) == vars(first) and str(again) == "b1: later" and again.args == ("later",)
    assert pickle.loads(pickle.dumps(BadInput("no", field="a.b"))).field == "a.b"


def test_the_tree_atop_errors_is_the_tree():
    drawn = [line.split("── ")[1].split()[0] for line in (errors.__doc__ or "").splitlines() if "── " in line]
    real = [kind.__name__ for kind in errors.DataWaldError.__subclasses__() if kind.__module__ == errors.__name__]
    assert drawn == real

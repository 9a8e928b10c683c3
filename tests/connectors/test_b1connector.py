"""The Service Layer connector: its judgement of recorded refusals, its sessions and walks against a scripted server,
all of it against the sandbox as a real process."""

from __future__ import annotations

import json
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from wire import Sandbox

from datawald.domain.errors import BadInput, DataWaldError, InDoubt, Misconfigured, Rejected, Retryable
from datawald.http import Answer, Hooks
from flask_b1connector import B1Connector, MaybeDraft
from flask_b1connector.answers import SessionGone, StaleNode, judge, said
from flask_b1connector.odata import both, either, entity_path, key_of, literal, selected

# --- a Service Layer that does what a script says


class Layer:
    """Answers logins by itself and everything else from ``script(method, path, query, body, session)``.

    The script returns status, body (None: empty) and optionally headers. ``calls`` keeps what was asked.
    """

    def __init__(self, script: Callable[..., Any]) -> None:
        self.script = script
        self.calls: list[tuple[str, str, dict[str, str], str]] = []
        self.logins = 0
        self.logging_in = 0
        self.login_answers: list[tuple[int, Any]] = []
        self.login_seconds = 0.0
        self.live: set[str] = set()
        self.busy: dict[str, int] = {}
        self.busiest = 0
        self.parallel_logins = False
        lock = threading.Lock()
        layer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null", parse_float=Decimal)
                parts = urlsplit(self.path)
                path = unquote(parts.path.removeprefix("/b1s/v2/"))
                if path == "Login":
                    self.answer(*layer.login(body, lock))
                    return
                cookie = self.headers.get("Cookie", "")
                session = (re.search(r"B1SESSION=([^;]+)", cookie) or ["", ""])[1]
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                with lock:
                    layer.calls.append((self.command, path, query, session))
                    layer.busy[session] = layer.busy.get(session, 0) + 1
                    layer.busiest = max(layer.busiest, layer.busy[session])
                    known = session in layer.live and "ROUTEID=.node1" in cookie
                status, reply, more = 401, v2("301", "Invalid session or session already timeout."), []
                if known:
                    status, reply, *more = layer.script(self.command, path, query, body, session)
                with lock:
                    layer.busy[session] -= 1
                self.answer(status, reply, list(more[0].items()) if more else [])

            do_GET = do_POST = do_PATCH = handle_any

            def answer(self, status: int, reply: Any, headers: list[tuple[str, str]]) -> None:
                data = b"" if reply is None else reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                pairs = list(headers)
                self.send_response(status)
                if not any(name == "Content-Type" for name, _ in pairs):
                    pairs.append(("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8"))
                for name, value in pairs:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def login(self, body: Any, lock: Any) -> tuple[int, Any, list[tuple[str, str]]]:
        with lock:
            self.logins += 1
            self.logging_in += 1
            self.parallel_logins |= self.logging_in > 1
            number = self.logins
            scripted = self.login_answers.pop(0) if self.login_answers else None
        time.sleep(self.login_seconds)
        with lock:
            self.logging_in -= 1
            if scripted:
                return *scripted, []
            session = f"session-{number}"
            self.live.add(session)
        cookies = [f"B1SESSION={session};HttpOnly;;Secure;SameSite=None", "ROUTEID=.node1; path=/b1s"]
        return 200, {"SessionId": session, "SessionTimeout": 30}, [("Set-Cookie", one) for one in cookies]


def v2(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "details": [{"code": "", "message": ""}], "message": message}}


@pytest.fixture
def layer() -> Iterator[Callable[..., Layer]]:
    made: list[Layer] = []

    def make(script: Callable[..., Any] = lambda *_: (200, {"value": []})) -> Layer:
        made.append(Layer(script))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def connect(layer: Layer, **options: Any) -> B1Connector:
    return B1Connector(layer.url, company_db="SBO", username="manager", password="pass-4711", **options)


# --- configuration and literals


def test_the_application_configures_it():
    from flask import Flask

    app = Flask("erp")
    app.config.update(B1_ENDPOINT="https://sap.example:50000/", B1_COMPANY_DB="SBO", B1_USERNAME="m", B1_PASSWORD="p-1")
    connector = B1Connector()
    with pytest.raises(Misconfigured, match="no endpoint"):
        connector.probe()
    connector.init_app(app)
    assert app.extensions["b1connector"]["B1_"] is connector
    assert connector._session.base_url == "https://sap.example:50000/b1s/v2"
    with pytest.raises(Misconfigured, match="v1"):
        B1Connector("https://sap.example:50000/b1s/v1", company_db="a", username="b", password="c")
    with pytest.raises(Misconfigured, match="company_db, password"):
        B1Connector("https://sap.example:50000", username="b")


def test_literals_and_paths():
    assert literal("O'Neil") == "'O''Neil'"
    assert literal(date(2026, 1, 31)) == "'2026-01-31'"
    assert literal(Decimal("1E+2")) == "100"
    for bad in (True, datetime(2026, 1, 1, tzinfo=UTC)):
        with pytest.raises(BadInput):
            literal(bad)
    assert entity_path("Orders", 5) == "Orders(5)"
    assert entity_path("Items", "A/B 'C' ü") == "Items('A%2FB%20''C''%20%C3%BC')"
    assert entity_path("SpecialPrices", {"CardCode": "C", "ItemCode": "A;1"}) == (
        "SpecialPrices(CardCode='C',ItemCode='A%3B1')"
    )
    assert (key_of("Orders"), key_of("Items"), key_of("U_DW")) == ("DocEntry", "ItemCode", "Code")
    with pytest.raises(BadInput):
        key_of("SpecialPrices")


def test_filters_are_joined_and_bounded():
    assert both(None, None) is None
    assert both("a eq 1 or b eq 2", "c gt 3") == "(a eq 1 or b eq 2) and (c gt 3)"
    assert both("(a eq 1)", "(b eq 2) or (c eq ')')") == "(a eq 1) and ((b eq 2) or (c eq ')'))"
    assert list(either("f", ["a", "a", "b'"], 1000)) == ["(f eq 'a' or f eq 'b''')"]
    chunks = list(either("NumAtCard", [f"{number:09d}" for number in range(500)], 2000))
    assert sum(chunk.count(" eq ") for chunk in chunks) == 500
    assert len(chunks) > 5 and max(map(len, chunks)) <= 2000
    assert list(either("f", ["x" * 5000], 100)) == [f"(f eq '{'x' * 5000}')"]
    assert list(either("f", [], 100)) == []
    assert selected("DocNum, CardCode", "DocEntry") == "DocEntry,DocNum,CardCode"
    assert selected(None, "DocEntry") is None


# --- what refusals mean


def given(status: int, body: Any, method: str = "POST", path: str = "/Orders", write: bool | None = None) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    is_write = method != "GET" if write is None else write
    return Answer(status, {}, None if isinstance(body, str) else body, text, method, path, is_write)


def test_both_error_shapes_are_read():
    old = {"error": {"code": -2028, "message": {"lang": "en-us", "value": "No matching records\n found"}}}
    assert said(old) == ("-2028", "No matching records found")
    assert said(v2("-10", "refused")) == ("-10", "refused")
    assert said(None) == said([]) == said({"error": "x"}) == ("", "")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (given(401, v2("301", "Invalid session")), SessionGone),
        (given(401, v2("301", "Invalid session"), path="/Login"), Misconfigured),
        (given(401, v2("-304", "Fail to NONE-SSO login from SLD."), path="/Login"), Misconfigured),
        (given(403, v2("0", "no right")), Misconfigured),
        (given(500, v2("299", "SAML Login Failed"), path="/Login", write=False), Retryable),
        (given(500, v2("299", "SAML Login Failed")), type(None)),
        (given(500, v2("407", "Table definition not found"), "GET"), StaleNode),
        (given(500, v2("407", "Table definition not found")), type(None)),
        (given(500, ""), type(None)),
        (given(502, "<html>Proxy Error</html>"), type(None)),
        (given(400, v2("-10", "10001069 - Quantity falls into negative inventory")), Rejected),
        (given(400, v2("-1116", "their own text")), Rejected),
        (given(413, "<html>Too large</html>"), Rejected),
        (given(404, v2("-2028", "No matching records found (ODBC -2028)")), MaybeDraft),
        (given(400, v2("-2028", "[OINV.GroupNum] , 'No matching records found (ODBC -2028)'")), MaybeDraft),
        (given(404, v2("-2028", "Entity with value(5) does not exist"), path="/Orders(5)/Cancel"), Rejected),
        (given(404, v2("-2028", "Entity with value(5) does not exist"), "PATCH", "/Orders(5)"), Rejected),
        (given(404, v2("-2028", "No matching"), path="/BusinessPartners"), Rejected),
        (given(404, v2("-2028", "No matching"), path="/Orders", write=False), Rejected),
        (given(404, "<h1>Not Found</h1>", "GET"), Misconfigured),
        (given(412, v2("-2039", "Another user modified data"), "PATCH"), Retryable),
        (given(400, v2("-1000", "Property 'U_DW_KEY' of 'Document' is invalid")), Misconfigured),
        (given(400, v2("-1000", "Property 'NoSuch' of 'Document' is invalid")), Rejected),
        (given(400, v2("201", "Property 'U_DW_KEY' is invalid"), "GET"), Misconfigured),
        (given(400, v2("-1004", "'Z' is not a valid value for property 'U_X'.")), Rejected),
    ],
)
def test_what_a_refusal_means(answer, kind):
    assert type(judge(answer)) is kind


def test_maybe_draft_names_the_column_and_survives_pickling():
    text = "[OINV.GroupNum] , 'No matching records found (ODBC -2028)'"
    error = pickle.loads(pickle.dumps(judge(given(400, v2("-2028", text)))))
    assert isinstance(error, InDoubt) and error.place == "OINV.GroupNum" and error.code == "-2028"
    assert judge(given(404, v2("-2028", "No matching records found"))).place is None  # type: ignore[union-attr]


# --- sessions


def in_threads(count: int, work: Callable[[], object]) -> list[object]:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except DataWaldError as exc:
            results.append(exc)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_logins_are_serial_sessions_bounded_and_shared(layer):
    server = layer(lambda *_: (time.sleep(0.02), (200, {"value": []}))[1])
    server.login_seconds = 0.05
    sap = connect(server, sessions=2)
    assert in_threads(24, lambda: list(sap.query("Orders"))) == [[]] * 24
    assert server.logins == 2 and not server.parallel_logins
    assert server.busiest <= 4


def test_one_caller_needs_one_session(layer):
    server = layer()
    sap = connect(server)
    for _ in range(5):
        list(sap.query("Orders"))
    assert server.logins == 1


def test_a_lost_session_is_renewed_once_for_reads_and_writes(layer):
    made: list[Any] = []

    def script(method: str, path: str, query: Any, body: Any, session: str) -> Any:
        if method == "POST":
            made.append(body)
            return 201, {"DocEntry": 7}
        return 200, {"value": []}

    server = layer(script)
    sap = connect(server)
    list(sap.query("Orders"))
    server.live.clear()
    assert list(sap.query("Orders")) == []
    server.live.clear()
    assert sap.create("Orders", {"CardCode": "C"}) == {"DocEntry": 7}
    assert len(made) == 1 and server.logins == 3


def test_a_session_that_never_lives_ends_as_retryable(layer):
    server = layer()
    sap = connect(server)
    list(sap.query("Orders"))
    server.live = set()
    real_login = server.login
    server.login = lambda *args: (reply := real_login(*args), server.live.clear(), reply)[2]  # type: ignore[method-assign]
    with pytest.raises(Retryable, match="301"):
        sap.create("Orders", {})
    assert server.logins == 2


def test_many_threads_with_a_lost_session_log_in_once(layer):
    server = layer(lambda *_: (time.sleep(0.01), (200, {"value": []}))[1])
    server.login_seconds = 0.03
    sap = connect(server, sessions=1)
    list(sap.query("Orders"))
    server.live.clear()
    assert in_threads(8, lambda: list(sap.query("Orders"))) == [[]] * 8
    assert server.logins == 2


def test_a_refused_login_is_not_repeated_by_every_thread(layer):
    server = layer()
    server.login_answers = [(401, v2("-304", "Fail to NONE-SSO login from SLD."))] * 30
    sap = connect(server)
    results = in_threads(12, lambda: list(sap.query("Orders")))
    assert all(isinstance(one, Misconfigured) and "-304" in one.message for one in results)
    assert server.logins == 1
    assert not any("pass-4711" in str(one) for one in results)


def test_a_login_disturbed_by_another_is_tried_again(layer):
    server = layer()
    server.login_answers = [(500, v2("299", "SAML Login Failed"))]
    assert list(connect(server).query("Orders")) == []
    assert server.logins == 2


def test_waiting_for_a_session_ends_at_the_deadline(layer):
    server = layer()
    server.login_seconds = 2.0
    sap = connect(server, deadline_s=0.4)
    began = time.monotonic()
    results = in_threads(3, lambda: list(sap.query("Orders")))
    assert all(isinstance(one, Retryable) for one in results)
    assert time.monotonic() - began < 1.9


def test_a_stale_node_is_left_for_another(layer):
    def script(method: str, path: str, query: Any, body: Any, session: str) -> Any:
        if session == "session-1":
            return 500, v2("407", "Table definition not found for '@X'.")
        return 200, {"value": [{"DocEntry": 1}]}

    server = layer(script)
    assert list(connect(server).query("Orders")) == [{"DocEntry": 1}]
    assert server.logins == 2


def test_close_logs_out(layer):
    server = layer(lambda *_: (204, None))
    sap = connect(server)
    sap.patch("Orders", 1, {"Comments": "x"})
    sap.close()
    assert server.calls[-1][:2] == ("POST", "Logout")
    sap.patch("Orders", 1, {"Comments": "x"})
    assert server.logins == 2


# --- walks


def paged(rows: list[dict[str, Any]], size: int = 20) -> Callable[..., Any]:
    """Answers a key walk as the Service Layer does, with a next link on every full page."""

    def script(method: str, path: str, query: dict[str, str], body: Any, session: str) -> Any:
        key = query["$orderby"].split()[0]
        after = re.search(rf"{key} gt ('(?:[^']|'')*'|\d+)", query.get("$filter", ""))
        found = sorted(rows, key=lambda row: row[key])
        if after:
            last: Any = after[1][1:-1].replace("''", "'") if after[1].startswith("'") else int(after[1])
            found = [row for row in found if row[key] > last]
        reply: dict[str, Any] = {"value": found[:size]}
        if len(found) >= size:
            reply["@odata.nextLink"] = f"{path}?$skip={size}"
        return 200, reply

    return script


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 60])
def test_a_walk_is_complete_whatever_the_servers_page(layer, count):
    rows = [{"DocEntry": number * 3} for number in range(1, count + 1)]
    assert list(connect(layer(paged(rows))).query("Orders", page_size=100)) == rows


def test_a_walk_by_text_quotes_its_keys_and_keeps_the_filter(layer):
    rows = [{"ItemCode": f"A'{number:03d}"} for number in range(50)]
    server = layer(paged(rows))
    assert list(connect(server).query("Items", "Valid eq 'tYES' or Frozen eq 'tNO'", "ItemName")) == rows
    second = server.calls[1][2]
    assert second["$filter"] == "(Valid eq 'tYES' or Frozen eq 'tNO') and (ItemCode gt 'A''019')"
    assert second["$select"] == "ItemCode,ItemName"


def test_a_walk_stops_at_a_server_that_ignores_the_key(layer):
    rows = [{"DocEntry": number} for number in range(20)]
    server = layer(lambda *_: (200, {"value": rows, "@odata.nextLink": "Orders?$skip=20"}))
    with pytest.raises(Misconfigured):
        list(connect(server).query("Orders"))
    assert len(server.calls) == 2
    with pytest.raises(Misconfigured):
        list(connect(layer(lambda *_: (200, {"value": [{"DocEntry": 2}, {"DocEntry": 1}]}))).query("Orders"))
    with pytest.raises(Misconfigured):
        list(connect(layer(lambda *_: (200, {"odd": 1}))).query("Orders"))


def test_any_of_asks_in_chunks_and_is_complete(layer):
    rows = [{"DocEntry": number, "NumAtCard": f"{number:09d}"} for number in range(1, 301)]

    def script(method: str, path: str, query: dict[str, str], body: Any, session: str) -> Any:
        wanted = set(re.findall(r"NumAtCard eq '(\d+)'", query["$filter"]))
        return paged([row for row in rows if row["NumAtCard"] in wanted])(method, path, query, body, session)

    server = layer(script)
    found = connect(server).any_of("Orders", "NumAtCard", [row["NumAtCard"] for row in rows], select="DocNum")
    assert found == rows
    assert all(call[2]["$select"] == "DocEntry,NumAtCard,DocNum" for call in server.calls)
    assert connect(server).any_of("Orders", "NumAtCard", []) == []


# --- writes


def test_writes_come_back_as_they_are_judged(layer):
    replies: dict[str, Any] = {
        "Orders": (201, {"DocEntry": 5, "DocTotal": 1.1}),
        "Quotations": (204, None),
        "Invoices": (404, v2("-2028", "No matching records found (ODBC -2028)")),
        "DeliveryNotes": (502, b"<html>Proxy Error</html>", {"Content-Type": "text/html"}),
        "Returns": (500, None),
        "Orders(5)": (204, None),
        "Orders(5)/Cancel": (204, None),
        "DeliveryNotes(5)/CreateCancellationDocument": (200, {"DocEntry": 9}),
        "CompanyService_GetAdminInfo": (200, {"CompanyName": "X"}),
        "DraftsService_SaveDraftToDocument": (204, None),
        "Drafts": (200, [1]),
    }
    sent: list[Any] = []

    def script(method: str, path: str, query: Any, body: Any, session: str) -> Any:
        sent.append(body)
        return replies[path]

    server = layer(script)
    sap = connect(server)
    made = sap.create("Orders", {"DocumentLines": [{"UnitPrice": Decimal("84.0700")}]})
    assert made == {"DocEntry": 5, "DocTotal": Decimal("1.1")}
    assert sent[-1] == {"DocumentLines": [{"UnitPrice": Decimal("84.0700")}]}
    assert sap.create("Quotations", {}) is None
    with pytest.raises(MaybeDraft):
        sap.create("Invoices", {})
    for entity_set in ("DeliveryNotes", "Returns", "Drafts"):
        with pytest.raises(InDoubt):
            sap.create(entity_set, {})
    sap.patch("Orders", 5, {"Comments": "x"}, etag='W/"' + "A" * 40 + '"')
    with pytest.raises(BadInput):
        sap.patch("Orders", 5, {}, etag='"strong"')
    assert sap.action("Orders", 5, "Cancel") is None
    assert sap.action("DeliveryNotes", 5, "CreateCancellationDocument") == {"DocEntry": 9}
    assert sap.function("CompanyService_GetAdminInfo") == {"CompanyName": "X"}
    assert sap.function("DraftsService_SaveDraftToDocument", {"Document": {"DocEntry": 5}}) is None
    assert len(server.calls) == len(sent) == 11


def test_service_operations_that_write_are_sent_once(layer):
    server = layer(lambda *_: (502, b"", {"Content-Type": "text/html"}))
    sap = connect(server, hooks=Hooks(sleep=lambda _: None))
    with pytest.raises(InDoubt):
        sap.function("DraftsService_SaveDraftToDocument", {})
    assert len(server.calls) == 1
    with pytest.raises(Retryable):
        sap.function("CompanyService_GetAdminInfo")
    assert len(server.calls) == 5


def test_a_key_with_a_slash_never_stands_in_a_path(layer):
    server = layer(paged([{"ItemCode": "A/B"}]))
    assert connect(server).get("Items", "A/B", select="ItemName") == {"ItemCode": "A/B"}
    assert server.calls[0][1] == "Items" and server.calls[0][2]["$filter"] == "ItemCode eq 'A/B'"


def test_get_tells_absent_from_broken(layer):
    replies = [
        (404, v2("-2028", "No matching records found (ODBC -2028)")),
        (404, b"<h1>Not Found</h1>", {"Content-Type": "text/html"}),
        (200, {"DocEntry": 1}),
    ]
    sap = connect(layer(lambda *_: replies.pop(0)))
    assert sap.get("Orders", 1) is None
    with pytest.raises(Misconfigured):
        sap.get("Orders", 1)
    assert sap.get("Orders", 1, select=["DocEntry"]) == {"DocEntry": 1}


# --- the sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    running = Sandbox("sandbox_sapb1")
    yield running
    running.stop()


@pytest.fixture
def company(sandbox: Sandbox) -> Iterator[Sandbox]:
    sandbox.control("POST", "/reset")
    yield sandbox


@pytest.fixture
def sap(company: Sandbox) -> Iterator[B1Connector]:
    connector = company_connector(company)
    yield connector
    connector.close()


def company_connector(company: Sandbox, **options: Any) -> B1Connector:
    options = {"company_db": "SBODEMO", "username": "manager", "password": "sandbox", "deadline_s": 5.0, **options}
    return B1Connector(company.url, **options)


def order(key: str, **more: Any) -> dict[str, Any]:
    line = {"ItemCode": "SIMPLE-1", "Quantity": Decimal(2), "UnitPrice": Decimal("84.07"), "VatGroup": "A19"}
    return {
        "CardCode": "C_WEB_DEFAULT_EUR",
        "DocDueDate": "2027-01-31",
        "NumAtCard": key,
        "U_DW_KEY": key,
        "DocumentLines": [line],
        **more,
    }


def held(company: Sandbox) -> list[str]:
    """The keys of the orders in the company, whatever the connector believes."""
    return [one["key"] for one in company.control("GET", "/orders")["orders"]]


def test_sandbox_login(company):
    assert company_connector(company).probe() is not None
    for wrong in ({"password": "wrong-pass"}, {"company_db": "NOPE"}):
        with pytest.raises(Misconfigured, match="-30[46]"):
            company_connector(company, **wrong).probe()
    company.control("POST", "/company", {"require_routeid": True, "secure_cookies": True, "login_lock": True})
    company.control("POST", "/company", {"login_seconds": 0.05})
    connector = company_connector(company, sessions=3)
    assert all(isinstance(one, datetime) for one in in_threads(16, connector.probe))


def test_sandbox_two_processes_logging_in_at_once(company):
    company.control("POST", "/company", {"login_lock": True, "login_seconds": 0.1})
    connectors = [company_connector(company) for _ in range(2)]
    answers = in_threads(2, lambda: connectors.pop().probe())
    assert all(isinstance(one, datetime) for one in answers)


def test_sandbox_an_order_there_and_back(company, sap):
    made = sap.create("Orders", order("mage2:1", Comments="O'Neil & Söhne"))
    assert made["DocTotal"] == Decimal("200.09") and made["NumAtCard"] == "mage2:1"
    again = sap.get("Orders", made["DocEntry"])
    assert again["DocumentLines"][0]["UnitPrice"] == Decimal("84.07") and again["Comments"] == "O'Neil & Söhne"
    assert sap.get("Orders", 999_999) is None
    assert sap.get("Items", "NO/SUCH 'ITEM'") is None
    assert sap.get("Items", "SIMPLE-1", select="ItemCode,ItemName")["ItemName"] == "Product SIMPLE-1"

    sap.patch("Orders", made["DocEntry"], {"Comments": "changed"}, etag=again["@odata.etag"])
    with pytest.raises(Retryable, match="-2039"):
        sap.patch("Orders", made["DocEntry"], {"Comments": "stale"}, etag=again["@odata.etag"])
    assert sap.get("Orders", made["DocEntry"])["Comments"] == "changed"
    assert sap.action("Orders", made["DocEntry"], "Cancel") is None
    with pytest.raises(Rejected, match="-5006"):
        sap.action("Orders", made["DocEntry"], "Cancel")
    with pytest.raises(Rejected, match="-2028"):
        sap.action("Orders", 999_999, "Cancel")


def test_sandbox_refusals(sap):
    with pytest.raises(DataWaldError) as failure:
        sap.create("Orders", order("mage2:2", CardCode="NOBODY"))
    assert type(failure.value) in (Rejected, MaybeDraft)
    with pytest.raises(Misconfigured, match="U_NOPE"):
        sap.create("Orders", order("mage2:2", U_NOPE="x"))
    with pytest.raises(Rejected, match="-1000"):
        sap.create("Orders", order("mage2:2", NoSuchField="x"))
    with pytest.raises(Rejected, match="201"):
        list(sap.query("Orders", "NoSuchField eq 1"))


def test_sandbox_walks_are_complete(company, sap):
    keys = [f"mage2:{number:09d}" for number in range(1, 46)]
    left = iter(keys)
    lock = threading.Lock()

    def make() -> None:
        while True:
            with lock:
                key = next(left, None)
            if key is None:
                return
            sap.create("Orders", order(key))

    assert in_threads(8, make) == [None] * 8
    rows = list(sap.query("Orders", select="U_DW_KEY", page_size=7))
    assert sorted(row["U_DW_KEY"] for row in rows) == keys
    assert [row["DocEntry"] for row in rows] == sorted(row["DocEntry"] for row in rows)
    found = sap.any_of("Orders", "U_DW_KEY", [*keys[::2], "mage2:absent", "it's"], select="DocNum")
    assert sorted(row["U_DW_KEY"] for row in found) == keys[::2]
    assert sap.any_of("Orders", "U_DW_KEY", keys, filter="NumAtCard eq 'mage2:000000003'")[0]["U_DW_KEY"] == keys[2]
    items = list(sap.query("Items", select="ItemCode"))
    assert len({row["ItemCode"] for row in items}) == len(items) > 20
    today = date.fromisoformat(company.control("GET", "/company")["now"][:10])
    changed = list(sap.changed_since("Orders", today, select="DocNum"))
    assert len(changed) == 45 and {"UpdateDate", "UpdateTime", "DocNum", "DocEntry"} <= set(changed[0])
    assert list(sap.changed_since("Orders", date(2099, 1, 1))) == []


def test_sandbox_approval(company, sap):
    company.control("POST", "/company", {"approval": "refused"})
    with pytest.raises(MaybeDraft):
        sap.create("Orders", order("mage2:3"))
    assert [row["U_DW_KEY"] for row in sap.any_of("Drafts", "U_DW_KEY", ["mage2:3"])] == ["mage2:3"]
    assert sap.any_of("Orders", "U_DW_KEY", ["mage2:3"]) == []


def test_sandbox_service_operations(sap):
    assert isinstance(sap.function("CompanyService_GetAdminInfo"), dict)


def test_sandbox_a_dead_session_is_renewed_without_a_second_order(company, sap):
    sap.probe()
    company.control("DELETE", "/sessions")
    sap.create("Orders", order("mage2:4"))
    assert held(company) == ["mage2:4"]


@pytest.mark.parametrize(
    ("fault", "orders"),
    [
        ({"kind": "reset_before"}, 0),
        ({"kind": "reset_after_commit"}, 1),
        ({"kind": "reset_commit_later", "seconds": 0.2}, 1),
        ({"kind": "status", "status": 502}, 0),
        ({"kind": "status", "status": 500, "body": ""}, 0),
        ({"kind": "drip", "seconds": 0.2}, 1),
        ({"kind": "latency", "seconds": 1.1}, 1),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
def test_sandbox_a_write_in_trouble_is_in_doubt_and_sent_once(company, fault, orders):
    sap = company_connector(company, deadline_s=0.8)
    sap.probe()
    company.fault(**fault, method="POST", path="/b1s/v2/Orders", times=3)
    began = time.monotonic()
    with pytest.raises(InDoubt):
        sap.create("Orders", order("mage2:5"))
    assert time.monotonic() - began < 1.9
    assert [rule["fired"] for rule in company.control("GET", "/faults")["faults"]] == [1]
    for _ in range(20):
        if len(held(company)) >= orders:
            break
        time.sleep(0.1)
    assert held(company) == ["mage2:5"] * orders


def test_sandbox_a_read_in_trouble_is_tried_again(company, sap):
    company.fault("reset_before", method="GET", path="/b1s/v2/Orders", times=2)
    assert list(sap.query("Orders")) == []
    company.fault("status", status=502, method="GET", times=1)
    assert sap.get("Items", "SIMPLE-1")["ItemCode"] == "SIMPLE-1"

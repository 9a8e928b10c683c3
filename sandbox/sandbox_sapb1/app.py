"""What a request to the Service Layer goes through: session, route, handler, answer.

Everything under ``/b1s/v2`` enters by one Flask route and is told apart here, since OData paths
(``Orders(12)/Cancel``, ``Items('A''B')``) are no Flask paths. Handlers work under the company's lock; JSON is written
after it is released.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flask import Flask, Request, Response, request

import sandbox_faults
from sandbox_sapb1 import deliveries, orders, queries, userfields
from sandbox_sapb1.clock import Clock
from sandbox_sapb1.company import COMPANY_DB, Company, etag
from sandbox_sapb1.control import control_routes
from sandbox_sapb1.errors import (
    NotPlayed,
    ServiceLayerError,
    action_not_supported,
    bad_query,
    invalid_session,
    no_such_entity_to_change,
    no_such_entity_to_read,
    refused,
)
from sandbox_sapb1.model import EntitySet, Row
from sandbox_sapb1.services import OPERATIONS
from sandbox_sapb1.sessions import VERSION, cookies

BASE = "/b1s/v2"
_PATH = re.compile(r"(?P<set>[A-Za-z_][A-Za-z0-9_]*)(?:\((?P<key>.*)\))?(?:/(?P<rest>.+))?", re.DOTALL)
_KEY_PART = re.compile(r"\s*(?:(?P<name>[A-Za-z_]\w*)\s*=\s*)?(?:'(?P<text>(?:[^']|'')*)'|(?P<number>-?\d+))\s*(?:,|$)")
_JSON = "application/json;odata.metadata=minimal;charset=utf-8"
_ERROR_JSON = "application/json;charset=utf-8"


@dataclass
class Answer:
    """What a handler answers: status, JSON (None: empty body), headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    text: str | None = None


def create_app(clock: Clock | None = None, switches: dict[str, Any] | None = None) -> Flask:
    """The simulator as a Flask application with its control routes and fault switches."""
    app = Flask(__name__)
    company = Company(clock or Clock(), switches)
    board = sandbox_faults.install(app)
    app.register_blueprint(control_routes(company, board))
    layer = ServiceLayer(company)

    @app.route("/b1s/<path:_path>", methods=["GET", "POST", "PATCH", "PUT", "DELETE"])
    def service_layer(_path: str) -> Response:
        return layer.answer(request)

    return app


class ServiceLayer:
    """Answers requests for one company."""

    def __init__(self, company: Company) -> None:
        self._company = company

    def answer(self, told: Request) -> Response:
        """The complete answer to one request, refusals included."""
        try:
            given = self._work(told)
        except ServiceLayerError as error:
            headers = dict(error.headers)
            if "WWW-Authenticate" not in headers:
                headers["OData-Version"] = "4.0"
            return Response(
                json.dumps(error.body()),
                error.status,
                headers=headers,
                content_type=_ERROR_JSON,
                direct_passthrough=True,
            )
        if given.text is not None:
            response = Response(given.text, given.status, content_type="text/plain;charset=utf-8")
        elif given.body is None:
            response = Response(b"", given.status)
            del response.headers["Content-Type"]
        else:
            response = Response(
                json.dumps(given.body, default=float, ensure_ascii=False), given.status, content_type=_JSON
            )
        response.headers["OData-Version"] = "4.0"
        for name, value in given.headers.items():
            response.headers[name] = value
        for cookie in given.cookies:
            response.headers.add("Set-Cookie", cookie)
        return response

    # --- routing ----------------------------------------------------------------------------------------------------

    def _work(self, told: Request) -> Answer:
        if told.headers.get("Expect"):
            # The real balancer answers a request that waits for "100 Continue" with an empty 500.
            return Answer(500, text="")
        if told.path.startswith("/b1s/v1"):
            raise NotPlayed("/b1s/v1")
        if not told.path.startswith(f"{BASE}/"):
            raise NotPlayed(told.path)
        path = told.path[len(BASE) + 1 :]
        company = self._company
        if path == "Login" and told.method == "POST":
            return self._log_in(told)
        with company.lock:
            if not self._session_lives(told):
                raise invalid_session(told.path)
            if path == "Logout" and told.method == "POST":
                company.sessions.log_out(told.cookies.get("B1SESSION"))
                return Answer(204)
            if path in OPERATIONS:
                if told.method != "POST":
                    raise NotPlayed(f"{told.method} {path}")
                result = OPERATIONS[path](company, _body(told, optional=True))
                return Answer(204) if result is None else Answer(200, result)
            match = _PATH.fullmatch(path)
            entity_set = company.model.sets.get(match["set"]) if match else None
            if match is None or entity_set is None or entity_set.name not in company.tables:
                raise NotPlayed(f"{told.method} {BASE}/{path}")
            return self._entity(told, entity_set, match["key"], match["rest"])

    def _session_lives(self, told: Request) -> bool:
        switches = self._company.switches
        if switches.require_routeid and "ROUTEID" not in told.cookies:
            return False
        return self._company.sessions.use(told.cookies.get("B1SESSION"), switches.session_minutes)

    def _log_in(self, told: Request) -> Answer:
        body = _body(told)
        company = self._company
        session = company.sessions.log_in(
            body.get("CompanyDB"), body.get("UserName"), body.get("Password"), COMPANY_DB, company.switches
        )
        minutes = company.switches.session_minutes
        return Answer(
            200,
            {
                "@odata.context": f"{_root(told)}/$metadata#B1Sessions/$entity",
                "SessionId": session,
                "Version": VERSION,
                "SessionTimeout": int(minutes) if minutes == int(minutes) else minutes,
            },
            cookies=cookies(session, company.switches.secure_cookies),
        )

    def _entity(self, told: Request, entity_set: EntitySet, key_text: str | None, rest: str | None) -> Answer:
        method = told.method
        if key_text is None:
            if rest == "$count" and method == "GET":
                return self._count(told, entity_set)
            if rest is None and method == "GET":
                return self._read_many(told, entity_set)
            if rest is None and method == "POST":
                return self._create(told, entity_set)
        else:
            if rest is None and method == "GET":
                return self._read_one(told, entity_set, key_text)
            if rest is None and method in ("PATCH", "DELETE"):
                return self._change(told, entity_set, key_text)
            if rest is not None and method == "POST":
                return self._act(told, entity_set, key_text, rest)
        raise NotPlayed(f"{method} {told.path}")

    # --- reading ----------------------------------------------------------------------------------------------------

    def _query(self, told: Request, entity_set: EntitySet) -> tuple[queries.Query, dict[str, str]]:
        wanted, headers = queries.page_preference(told.headers)
        query = queries.understand(
            told.query_string.decode("latin-1"),
            self._company.model.types[entity_set.type_name],
            self._company.switches.page_size,
            wanted,
            told.headers.get("B1S-CaseInsensitive", "").lower() == "true",
        )
        return query, headers

    def _count(self, told: Request, entity_set: EntitySet) -> Answer:
        query, _ = self._query(told, entity_set)
        table = self._company.tables[entity_set.name]
        return Answer(200, text=str(sum(1 for _ in queries.matching(table, query))))

    def _read_many(self, told: Request, entity_set: EntitySet) -> Answer:
        query, headers = self._query(told, entity_set)
        page = queries.read_page(self._company.tables[entity_set.name], query)
        body: dict[str, Any] = {"@odata.context": f"{_root(told)}/$metadata#{entity_set.name}"}
        if page.count is not None:
            body["@odata.count"] = page.count
        body["value"] = [self._render(entity_set, row, query.select) for row in page.rows]
        if page.next_query is not None:
            body["@odata.nextLink"] = f"{entity_set.name}?{page.next_query}"
        return Answer(200, body, headers)

    def _read_one(self, told: Request, entity_set: EntitySet, key_text: str) -> Answer:
        row = self._find(entity_set, key_text)
        if row is None:
            raise no_such_entity_to_read()
        query, _ = self._query(told, entity_set)
        return self._one(told, entity_set, row, 200, query.select)

    def _one(
        self, told: Request, entity_set: EntitySet, row: Row, status: int, select: tuple[str, ...] | None = None
    ) -> Answer:
        answer = Answer(status, {"@odata.context": f"{_root(told)}/$metadata#{entity_set.name}/$entity"})
        answer.body |= self._render(entity_set, row, select)
        if entity_set.etag and (select is None or "DataVersion" in select):
            answer.headers["ETag"] = etag(row["DataVersion"])
        return answer

    def _render(self, entity_set: EntitySet, row: Row, select: tuple[str, ...] | None) -> Row:
        told: Row = {}
        if entity_set.etag:
            # Without DataVersion among the selected the real one hashes 1: an ETag nobody may use.
            known = select is None or "DataVersion" in select
            told["@odata.etag"] = etag(row.get("DataVersion", 1) if known else 1)
        return told | self._company.model.types[entity_set.type_name].render(row, select)

    def _find(self, entity_set: EntitySet, key_text: str) -> Row | None:
        key = _key(key_text, self._company.model.types[entity_set.type_name].key)
        return self._company.tables[entity_set.name].get(key)

    # --- writing ----------------------------------------------------------------------------------------------------

    def _create(self, told: Request, entity_set: EntitySet) -> Answer:
        company = self._company
        body = _body(told)
        if entity_set.name == "Orders":
            posted = orders.post_order(company, body)
            row = posted.row
            quiet = "return-no-content" in told.headers.get("Prefer", "")
            if posted.is_draft and company.switches.approval == "refused" and not quiet:
                raise orders.draft_refusal()
        elif entity_set.name == "DeliveryNotes":
            row = deliveries.post_delivery(company, body)
        elif entity_set.name == "UserFieldsMD":
            row = userfields.post_user_field(company, body)
        else:
            raise NotPlayed(f"POST {told.path}")
        return self._created(told, entity_set, row)

    def _created(self, told: Request, entity_set: EntitySet, row: Row) -> Answer:
        key_names = self._company.model.types[entity_set.type_name].key
        parts = [f"'{row[name]}'" if isinstance(row[name], str) else str(row[name]) for name in key_names]
        key = (
            parts[0]
            if len(parts) == 1
            else ",".join(f"{name}={part}" for name, part in zip(key_names, parts, strict=True))
        )
        location = f"{_root(told)}/{entity_set.name}({key})"
        if "return-no-content" in told.headers.get("Prefer", ""):
            return Answer(204, headers={"Location": location, "Preference-Applied": "return-no-content"})
        answer = self._one(told, entity_set, row, 201)
        answer.headers["Location"] = location
        return answer

    def _change(self, told: Request, entity_set: EntitySet, key_text: str) -> Answer:
        row = self._find(entity_set, key_text)
        if row is None:
            raise no_such_entity_to_change(key_text)
        if told.method == "DELETE":
            if entity_set.name == "Orders":
                raise action_not_supported()
            raise NotPlayed(f"DELETE {told.path}")
        if told.headers.get("B1S-ReplaceCollectionsOnPatch", "").lower() == "true":
            raise NotPlayed("the header B1S-ReplaceCollectionsOnPatch")
        change = _CHANGES.get(entity_set.name)
        if change is None:
            raise NotPlayed(f"PATCH {told.path}")
        change(self._company, row, _body(told), told.headers.get("If-Match"))
        return Answer(204)

    def _act(self, told: Request, entity_set: EntitySet, key_text: str, action: str) -> Answer:
        company = self._company
        if (entity_set.name, action) not in _ACTIONS:
            raise NotPlayed(f"POST {told.path}")
        row = self._find(entity_set, key_text)
        if row is None:
            raise no_such_entity_to_change(key_text)
        result = _ACTIONS[entity_set.name, action](company, row, told.headers.get("If-Match"))
        if action == "CreateCancellationDocument" and result is not None:
            return self._one(told, entity_set, result, 200)
        return Answer(204)


_CHANGES: dict[str, Callable[[Company, Row, Mapping[str, Any], str | None], None]] = {
    "Orders": orders.patch_order,
    "DeliveryNotes": deliveries.patch_delivery,
}
#: Bound actions. The two ways to cancel a delivery differ in what they answer, not in what they do.
_ACTIONS: dict[tuple[str, str], Callable[[Company, Row, str | None], Row | None]] = {
    ("Orders", "Cancel"): orders.cancel_order,
    ("Orders", "Close"): orders.close_order,
    ("DeliveryNotes", "Cancel"): deliveries.cancel_delivery,
    ("DeliveryNotes", "CreateCancellationDocument"): deliveries.cancel_delivery,
}


def _root(told: Request) -> str:
    return f"{told.host_url.rstrip('/')}{BASE}"


def _body(told: Request, optional: bool = False) -> Mapping[str, Any]:
    """The JSON object of a request. Numbers stay exact: they are read as Decimal, never as float."""
    raw = told.get_data()
    if optional and not raw.strip():
        return {}
    try:
        body = json.loads(raw, parse_float=Decimal)
    except ValueError:
        raise refused("The request body is no JSON") from None  # text ours
    if not isinstance(body, dict):
        raise refused("The request body must be a JSON object")  # text ours
    return body


def _key(text: str, names: tuple[str, ...]) -> Any:
    """The key in an entity's path: ``12``, ``'A''B'``, ``DocEntry=12``, ``TableName='ORDR',FieldID=0``."""
    values: dict[str, Any] = {}
    at, unnamed = 0, 0
    while at < len(text):
        match = _KEY_PART.match(text, at)
        if match is None or match.end() == at:
            raise bad_query(f"Invalid key '{text}'")  # text ours
        name = match["name"] or (names[unnamed] if unnamed < len(names) else "")
        unnamed += 1
        values[name] = int(match["number"]) if match["number"] is not None else match["text"].replace("''", "'")
        at = match.end()
    if set(values) != set(names):
        raise bad_query(f"Invalid key '{text}'")  # text ours
    return values[names[0]] if len(names) == 1 else tuple(values[name] for name in names)

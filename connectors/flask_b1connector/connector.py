"""The connector to one SAP Business One company. The B1 agency calls it; nothing in here knows of records or flows."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from datawald.domain.errors import BadInput, DataWaldError, InDoubt, Misconfigured, Rejected, Retryable
from datawald.http import Answer, Hooks, HttpSession
from flask_b1connector.answers import NO_MATCH, SessionGone, StaleNode, judge
from flask_b1connector.odata import Key, Literal, both, either, entity_path, key_of, literal, selected
from flask_b1connector.sessions import SessionPool

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger(__name__)

#: Characters of one OR filter in the URL. Apache in front of the Service Layer takes lines of 8 KB.
MAX_FILTER_CHARS = 3000
#: Rows asked for per page; the server's default is 20.
PAGE_SIZE = 100
#: Service operations that only answer; every other one is taken for a write.
_READING = re.compile(r"_(Get\w+|InitData|Preview|PostQuery|RoundDecimal|Format_\w+)$")

#: Option of the connector, name in ``app.config`` behind the prefix.
_CONFIG = {
    "company_db": "COMPANY_DB",
    "username": "USERNAME",
    "password": "PASSWORD",
    "language": "LANGUAGE",
    "sessions": "SESSIONS",
    "system": "SYSTEM",
    "verify": "VERIFY",
    "deadline_s": "DEADLINE_S",
}


class B1Connector:
    """Reads and writes one company through the Service Layer v2.

    ``endpoint`` is the balancer's address (``https://sap.example:50000``; ``/b1s/v2`` is added). ``sessions`` bounds
    the logins, each serving four requests at once. ``language`` is SAP's number of the language of its messages.
    ``verify``: SAP's installer makes a self-signed certificate; give its CA file here rather than False.

    Fractional numbers come and go as ``Decimal``. Every call ends within ``deadline_s`` seconds, waiting for a session
    and logging in included. Raises, besides what a method names: ``Retryable`` (nothing was written), ``Misconfigured``
    (login, rights, a user-defined field that is not installed), ``Rejected`` (400 and the like; ``code`` is SAP's);
    writes also ``InDoubt`` and its child ``MaybeDraft``.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        company_db: str = "",
        username: str = "",
        password: str = "",
        language: int | str | None = None,
        sessions: int = 2,
        system: str = "sapb1",
        verify: bool | str = True,
        deadline_s: float = 30.0,
        read_retries: int = 3,
        hooks: Hooks | None = None,
    ) -> None:
        self.system = system
        self._http: HttpSession | None = None
        if endpoint is None:
            return  # configured later by init_app
        missing = [
            name
            for name, value in (("company_db", company_db), ("username", username), ("password", password))
            if not value
        ]
        if missing:
            raise Misconfigured(f"missing: {', '.join(missing)}", system=system)
        self._credentials = {"CompanyDB": company_db, "UserName": username, "Password": password}
        if language is not None:
            self._credentials["Language"] = str(language)
        self._http = HttpSession(
            _base(endpoint, system),
            system=system,
            verify=verify,
            deadline_s=deadline_s,
            read_retries=read_retries,
            redact=[password],
            judge=judge,
            hooks=hooks,
        )
        self._pool = SessionPool(self._login, sessions=sessions, system=system)

    def init_app(self, app: Flask, prefix: str = "B1_") -> None:
        """Configure from ``app.config``: ``B1_ENDPOINT``, ``B1_COMPANY_DB`` …; another prefix, another company.

        The connector is kept in ``app.extensions["b1connector"][prefix]``.
        """
        options = {
            option: app.config[prefix + name]
            for option, name in _CONFIG.items()
            if app.config.get(prefix + name) is not None
        }
        endpoint = app.config.get(prefix + "ENDPOINT")
        if not endpoint:
            raise Misconfigured(f"{prefix}ENDPOINT is not set", system=self.system)
        B1Connector.__init__(self, endpoint, **options)
        app.extensions.setdefault("b1connector", {})[prefix] = self

    def close(self) -> None:
        """Log out of all sessions (SAP counts them) and close the connections; the connector may be used again."""
        if self._http is None:
            return
        for session in self._pool.drain():
            try:
                self._http.write("POST", "Logout", headers={"Cookie": session.cookie}, deadline_s=2.0)
            except DataWaldError as exc:  # it dies by itself after 30 minutes
                log.debug("%s: logout failed: %s", self.system, exc)
        self._http.close()

    # -- reading

    def get(self, entity_set: str, key: Key, select: Iterable[str] | str | None = None) -> dict[str, Any] | None:
        """One entity, or None if SAP knows no such key. ``key``: DocEntry, code, or a mapping for a composite key.

        With ``select`` the body's ETag is worthless unless ``DataVersion`` is among it.
        """
        if isinstance(key, str) and "/" in key:
            # Apache in front refuses %2F in a path unless told otherwise.
            found = list(self.query(entity_set, f"{key_of(entity_set)} eq {literal(key)}", select))
            return found[0] if found else None
        names = select if select is None or isinstance(select, str) else ",".join(select)
        try:
            answer = self._read("GET", entity_path(entity_set, key), params={"$select": names})
        except Rejected as exc:
            if exc.status == 404 and exc.code == NO_MATCH:
                return None
            raise
        return self._entity(answer)

    def query(
        self,
        entity_set: str,
        filter: str | None = None,
        select: Iterable[str] | str | None = None,
        *,
        key: str | None = None,
        after: Literal | None = None,
        page_size: int = PAGE_SIZE,
        ignore_case: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """All matching entities, ascending by ``key`` (the set's own unless named); complete or an error.

        Walks by ``key gt last``: ``$skip`` paging is no snapshot, an insert repeats and a delete skips a row silently.
        ``after`` resumes behind a key. The key is selected even if ``select`` leaves it out. ``ignore_case`` makes HANA
        compare texts as SQL Server does.
        """
        key = key or key_of(entity_set)
        last, previous = after, set[Any]()
        while True:
            params = {
                "$filter": both(filter, None if last is None else f"{key} gt {literal(last)}"),
                "$orderby": f"{key} asc",
                "$select": selected(select, key),
            }
            headers = {"Prefer": f"odata.maxpagesize={page_size}"}
            if ignore_case:
                headers["B1S-CaseInsensitive"] = "true"
            answer = self._read("GET", entity_set, params=params, headers=headers)
            rows, more = self._rows(answer)
            keys = [row.get(key) for row in rows]
            # Text keys follow the database's collation, which only the server knows: no order can be checked here.
            numbers = [one for one in keys if isinstance(one, int)]
            wrong_order = numbers != sorted(numbers)
            if None in keys or len(set(keys)) < len(keys) or previous & set(keys) or wrong_order:
                raise self._astray(f"{entity_set} cannot be walked by {key}: missing, repeated or out of order")
            yield from rows
            # A full last page still has a next link; then comes an empty one.
            if not rows or not more:
                return
            last, previous = keys[-1], set(keys)

    def any_of(
        self,
        entity_set: str,
        field: str,
        values: Iterable[Literal],
        select: Iterable[str] | str | None = None,
        *,
        filter: str | None = None,
        key: str | None = None,
        ignore_case: bool = False,
    ) -> list[dict[str, Any]]:
        """All entities whose ``field`` is one of ``values`` (and that match ``filter``); complete or an error.

        Asks in chunks of OR filters that keep the URL short. HANA compares case-sensitively, SQL Server does not:
        compare the answers yourself. Raises Retryable, Rejected, Misconfigured.
        """
        chosen = None if select is None else selected(select, field)
        key = key or key_of(entity_set)
        found: dict[Any, dict[str, Any]] = {}
        for chunk in either(field, list(values), MAX_FILTER_CHARS):
            for row in self.query(entity_set, both(chunk, filter), chosen, key=key, ignore_case=ignore_case):
                found[row[key]] = row
        return list(found.values())

    def changed_since(
        self,
        entity_set: str,
        since_date: date,
        select: Iterable[str] | str | None = None,
        *,
        filter: str | None = None,
        after: Literal | None = None,
    ) -> Iterator[dict[str, Any]]:
        """All entities changed on or after ``since_date``, **a day in the server's local time**, ascending by key.

        The filter knows no time finer than minutes: the caller compares ``UpdateDate`` and ``UpdateTime`` itself,
        overlaps, and drops what it knows by key and ``DataVersion``. Payments, item groups, price lists and special
        prices have no such date.
        """
        if isinstance(since_date, datetime):
            raise BadInput("a day in the server's local time is wanted, not a moment", field="since_date")
        since = f"UpdateDate ge {literal(since_date)}"
        names = None if select is None else selected(selected(select, "UpdateTime"), "UpdateDate")
        yield from self.query(entity_set, both(since, filter), names, after=after)

    def probe(self) -> datetime | None:
        """A cheap read that needs a login and the right to see orders; returns the server's clock (UTC) if told."""
        answer = self._read("GET", "Orders", params={"$select": "DocEntry", "$top": 1})
        self._rows(answer)
        return answer.date

    # -- writing

    def create(self, entity_set: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Add an entity and return it as SAP holds it; None where SAP answers without one (204).

        None proves nothing: with an approval procedure it can be a draft. MaybeDraft where a document's POST is
        answered -2028. Not idempotent.
        """
        answer = self._write("POST", entity_set, json=body)
        if answer.status == 204 or not answer.text.strip():
            return None
        if not isinstance(answer.json, dict):
            raise self._unexpected(answer)
        return answer.json

    def patch(self, entity_set: str, key: Key, body: Mapping[str, Any], etag: str | None = None) -> None:
        """Change the given properties. With ``etag`` only if nobody changed it since (else Retryable: read again).

        Collections are merged by their own keys; what is not sent stays. Documents, partners and items carry ETags;
        a malformed one is ignored by SAP, so it is refused here (BadInput).
        """
        headers = {}
        if etag is not None:
            if not re.fullmatch(r'W/"[0-9A-F]{40}"', etag):
                raise BadInput('SAP ignores an ETag that is not W/"<40 upper-case hex digits>"', field="etag")
            headers["If-Match"] = etag
        self._write("PATCH", entity_path(entity_set, key), json=body, headers=headers)

    def action(
        self, entity_set: str, key: Key, name: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Call an action of one entity (``Cancel``, ``Close``, ``Reopen``, ``CreateCancellationDocument``).

        Returns the document it makes, None for the others (204).
        """
        answer = self._write("POST", f"{entity_path(entity_set, key)}/{name}", json=body)
        return answer.json if isinstance(answer.json, dict) else None

    def function(self, name: str, body: Mapping[str, Any] | None = None, *, write: bool | None = None) -> Any:
        """Call a service operation (``CompanyService_GetAdminInfo``); returns its JSON, None for an empty answer.

        Told by its name, ``…_Get…``, ``…_InitData``, ``…_Preview``, ``…_PostQuery`` are reads and tried again; any
        other is a write and sent once. ``write`` overrules.
        """
        is_write = not _READING.search(name) if write is None else write
        send = self._write if is_write else self._read
        return send("POST", name, json=body).json

    # -- inside

    def _read(self, method: str, path: str, **request: Any) -> Answer:
        return self._call(
            lambda http, headers, left: http.read(
                method, path, **{**request, "headers": headers | request.get("headers", {})}, deadline_s=left
            )
        )

    def _write(self, method: str, path: str, **request: Any) -> Answer:
        return self._call(
            lambda http, headers, left: http.write(
                method, path, **{**request, "headers": headers | request.get("headers", {})}, deadline_s=left
            )
        )

    def _call(self, send: Callable[[HttpSession, dict[str, str], float], Answer]) -> Answer:
        """``send`` within a session; once more in a new one if the session is gone, all before the deadline.

        Sending a *write* again after 401/301 is safe: SAP checks the session before it looks at the request, so the
        answer proves that nothing was processed. No other failure of a write is ever sent again.
        """
        http = self._session
        ends = time.monotonic() + http.deadline_s
        for attempt in (1, 2):
            with self._pool.session(ends) as session:
                try:
                    return send(http, {"Cookie": session.cookie}, ends - time.monotonic())
                except (SessionGone, StaleNode) as exc:
                    self._pool.drop(session)
                    if attempt == 2:
                        # A session that is gone right after its login: the balancer sent us to another node.
                        raise Retryable(
                            exc.message, system=self.system, status=exc.status, code=exc.code, detail=exc.detail
                        ) from None
        raise AssertionError("unreachable")

    def _login(self, ends: float) -> str:
        """Log in and return the Cookie header. Called by one thread at a time (see SessionPool)."""
        # A login that is lost costs SAP an idle session at most: it may be tried again like a read. So is 500 code
        # 299, "SAML Login Failed": another process logged in at the same moment.
        try:
            answer = self._session.read("POST", "Login", json=self._credentials, deadline_s=ends - time.monotonic())
        except Rejected as exc:
            raise Misconfigured(exc.message, system=self.system, status=exc.status, code=exc.code) from None
        cookies = {}
        for line in answer.cookies:
            name, _, value = line.split(";")[0].strip().partition("=")
            if name in ("B1SESSION", "ROUTEID"):
                cookies[name] = value
        if isinstance(answer.json, dict) and isinstance(answer.json.get("SessionId"), str):
            cookies.setdefault("B1SESSION", answer.json["SessionId"])
        if not cookies.get("B1SESSION"):
            raise self._astray("the answer to the login holds no session")
        self._session.hide(cookies["B1SESSION"])
        return "; ".join(f"{name}={value}" for name, value in cookies.items())

    def _rows(self, answer: Answer) -> tuple[list[dict[str, Any]], bool]:
        rows = answer.json.get("value") if isinstance(answer.json, dict) else None
        if not isinstance(rows, list):
            raise self._astray(f"{answer.path} answered no list: {answer.plain}")
        return rows, bool(answer.json.get("@odata.nextLink") or answer.json.get("odata.nextLink"))

    def _entity(self, answer: Answer) -> dict[str, Any]:
        if not isinstance(answer.json, dict):
            raise self._astray(f"{answer.path} answered no entity: {answer.plain}")
        return answer.json

    def _astray(self, what: str) -> Misconfigured:
        return Misconfigured(self._session.redact(what), system=self.system)

    def _unexpected(self, answer: Answer) -> InDoubt:
        said = f"{answer.method} {answer.path} answered {answer.plain} instead of an entity"
        return InDoubt(self._session.redact(said), system=self.system, status=answer.status)

    @property
    def _session(self) -> HttpSession:
        if self._http is None:
            raise Misconfigured("no endpoint is configured", system=self.system)
        return self._http


def _base(endpoint: str, system: str) -> str:
    base = endpoint.strip().rstrip("/")
    path = urlsplit(base).path
    if path.endswith("/b1s/v1"):
        raise Misconfigured("Service Layer v1 is not spoken here: the URL must end with /b1s/v2", system=system)
    return base if path.endswith("/b1s/v2") else f"{base.removesuffix('/b1s')}/b1s/v2"

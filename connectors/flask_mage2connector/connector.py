"""The connector to one Magento 2 shop. The Magento agency calls it; nothing in here knows of records or flows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests
from requests_oauthlib import OAuth1

from datawald.domain.errors import BadInput, InDoubt, Misconfigured, Rejected, Retryable
from datawald.http import Answer, Hooks, HttpSession
from flask_mage2connector.answers import judge
from flask_mage2connector.search import Filter, criteria, stamp

if TYPE_CHECKING:
    from flask import Flask

# Both log the signed header, and the latter what it is made of, at DEBUG: never by accident.
for _name in ("requests_oauthlib", "oauthlib"):
    logging.getLogger(_name).setLevel(logging.INFO)

#: Ids per request of an ``in`` filter; keeps the URL far below the 8 KB web servers take.
CHUNK = 50

#: Option of the connector, name in ``app.config`` behind the prefix.
_CONFIG = {
    "consumer_key": "CONSUMER_KEY",
    "consumer_secret": "CONSUMER_SECRET",
    "token": "TOKEN",
    "token_secret": "TOKEN_SECRET",
    "bearer_token": "BEARER_TOKEN",
    "username": "USERNAME",
    "password": "PASSWORD",
    "system": "SYSTEM",
    "verify": "VERIFY",
    "deadline_s": "DEADLINE_S",
}


class Mage2Connector:
    """Reads and writes one Magento 2 shop over REST.

    ``endpoint`` is the shop's base URL (``https://shop.example``; a ``/rest`` behind it does no harm). One kind of
    credentials must be complete: an integration's OAuth 1.0a (``consumer_key``, ``consumer_secret``, ``token``,
    ``token_secret``: works by default), its ``bearer_token`` (off by default since Magento 2.4.4), or an admin's
    ``username`` and ``password`` (a token of 4 hours is fetched, and renewed once when it is refused).

    Fractional numbers come and go as ``Decimal``. Every call ends within ``deadline_s`` seconds. Raises, besides what
    a method names: ``Retryable`` (nothing was written), ``Misconfigured`` (401: credentials or rights; Magento never
    says 403), ``Rejected`` (400 and the like, with Magento's message filled in); writes also ``InDoubt``.

    Facts about Magento: ``magento2.md`` in the project's contracts, seen on 2.4.6 and 2.4.7.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        consumer_key: str | None = None,
        consumer_secret: str | None = None,
        token: str | None = None,
        token_secret: str | None = None,
        bearer_token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        system: str = "magento2",
        verify: bool | str = True,
        deadline_s: float = 20.0,
        read_retries: int = 3,
        hooks: Hooks | None = None,
    ) -> None:
        self.system = system
        self._http: HttpSession | None = None
        self._admin: tuple[str, str] | None = None
        self._token: str | None = None
        self._token_lock = threading.Lock()
        if endpoint is None:
            return  # configured later by init_app
        oauth = (consumer_key, consumer_secret, token, token_secret)
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None
        headers = {}
        if sum((any(oauth), bool(bearer_token), bool(username or password))) != 1:
            raise Misconfigured(
                "give one kind of credentials: OAuth, a bearer token, or an admin's name", system=system
            )
        if any(oauth):
            if not all(oauth):
                raise Misconfigured("OAuth needs consumer_key, consumer_secret, token and token_secret", system=system)
            # Magento takes only SHA256; SHA1 gives 400 "Signature method %1 is not supported".
            auth = OAuth1(*oauth, signature_method="HMAC-SHA256")
        elif bearer_token:
            headers["Authorization"] = f"Bearer {bearer_token}"
        elif username and password:
            self._admin = (username, password)
        else:
            raise Misconfigured("an admin needs username and password", system=system)
        self._http = HttpSession(
            _base(endpoint),
            system=system,
            auth=auth,
            verify=verify,
            deadline_s=deadline_s,
            read_retries=read_retries,
            redact=[one for one in (*oauth, bearer_token, password) if one],
            judge=judge,
            hooks=hooks,
            headers=headers,
        )

    def init_app(self, app: Flask, prefix: str = "MAGE2_") -> None:
        """Configure from ``app.config``: ``MAGE2_ENDPOINT``, ``MAGE2_CONSUMER_KEY`` …; another prefix, another shop.

        The connector is kept in ``app.extensions["mage2connector"][prefix]``.
        """
        options = {
            option: app.config[prefix + name]
            for option, name in _CONFIG.items()
            if app.config.get(prefix + name) is not None
        }
        endpoint = app.config.get(prefix + "ENDPOINT")
        if not endpoint:
            raise Misconfigured(f"{prefix}ENDPOINT is not set", system=self.system)
        Mage2Connector.__init__(self, endpoint, **options)
        app.extensions.setdefault("mage2connector", {})[prefix] = self

    def close(self) -> None:
        """Close the pooled connections."""
        if self._http is not None:
            self._http.close()

    # -- orders

    def orders(
        self,
        updated_from: datetime,
        page_size: int = 100,
        until: datetime | None = None,
        *,
        after_id: int | None = None,
        also: Sequence[Filter] = (),
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of all orders changed at or after ``updated_from``, ascending by ``(updated_at, entity_id)``.

        ``until`` is included. ``after_id`` resumes behind ``(updated_from, after_id)``, the last row of an earlier
        walk. ``also`` are further filters that must hold (``("store_id", "in", "1,2")``).

        Walks by key, not by page number: rows that change meanwhile move to the end and are met there again; nothing
        is skipped. A row is given once per ``updated_at``. Rows become visible at commit, seconds after their
        ``updated_at``: the caller overlaps. Raises Misconfigured if a page is not what was asked for, so that a
        server ignoring filter or order cannot keep the walk going for ever.
        """
        if page_size < 1:
            raise BadInput("a page holds at least one row", field="page_size")
        since = stamp(updated_from, "updated_from")
        bound: list[Sequence[Filter]] = [[one] for one in also]
        if until is not None:
            bound.append([("updated_at", "lteq", stamp(until, "until"))])
        condition = "gteq"
        if after_id is not None:
            yield from self._orders_of_second(since, after_id, page_size, bound)
            condition = "gt"
        given: set[int] = set()  # rows of the second ``since`` given already: gteq brings them again
        while True:
            rows = self._order_page([*bound, [("updated_at", condition, since)]], page_size)
            keys = [(str(row.get("updated_at")), key) for row, key in zip(rows, self._ids(rows), strict=True)]
            if keys != sorted(set(keys)) or (keys and keys[0][0] < since):
                raise self._astray("orders are not sorted or filtered by updated_at")
            fresh = [row for row, (_, entity_id) in zip(rows, keys, strict=True) if entity_id not in given]
            if fresh:
                yield fresh
            if len(rows) < page_size:
                return
            last, last_id = keys[-1]
            if keys[0][0] == last:
                # The whole page is of one second (a mass update): gteq would bring the same page again.
                yield from self._orders_of_second(last, last_id, page_size, bound)
                since, condition, given = last, "gt", set()
                continue
            if not fresh:
                raise self._astray("a page of orders brought nothing new")
            since, condition = last, "gteq"
            given = {entity_id for at, entity_id in keys if at == last}

    def _orders_of_second(
        self, second: str, after_id: int, page_size: int, bound: Sequence[Sequence[Filter]]
    ) -> Iterator[list[dict[str, Any]]]:
        while True:
            where = [*bound, [("updated_at", "eq", second)], [("entity_id", "gt", str(after_id))]]
            rows = self._order_page(where, page_size)
            ids = self._ids(rows)
            if ids != sorted(set(ids)) or (ids and ids[0] <= after_id):
                raise self._astray("orders are not sorted or filtered by entity_id")
            if rows:
                yield rows
                after_id = ids[-1]
            if len(rows) < page_size:
                return

    def _order_page(self, groups: Sequence[Sequence[Filter]], page_size: int) -> list[dict[str, Any]]:
        return self._items("orders", criteria(groups, sort=("updated_at", "entity_id"), page_size=page_size))

    def orders_by_increment_id(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """All orders with these numbers. A number can occur once per store view: there may be more rows than ids."""
        return self._any_of("orders", "increment_id", ids)

    def order(self, entity_id: int) -> dict[str, Any] | None:
        """One order by its internal id, or None if there is none."""
        return self._one(f"orders/{entity_id:d}")

    def comment_order(
        self, order_id: int, comment: str, status: str, *, notify: bool = False, visible: bool = False
    ) -> None:
        """Add a comment to an order's history. ``status`` must be the order's current one.

        Left out, Magento 2.4.6 erases the order's status (magento2#34180); any other text is accepted as status there
        and refused by 2.4.7. ``notify`` mails the customer, ``visible`` shows the comment in the customer's account.
        """
        if not status:
            raise BadInput("a comment needs the order's current status", field="status")
        history = {
            "comment": comment,
            "status": status,
            "parent_id": order_id,
            "is_customer_notified": int(notify),
            "is_visible_on_front": int(visible),
        }
        answer = self.write("POST", f"orders/{order_id:d}/comments", {"statusHistory": history})
        if answer.json is not True:
            raise self._unexpected(answer, "true")

    def set_ext_order_id(self, order_id: int, ext_order_id: str) -> None:
        """Store our reference on the order; it changes nothing else. The answer shows nulls: re-read to see it."""
        self.write("POST", "orders", {"entity": {"entity_id": order_id, "ext_order_id": ext_order_id}})

    # -- shipments

    def shipments_of(self, order_ids: Iterable[int]) -> list[dict[str, Any]]:
        """Every shipment of these orders, complete (all pages), ascending by ``entity_id`` within 50 orders."""
        return self._any_of("shipments", "order_id", [str(one) for one in order_ids])

    def ship(self, order_id: int, payload: Mapping[str, Any]) -> str:
        """Make a shipment and return its ``entity_id``. **Not idempotent, and cuts quantities silently**: read back.

        ``payload`` as ``POST /V1/order/{id}/ship`` takes it. Without ``items`` Magento ships all that is open, so an
        empty list is refused here (BadInput).
        """
        if not payload.get("items"):
            raise BadInput("a shipment without items would ship everything that is open", field="items")
        answer = self.write("POST", f"order/{order_id:d}/ship", payload)
        return self._new_id(answer, answer.json)

    def add_track(self, payload: Mapping[str, Any]) -> str:
        """Add a tracking number to a shipment and return the track's ``entity_id``; Magento accepts duplicates.

        ``payload``: ``order_id``, ``parent_id`` (the shipment), ``track_number``, ``title``, ``carrier_code``.
        """
        answer = self.write("POST", "shipment/track", {"entity": payload})
        return self._new_id(answer, answer.json.get("entity_id") if isinstance(answer.json, dict) else answer.json)

    # -- catalogue and stores

    def product(self, sku: str) -> dict[str, Any] | None:
        """One product with its global values, or None. Case is ignored: compare with the ``sku`` in the answer.

        By filter, never by path: a path with ``%2F``, ``%2B`` or ``%26`` breaks the OAuth signature (magento2#37913).
        """
        found = self.products([sku])
        return found[0] if found else None

    def products(self, skus: Sequence[str]) -> list[dict[str, Any]]:
        """The products with these SKUs, with their global values (store ``all``)."""
        return self._any_of("products", "sku", skus, store="all", key="entity_id", key_shown="id")

    def store_views(self) -> list[dict[str, Any]]:
        """All store views: ``id``, ``code``, ``website_id``, …; the admin's own has id 0."""
        return self._list("store/storeViews")

    def store_configs(self) -> list[dict[str, Any]]:
        """URL, currencies, locale and time zone of each store view."""
        return self._list("store/storeConfigs")

    def probe(self) -> datetime | None:
        """A cheap read that needs the right to see orders; returns the shop's clock (UTC) where it tells it."""
        where = criteria([[("entity_id", "eq", "0")]], page_size=1)
        answer = self.read("orders", [*where, ("fields", "items[entity_id],total_count")])
        if not isinstance(answer.json, dict) or "total_count" not in answer.json:
            raise Misconfigured(f"this does not answer like Magento: {answer.plain}", system=self.system)
        return answer.date

    # -- any route

    def read(
        self, route: str, params: Sequence[tuple[str, str]] = (), *, store: str | None = None, method: str = "GET"
    ) -> Answer:
        """Read ``/rest/[store/]V1/route``; ``route`` is percent-encoded. Tried again as reads are."""
        path = _path(route, store)
        return self._call(
            lambda http, headers, left: http.read(method, path, params=params, headers=headers, deadline_s=left)
        )

    def write(
        self, method: str, route: str, body: Any = None, *, store: str | None = None, deadline_s: float | None = None
    ) -> Answer:
        """Write to ``/rest/[store/]V1/route``, sent once (again only after a 401, with a fresh admin token)."""
        path = _path(route, store)
        return self._call(
            lambda http, headers, left: http.write(method, path, json=body, headers=headers, deadline_s=left),
            deadline_s,
        )

    def search(
        self,
        route: str,
        groups: Sequence[Sequence[Filter]] = (),
        *,
        page_size: int = 100,
        store: str | None = None,
        key: str = "entity_id",
        key_shown: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """All rows of a list route that match, ascending by ``key``; complete or an error.

        Walks by ``key gt last``: page numbers repeat and skip rows when the list changes meanwhile, and Magento before
        2.4.0 repeats its last page for ever. ``key_shown`` is the key's name in the answer where it has another one.
        """
        shown, last = key_shown or key, 0
        while True:
            where = [*groups, [(key, "gt", str(last))]]
            rows = self._items(route, criteria(where, sort=(key,), page_size=page_size), store)
            ids = self._ids(rows, shown)
            if ids != sorted(set(ids)) or (ids and ids[0] <= last):
                raise self._astray(f"{route} is not sorted or filtered by {key}")
            yield from rows
            if len(rows) < page_size:
                return
            last = ids[-1]

    # -- inside

    def _any_of(
        self,
        route: str,
        field: str,
        values: Sequence[str],
        *,
        store: str | None = None,
        key: str = "entity_id",
        key_shown: str | None = None,
    ) -> list[dict[str, Any]]:
        wanted = list(dict.fromkeys(values))
        # "in" takes a comma list and knows no quoting: a value with a comma is asked for by itself.
        filters: list[Filter] = [(field, "eq", value) for value in wanted if "," in value]
        plain = [value for value in wanted if "," not in value]
        filters += [(field, "in", ",".join(plain[at : at + CHUNK])) for at in range(0, len(plain), CHUNK)]
        found: dict[int, dict[str, Any]] = {}
        for one in filters:
            for row in self.search(route, [[one]], store=store, key=key, key_shown=key_shown):
                found[int(row[key_shown or key])] = row
        return list(found.values())

    def _ids(self, rows: Sequence[Mapping[str, Any]], key: str = "entity_id") -> list[int]:
        try:
            return [int(row[key]) for row in rows]
        except (KeyError, TypeError, ValueError):
            raise self._astray(f"a row has no {key}") from None

    def _items(self, route: str, params: Sequence[tuple[str, str]], store: str | None = None) -> list[dict[str, Any]]:
        answer = self.read(route, params, store=store)
        items = answer.json.get("items") if isinstance(answer.json, dict) else None
        if items is None and isinstance(answer.json, dict) and answer.json.get("total_count") == 0:
            items = []  # with ``fields`` and no rows Magento answers null
        if not isinstance(items, list):
            raise self._astray(f"{route} answered without items: {answer.plain}")
        return items

    def _list(self, route: str) -> list[dict[str, Any]]:
        answer = self.read(route)
        if not isinstance(answer.json, list):
            raise self._astray(f"{route} answered no list: {answer.plain}")
        return answer.json

    def _one(self, route: str) -> dict[str, Any] | None:
        try:
            answer = self.read(route)
        except Rejected as exc:
            if exc.status == 404:  # an unknown route would have been Misconfigured
                return None
            raise
        if not isinstance(answer.json, dict):
            raise self._astray(f"{route} answered no object: {answer.plain}")
        return answer.json

    def _new_id(self, answer: Answer, value: Any) -> str:
        """Ids of new documents come as JSON strings, whatever the schema says."""
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).isdigit():
            raise self._unexpected(answer, "an id")
        return str(value)

    def _unexpected(self, answer: Answer, wanted: str) -> InDoubt:
        said = f"{answer.method} {answer.path} answered {answer.plain or 'nothing'} instead of {wanted}"
        return InDoubt(self._session.redact(said), system=self.system, status=answer.status)

    def _astray(self, what: str) -> Misconfigured:
        return Misconfigured(self._session.redact(what), system=self.system)

    @property
    def _session(self) -> HttpSession:
        if self._http is None:
            raise Misconfigured("no endpoint is configured", system=self.system)
        return self._http

    def _call(
        self, send: Callable[[HttpSession, Mapping[str, str], float], Answer], deadline_s: float | None = None
    ) -> Answer:
        """``send``, with an admin's token where one is needed; the token's requests count against the deadline."""
        http = self._session
        allowed = http.deadline_s if deadline_s is None else min(deadline_s, http.deadline_s)
        ends = time.monotonic() + allowed
        if self._admin is None:
            return send(http, {}, allowed)
        token = self._admin_token(None, ends)
        try:
            return send(http, {"Authorization": f"Bearer {token}"}, ends - time.monotonic())
        except Misconfigured as exc:
            if exc.status != 401:
                raise
        # A 401 is given before Magento runs the service: a write may be sent again, too.
        token = self._admin_token(token, ends)
        return send(http, {"Authorization": f"Bearer {token}"}, ends - time.monotonic())

    def _admin_token(self, refused: str | None, ends: float) -> str:
        """The admin's token; fetched anew if there is none or the one we have is the one ``refused``."""
        if not self._token_lock.acquire(timeout=max(0.0, ends - time.monotonic())):
            raise Retryable("no admin token in time", system=self.system)
        try:
            if self._token is not None and self._token != refused:
                return self._token
            name, password = self._admin or ("", "")
            try:
                answer = self._session.read(
                    "POST",
                    "rest/V1/integration/admin/token",
                    json={"username": name, "password": password},
                    deadline_s=ends - time.monotonic(),
                )
            except Rejected as exc:
                # With the 2FA module on: 400 "Please ask an administrator … to configure 2FA first".
                raise Misconfigured(exc.message, system=self.system, status=exc.status, detail=exc.detail) from None
            if not isinstance(answer.json, str):
                raise self._astray("the answer holds no admin token")
            self._session.hide(answer.json)
            self._token = answer.json
            return self._token
        finally:
            self._token_lock.release()


def _base(endpoint: str) -> str:
    base = endpoint.strip().rstrip("/")
    for tail in ("/V1", "/rest"):
        base = base.removesuffix(tail)
    return base


def _path(route: str, store: str | None) -> str:
    return f"rest/{quote(store, safe='') + '/' if store else ''}V1/{route}"

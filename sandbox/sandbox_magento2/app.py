"""The Flask application: one shop, the REST front door and the control routes. Made by ``create_app``."""

from __future__ import annotations

import gc
from datetime import timedelta
from typing import Any

from flask import Flask, Response, request

from sandbox_faults import install
from sandbox_magento2 import rest
from sandbox_magento2.auth import Credentials, Gate, SignedRequest, not_authorized
from sandbox_magento2.control import control_routes
from sandbox_magento2.errors import MagentoError, NotPlayed
from sandbox_magento2.generator import make_order
from sandbox_magento2.money import dumps, loads
from sandbox_magento2.routing import Request, Route, split_store
from sandbox_magento2.searchcriteria import parse_query
from sandbox_magento2.seed import open_shop
from sandbox_magento2.shop import Shop

#: Seconds between two orders generated at the start.
SECONDS_APART = 30
_ANY_VERB = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
_JSON = "application/json; charset=utf-8"
_TOKEN_ROUTE = "/V1/integration/admin/token"  # noqa: S105


def create_app(orders: int = 0, seed: int = 1, credentials: Credentials | None = None) -> Flask:
    """An application with a shop of its own, holding the recorded orders and ``orders`` generated ones."""
    app = Flask("sandbox_magento2")
    front = FrontDoor(credentials or Credentials.from_environment())
    front.reset(orders, seed)
    # Magento answers every verb itself; Flask's own OPTIONS and HEAD would hide its 405.
    app.add_url_rule("/rest/<path:_>", view_func=front.answer, methods=_ANY_VERB, provide_automatic_options=False)
    app.url_map.merge_slashes = False
    app.register_blueprint(control_routes(lambda: front.shop, front.reset))
    install(app)
    return app


class FrontDoor:
    """Answers everything under ``/rest``: finds the route, checks who calls, reads the body, runs the handler."""

    def __init__(self, credentials: Credentials) -> None:
        self.gate = Gate(credentials)
        self.shop: Shop

    def reset(self, orders: int, seed: int) -> None:
        """Open a new shop; generated orders lie in the past, evenly apart, the last one now."""
        shop = open_shop()
        now = shop.clock()
        # Orders are dictionaries by the thousand that live as long as the shop; looking through them for garbage
        # takes longer than making them.
        gc.disable()
        try:
            for number in range(orders):
                make_order(shop, seed, number, now - timedelta(seconds=SECONDS_APART * (orders - number)))
        finally:
            gc.enable()
        gc.collect()
        gc.freeze()
        self.shop = shop

    def answer(self, _: str) -> Response:
        """The view function. Works from the raw request line, since signatures and SKUs depend on its encoding."""
        if self.shop.switches.maintenance:
            page = "<html><body><h1>Service Temporarily Unavailable</h1></body></html>"
            return Response(page, 503, content_type="text/html; charset=UTF-8")
        accept = request.headers.get("Accept", "*/*")
        if "json" not in accept and "*/*" not in accept:
            if "xml" in accept:
                return _refusal(NotPlayed("answers in XML (Accept)"))
            return Response("<html><body>Internal Error</body></html>", 500, content_type="text/html; charset=UTF-8")
        try:
            result = self._work()
        except MagentoError as error:
            return _refusal(error)
        body = result if isinstance(result, rest.Text) else dumps(result)
        return Response(body, 200, content_type=_JSON)

    def _work(self) -> Any:
        raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or request.full_path
        raw_path, _, raw_query = raw.partition("?")
        below = raw_path[raw_path.index("/rest") + len("/rest") :]
        verb = request.method
        store_code, path = split_store(below, verb)
        if verb == "POST" and path == _TOKEN_ROUTE:
            with self.shop.lock:
                return rest.admin_token(self.shop, _read_body(), self.gate.admin_token)
        route, placeholders = rest.ROUTES.find(verb, path)
        self._let_in(route, raw_path, raw_query)
        body = _read_body() if verb in ("POST", "PUT") else {}
        if route.handler is None:
            raise NotPlayed(f"{verb} {route.template}")
        shop = self.shop
        with shop.lock:
            return route.handler(Request(shop, store_code, placeholders, parse_query(raw_query), body))

    def _let_in(self, route: Route, raw_path: str, raw_query: str) -> None:
        if route.resource == rest.ANONYMOUS:
            return
        header = request.headers.get("Authorization", "")
        signed = SignedRequest(request.method, request.scheme, request.host, raw_path, raw_query, header)
        switches = self.shop.switches
        self.gate.check(signed, route.resource, switches.enable_integration_as_bearer)
        if route.resource in switches.denied_resources:
            raise not_authorized(route.resource)


def _read_body() -> dict[str, Any]:
    raw = request.get_data()
    if not raw:
        return {}
    content_type = request.headers.get("Content-Type")
    if not content_type:
        raise MagentoError(400, "Content-Type header is empty.")
    media_type = content_type.partition(";")[0].strip()
    if media_type == "application/xml":
        raise NotPlayed("bodies in XML")
    if media_type != "application/json":
        raise MagentoError(400, f"Server cannot understand Content-Type HTTP header media type {media_type}")
    try:
        body = loads(raw)
    except ValueError:
        raise MagentoError(400, "Decoding error.") from None
    if not isinstance(body, dict):
        raise NotPlayed("bodies that are not a JSON object")
    return body


def _refusal(error: MagentoError) -> Response:
    return Response(dumps(error.body()), error.status, content_type=_JSON)


__all__ = ["FrontDoor", "create_app"]

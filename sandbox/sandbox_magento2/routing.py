"""From a URL under ``/rest`` to what plays it: store codes, versions, routes, verbs.

``routes.json`` lists every route and verb of an unmodified Magento Open Source 2.4.7-p3. A URL that is not in it gets
Magento's 404; one that is in it but has no handler here is refused with 501.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import unquote

from sandbox_magento2.errors import MagentoError, NotPlayed, bad_type
from sandbox_magento2.shop import STORE_VIEWS, Shop

NO_ROUTE = "Request does not match any route."
_CANNOT = "Specified request cannot be processed."
_VERBS = ("GET", "POST", "PUT", "DELETE")
_ALL_STORES = "all"


@dataclass(frozen=True)
class Request:
    """What a handler sees."""

    shop: Shop
    store_code: str
    #: the placeholders of the route, decoded
    path: dict[str, str]
    #: the query, nested as PHP nests it
    query: dict[str, Any]
    body: dict[str, Any]

    def id(self, name: str) -> int:
        """A placeholder that must be a number."""
        value = self.path[name]
        if not re.fullmatch(r"[+-]?\d+", value):
            raise bad_type(value, "int")
        return int(value)


Handler = Callable[[Request], Any]


@dataclass(frozen=True)
class Route:
    """One route and verb of Magento. ``handler`` None: Magento has it, the sandbox does not play it."""

    template: str
    pattern: re.Pattern[str]
    resource: str
    handler: Handler | None


class Routes:
    """All routes by verb; fixed parts win over placeholders."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], Route] = {}
        known = json.loads(resources.files("sandbox_magento2").joinpath("routes.json").read_text())
        for template, verbs in known.items():
            for verb in verbs:
                # The right an unplayed route needs is not known; the most general one stands in for it.
                self._routes[verb, template] = self._route(template, "Magento_Backend::admin", None)

    def _route(self, template: str, resource: str, handler: Handler | None) -> Route:
        # A trailing slash in a route's declaration means nothing to callers.
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template.rstrip("/")))
        return Route(template, re.compile(pattern), resource, handler)

    def play(self, verb: str, template: str, resource: str) -> Callable[[Handler], Handler]:
        """Decorator: ``handler`` plays this route, which must be one of Magento's."""
        if (verb, template) not in self._routes:
            raise ValueError(f"Magento has no route {verb} {template}")

        def added(handler: Handler) -> Handler:
            self._routes[verb, template] = self._route(template, resource, handler)
            return handler

        return added

    def find(self, verb: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """The route for a raw path (still percent-encoded) and its decoded placeholders, or Magento's refusal."""
        if verb not in _VERBS:
            raise MagentoError(405, f"The {verb} HTTP method is not supported.")
        path = raw_path.rstrip("/")
        found = []
        for (known_verb, template), route in self._routes.items():
            match = route.pattern.fullmatch(path) if known_verb == verb else None
            if match:
                found.append((template.count("{"), route, match))
        if not found:
            raise MagentoError(404, NO_ROUTE)
        _, route, match = min(found, key=lambda one: one[0])
        return route, {name: unquote(value) for name, value in match.groupdict().items()}

    def played(self) -> list[tuple[str, str]]:
        """Verb and template of every route with a handler."""
        return sorted((template, verb) for (verb, template), route in self._routes.items() if route.handler)


def split_store(raw_path: str, verb: str) -> tuple[str, str]:
    """Store code and the rest of the path below ``/rest``: ``/V1/…``, ``/{code}/V1/…`` or ``/all/V1/…``."""
    first, _, rest = raw_path.lstrip("/").partition("/")
    if re.match(r"V\d+$", first):
        return STORE_VIEWS[0].code, f"/{first}/{rest}"
    if first == "async" or rest.startswith("async/"):
        if verb == "GET":
            raise MagentoError(400, _CANNOT)
        raise NotPlayed(f"{verb} /rest{raw_path} (asynchronous and bulk calls)")
    if first == _ALL_STORES or first in {view.code for view in STORE_VIEWS}:
        return first, f"/{rest}"
    # An unknown code, a wrongly cased one, and /rest/v1 look the same to Magento.
    raise MagentoError(400, _CANNOT)

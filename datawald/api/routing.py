"""What a route declares: who may call it, what it reads, what it answers. The OpenAPI document is made from it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import current_app, request
from flask_restful import Resource
from pydantic import BaseModel
from werkzeug.exceptions import UnsupportedMediaType

from datawald.api.auth import KeyRing, Scope
from datawald.domain.errors import BadInput
from datawald.usecases.core import Core

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declared:
    """What :func:`route` keeps on a method for the OpenAPI document."""

    scope: Scope
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    status: int


def route(
    scope: Scope, *, body: type[BaseModel] | None = None, query: type[BaseModel] | None = None, status: int = 200
) -> Callable[[F], F]:
    """Lets a method be called by keys of ``scope`` only, with its body and query checked and handed in as models."""

    def wrap(method: F) -> F:
        @functools.wraps(method)
        def checked(self: CoreResource, **path: str) -> Any:
            self.key_ring.require(scope)
            if query is not None:
                path["query"] = query.model_validate(request.args.to_dict())  # type: ignore[assignment]
            if body is not None:
                path["body"] = body.model_validate(read_json())  # type: ignore[assignment]
            answer = method(self, **path)
            return answer if status == 200 else (answer, status)

        checked.declared = Declared(scope, body, query, status)  # type: ignore[attr-defined]
        return cast(F, checked)

    return wrap


def read_json() -> Any:
    """The request's JSON body. Raises 415 for another type, ``BadInput`` for what is no JSON."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("send JSON, with Content-Type: application/json")
    text = request.get_data(cache=False)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}", field="body") from None


class CoreResource(Resource):
    """Base of every resource: the core and the key ring of the app."""

    @property
    def core(self) -> Core:
        return cast(Core, current_app.extensions["datawald"])

    @property
    def key_ring(self) -> KeyRing:
        return cast(KeyRing, current_app.extensions["datawald_keys"])

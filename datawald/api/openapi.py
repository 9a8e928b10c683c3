"""The OpenAPI document, made from what the routes declare."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask
from pydantic import BaseModel

from datawald.api.routing import Declared

_PATH_PART = re.compile(r"<(?:[a-z]+:)?(\w+)>")

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "detail", "request_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "detail": {},
                "request_id": {"type": "string"},
            },
        }
    },
}


def document(app: Flask) -> dict[str, Any]:
    """OpenAPI 3.1 of every route of ``app``."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Error": _ERROR}
    for rule in sorted(app.url_map.iter_rules(), key=lambda one: one.rule):
        view = app.view_functions[rule.endpoint]
        if rule.endpoint == "unknown_entity":  # answers in words; it is no route of the API
            continue
        resource = getattr(view, "view_class", None)
        for verb in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            method = getattr(resource, verb.lower(), None) if resource else view
            if method is None or rule.endpoint == "static":
                continue
            path = _PATH_PART.sub(r"{\1}", rule.rule)
            operation = _operation(method, getattr(method, "declared", None), rule.rule, schemas)
            operation["operationId"] = f"{verb.lower()}_{rule.endpoint}".replace(".", "_")
            paths.setdefault(path, {})[verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "DataWald", "version": app.config["DATAWALD_VERSION"]},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def _operation(method: Any, declared: Declared | None, rule: str, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_PART.findall(rule)
    ]
    operation: dict[str, Any] = {"summary": (method.__doc__ or "").strip().split("\n")[0]}
    success = str(declared.status if declared else 200)
    operation["responses"] = {
        success: {"description": "as the summary says", "content": {"application/json": {"schema": {}}}},
        "default": {
            "description": "what went wrong, and how to mend it",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        },
    }
    if declared:
        operation["security"] = [{"key": []}]
        operation["description"] = f"Needs a key of scope `{declared.scope}`."
        if declared.query:
            parameters += _query_parameters(declared.query)
        if declared.body:
            reference = _schema(declared.body, schemas)
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    properties = model.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]


def _schema(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    whole = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= whole.pop("$defs", {})
    schemas[model.__name__] = whole
    return {"$ref": f"#/components/schemas/{model.__name__}"}

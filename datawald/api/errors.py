"""The one error envelope: ``{"error": {"code", "message", "detail", "request_id"}}``, and which status says what."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, g, jsonify
from flask_restful import Api
from pydantic import ValidationError
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException

from datawald.domain.errors import BadInput, Conflict, DataWaldError, Misconfigured, NotFound, Retryable
from datawald.usecases.core import ClockOff

log = logging.getLogger(__name__)

#: Which of our errors the caller sees as what. Anything not listed is a fault of ours: 500.
STATUS: dict[type[DataWaldError], tuple[int, str]] = {
    BadInput: (400, "bad_input"),
    NotFound: (404, "not_found"),
    Conflict: (409, "conflict"),
    Misconfigured: (409, "misconfigured"),
    ClockOff: (503, "clock_off"),
    Retryable: (503, "try_again"),
}


class Denied(DataWaldError):
    """The caller's key is missing, unknown or lacks the scope."""


def envelope(status: int, code: str, message: str, detail: Any = None) -> Response:
    body = {"error": {"code": code, "message": message, "detail": detail, "request_id": g.get("request_id", "")}}
    response = jsonify(body)
    response.status_code = status
    return response


def answer(error: Exception) -> Response:
    """The answer to a request that ended in ``error``. Never a traceback."""
    if isinstance(error, Denied):
        return envelope(error.status or 401, error.code or "unauthorized", error.message)
    if isinstance(error, ValidationError):
        wrong = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
        first = wrong[0]
        return envelope(400, "bad_input", f"{first['field'] or 'body'}: {first['message']}", {"fields": wrong[:20]})
    if isinstance(error, DataWaldError):
        status, code = STATUS.get(type(error), (500, "internal"))
        detail = {"field": error.field} if isinstance(error, BadInput) and error.field else error.detail
        return envelope(status, code, str(error), detail)
    if isinstance(error, HTTPException):
        code = (error.name or "error").lower().replace(" ", "_")
        response = envelope(error.code or 500, code, error.description or error.name)
        if error.code == 405 and getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(error.valid_methods)  # type: ignore[attr-defined]
        return response
    if isinstance(error, PyMongoError):
        log.warning("the store did not answer: %s", error)
        response = envelope(503, "store_unavailable", "the store did not answer; nothing was lost, try again")
        response.headers["Retry-After"] = "1"
        return response
    log.error("unexpected error", exc_info=error)
    return envelope(500, "internal", "an error of ours; the log has it under this request id")


class EnvelopeApi(Api):
    """Flask-RESTful ignores Flask's own error handlers inside its resources: this is the one place to turn."""

    def handle_error(self, e: Exception) -> Response:
        return answer(e)

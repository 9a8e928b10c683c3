"""Logs: one JSON object a line, with request and record ids, without secrets."""

from __future__ import annotations

import contextvars
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

#: What the lines of this thread or request are about: ``request_id``, ``claim``, ``flow``, ``record``.
about: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("about", default={})  # noqa: B039

_SECRET = re.compile(
    r"""(?ix)
    (authorization\s*[:=]\s*(?:\w+\s+)?|x-api-key\s*[:=]\s*|b1session=|password["']?\s*[:=]\s*["']?|
     (?:consumer_|token_|client_)?secret["']?\s*[:=]\s*["']?|oauth_token["']?=["']?|://[^/\s:@]+:(?=[^/\s@]+@))
    [^\s"',;&@]+
    """
)
_KEY = re.compile(r"\bdw_[0-9a-f]{8}_[A-Za-z0-9_-]{20,}")
_SEALED = re.compile(r"sealed:[A-Za-z0-9_=-]+")


def redact(text: str) -> str:
    """``text`` with everything that looks like a secret covered."""
    text = _SECRET.sub(lambda match: match.group(1) + "***", text)
    return _SEALED.sub("sealed:***", _KEY.sub("dw_***", text))


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **about.get(),
        }
        if hasattr(record, "record_id"):
            line["record"] = record.record_id
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Makes every logger of this process write JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("pymongo", "urllib3", "kombu", "amqp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))

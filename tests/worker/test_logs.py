"""Logs: one JSON object a line, with the ids it is about, without secrets."""

from __future__ import annotations

import json
import logging

import pytest

from datawald import logs


def line(message: str, **extra: str) -> dict[str, str]:
    record = logging.LogRecord("datawald", logging.INFO, __file__, 1, message, None, None)
    record.__dict__ |= extra
    told: dict[str, str] = json.loads(logs.JsonLines().format(record))
    return told


def test_a_line_names_its_request_and_its_record() -> None:
    token = logs.about.set({"request_id": "r1"})
    try:
        told = line("written", record_id="order:a>b:1")
    finally:
        logs.about.reset(token)
    assert (told["message"], told["request_id"], told["record"], told["level"]) == (
        "written",
        "r1",
        "order:a>b:1",
        "INFO",
    )


@pytest.mark.parametrize(
    "secret",
    [
        "Authorization: Bearer abc123secret",
        "x-api-key: abc123secret",
        "B1SESSION=abc123secret; Path=/",
        '{"password": "abc123secret"}',
        "mongodb://user:abc123secret@host/",
        "sealed:abc123secret==",
    ],
)
def test_secrets_are_covered(secret: str) -> None:
    assert "abc123secret" not in json.dumps(line(f"seen {secret}"))

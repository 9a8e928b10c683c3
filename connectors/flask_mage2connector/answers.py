"""What Magento's refusals mean; the connector hands :func:`judge` to its HTTP session."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datawald.domain.errors import Misconfigured, Rejected, Retryable
from datawald.http import Answer

#: The title of Magento's own maintenance page (``pub/errors/processor.php``, ``process503``). It is served by the
#: bootstrap before any application code runs. The page's sentence about "maintenance downtime or capacity problems"
#: would not do: Apache's own 503 page has it word for word.
MAINTENANCE_TITLE = "<title>Error 503: Service Unavailable</title>"

#: Magento answers 401 to wrong credentials, but 400 to ones of the wrong form.
_ABOUT_CREDENTIALS = re.compile(
    r"(?i)\b(oauth|signature method|consumer key|(token|consumer key|nonce|secret) length)\b"
)


def interpolated(body: Any) -> str:
    """Magento's message with its parameters filled in; "" where the body holds none.

    ``parameters`` is a list for ``%1`` and an object for ``%name``; price calls answer ``%name`` with a list, which
    then goes by order (``magento2.md`` §4, ``small_calls.json``). Nested ``errors`` are appended.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("message"), str):
        return ""
    message, parameters = body["message"], body.get("parameters")
    seen: list[str] = []

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if isinstance(parameters, Mapping):
            return str(parameters.get(name, match[0]))
        if isinstance(parameters, list):
            if name not in seen:
                seen.append(name)
            place = int(name) - 1 if name.isdigit() else seen.index(name)
            return str(parameters[place]) if 0 <= place < len(parameters) else match[0]
        return match[0]

    text = re.sub(r"%(\d+|[A-Za-z_]\w*)", fill, message)
    nested = body.get("errors")
    more = [interpolated(one) for one in nested] if isinstance(nested, list) else []
    return "; ".join(part for part in (text, *more) if part)


def judge(answer: Answer) -> Exception | None:
    """The error this answer means, or None for :class:`datawald.http.HttpSession`'s default.

    A 503 is ``InDoubt`` on a write like every 5xx: a proxy in front may give it after Magento has worked. Only
    Magento's own maintenance page proves that nothing was processed (``Retryable``).
    """
    message = interpolated(answer.json)
    said = f"{message or answer.plain or 'no text'} ({answer.method} {answer.path}: HTTP {answer.status})"
    detail = answer.json if isinstance(answer.json, dict) else None
    if answer.status == 503 and MAINTENANCE_TITLE in answer.text:
        return Retryable("the shop is in maintenance mode")
    if answer.status in (401, 403):
        if "nonce is already" in message:  # refused before anything ran; the next request has another one
            return Retryable(said, detail=detail)
        return Misconfigured(said, detail=detail)
    if answer.status == 404 and (not message or "does not match any route" in message):
        return Misconfigured(f"{said}; is the URL right, and the module installed?", detail=detail)
    if answer.status == 400 and "Specified request cannot be processed" in message:
        return Misconfigured(f"{said}; does the store view exist?", detail=detail)
    if answer.status == 400 and _ABOUT_CREDENTIALS.search(message):
        return Misconfigured(said, detail=detail)
    if 400 <= answer.status < 500 and answer.status not in (408, 429):
        return Rejected(said, detail=detail)
    return None

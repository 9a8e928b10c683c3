"""Speaks the till's API. Knows nothing of records or flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import requests

from datawald.domain.errors import Misconfigured
from datawald.http import HttpSession

#: References in one question: keeps the URL short.
CHUNK = 20


class TillConnector:
    """Vouchers of one till. Raises what ``HttpSession`` raises: Retryable, Rejected, Misconfigured, and InDoubt on writes."""

    def __init__(self, endpoint: str, api_key: str, *, system: str, deadline_s: float) -> None:
        if not api_key:
            raise Misconfigured("the secret 'api_key' is not set", system=system)

        def auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {api_key}"
            return request

        self._http = HttpSession(endpoint, system=system, auth=auth, deadline_s=deadline_s, redact=[api_key])

    def probe(self) -> None:
        self._http.read("GET", "vouchers", params={"limit": 1})

    def by_reference(self, references: Iterable[str]) -> list[dict[str, Any]]:
        """Every voucher that carries one of the references. Complete, or an error."""
        wanted = list(references)
        found: list[dict[str, Any]] = []
        for start in range(0, len(wanted), CHUNK):
            chunk = ",".join(wanted[start : start + CHUNK])
            found += self._http.read("GET", "vouchers", params={"references": chunk}).json["vouchers"]
        return found

    def by_code(self, codes: Iterable[str]) -> list[dict[str, Any]]:
        """Every voucher of these codes."""
        return list(self._http.read("GET", "vouchers", params={"codes": ",".join(codes)}).json["vouchers"])

    def changed(self, since: str, after: int, limit: int) -> Iterator[list[dict[str, Any]]]:
        """Pages of what changed at or after ``since``, ascending by id, behind the id ``after``."""
        while True:
            params = {"since": since, "after": after, "limit": limit}
            page = self._http.read("GET", "vouchers", params=params).json["vouchers"]
            if not page:
                return
            yield page
            after = page[-1]["id"]

    def create(self, voucher: Mapping[str, Any]) -> dict[str, Any]:
        """Sent once: whether a lost answer was a voucher is for the caller to look up."""
        created: dict[str, Any] = self._http.write("POST", "vouchers", json=voucher).json
        return created

    def change(self, number: str, voucher: Mapping[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = self._http.write("PUT", f"vouchers/{number}", json=voucher).json
        return changed

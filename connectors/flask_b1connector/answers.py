"""What the Service Layer's refusals mean; the connector hands :func:`judge` to its HTTP session.

Facts: ``sapb1.md`` in the project's contracts, §1 (sessions), §2 (errors), §4 (writes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datawald.domain.errors import DataWaldError, InDoubt, Misconfigured, Rejected, Retryable
from datawald.http import Answer

NO_MATCH = "-2028"  #: key not found, or a referenced code missing — or, on POST, a draft was made
STALE_ETAG = "-2039"
SESSION_GONE = "301"
PARALLEL_LOGIN = "299"
STALE_NODE = "407"

#: Entity sets whose documents an approval procedure can turn into a draft.
DOCUMENT_SETS = frozenset(
    """
    Orders Quotations DeliveryNotes Returns ReturnRequest Invoices CreditNotes DownPayments CorrectionInvoice
    PurchaseOrders PurchaseQuotations PurchaseRequests PurchaseDeliveryNotes PurchaseReturns PurchaseInvoices
    PurchaseCreditNotes PurchaseDownPayments InventoryGenEntries InventoryGenExits StockTransfers
    InventoryTransferRequests IncomingPayments VendorPayments
    """.split()
)


class MaybeDraft(InDoubt):
    """A POST of a document was answered -2028: an approval procedure may have made a draft of it.

    The same code says that a referenced code is missing, and then nothing exists. Only a search of ``Drafts``, then of
    the document's own set, tells the two apart.
    """

    @property
    def place(self) -> str | None:
        """The column SAP names as the missing one (``OINV.GroupNum``), if it names any: a hint, not a proof."""
        found = re.search(r"\[(@?\w+\.\w+)\]", self.message)
        return found[1] if found else None


class SessionGone(DataWaldError):
    """The session is not (or no longer) known; the request was not processed. Never leaves the connector."""


class StaleNode(DataWaldError):
    """This session's node has an outdated dictionary and fails every read. Never leaves the connector."""


def said(body: Any) -> tuple[str, str]:
    """Code and text of a Service Layer error, of v1 or v2 shape; two empty strings if it is none."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return "", ""
    message = error.get("message")
    if isinstance(message, Mapping):  # v1: {"lang": …, "value": …}
        message = message.get("value")
    return str(error.get("code", "")), " ".join(str(message or "").split())


def judge(answer: Answer) -> Exception | None:
    """The error this answer means, or None for :class:`datawald.http.HttpSession`'s default (5xx on a write: InDoubt).

    Apache in front answers 502 and 413 with HTML, and 500 may be empty: those have no code and take the default.
    """
    code, message = said(answer.json)
    text = f"{message or answer.plain or 'no text'} ({answer.method} {answer.path}: HTTP {answer.status})"
    text = f"{code}: {text}" if code else text
    about: dict[str, Any] = {"code": code or None, "detail": answer.json if code else None}
    status, is_login = answer.status, answer.path.endswith("/Login")
    if status == 401 and code == SESSION_GONE and not is_login:
        return SessionGone(text, **about)
    if status in (401, 403):
        return Misconfigured(text, **about)
    if status >= 500:
        if code == PARALLEL_LOGIN and is_login:
            return Retryable(text, retry_after=0.5, **about)  # somebody else was logging in at the same moment
        if code == STALE_NODE and not answer.is_write:
            return StaleNode(text, **about)
        return None
    if status == 404 and not code:
        return Misconfigured(f"{text}; is the URL right?", **about)
    if status == 412 or code == STALE_ETAG:
        # Somebody changed it since we read it. Nothing was written; the next attempt reads it again.
        return Retryable(text, **about)
    if code in ("201", "-1000") and re.search(r"'U_\w+'.* is invalid", message):
        # A user-defined field that is not installed (or that this node of the balancer does not show yet) fails
        # every record, not this one.
        return Misconfigured(text, **about)
    if answer.is_write and code == NO_MATCH and answer.method == "POST" and _set_of(answer.path) in DOCUMENT_SETS:
        return MaybeDraft(text, **about)
    if 400 <= status < 500 and status not in (408, 429):
        return Rejected(text, **about)
    return None


def _set_of(path: str) -> str:
    """``Orders`` for a path that ends with the bare set; "" for one entity, an action or a service operation."""
    tail = path.rstrip("/").rpartition("/")[2]
    return tail if tail.isidentifier() and "_" not in tail else ""

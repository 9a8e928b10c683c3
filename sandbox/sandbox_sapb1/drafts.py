"""Drafts that an approval procedure made: decided by a person, which here is a control route."""

from __future__ import annotations

from copy import deepcopy

from sandbox_sapb1.company import Company
from sandbox_sapb1.documents import touch
from sandbox_sapb1.model import Row
from sandbox_sapb1.orders import store_order


def pending(company: Company) -> list[Row]:
    """Drafts that await a decision, oldest first."""
    return [row for row in company.tables["Drafts"] if row["AuthorizationStatus"] == "dasPending"]


def approve(company: Company, draft: Row) -> Row:
    """The draft becomes an order with a DocEntry of its own and the same content; the draft is gone."""
    order = deepcopy(draft)
    order |= {"AuthorizationStatus": "dasGenerated", "Document_ApprovalRequests": []}
    company.tables["Drafts"].remove(draft["DocEntry"])
    return store_order(company, order)


def reject(company: Company, draft: Row, remove: bool) -> None:
    """The draft stays and says so, or is removed."""
    if remove:
        company.tables["Drafts"].remove(draft["DocEntry"])
        return
    draft["AuthorizationStatus"] = "dasRejected"
    touch(company, draft)

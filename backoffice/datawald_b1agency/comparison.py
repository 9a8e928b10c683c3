"""What an order is to be against what SAP holds: what is sent, what a clerk keeps, what cannot be. Pure.

Used by ``entities/order.py`` for orders that are booked already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from datawald.domain.agent import Delivery, Found, changes
from datawald.domain.entity import plain_decimal
from datawald.domain.errors import Rejected
from datawald.entities.order import Order
from datawald_b1agency.documents import ADDRESS, EXPENSES, LINES, Wanted, drawn, expenses_by_code, name_of

#: Line fields an order may change after it was booked.
_CHANGING_LINE = frozenset({"Quantity", "LineTotal", "FreeText"})
_AMOUNTS = frozenset({"Quantity", "LineTotal", "VatGroup", "TaxCode", "RoundingDiffAmount"})


class Comparison:
    """What we want against what SAP holds: what to send, what a clerk keeps, what cannot be.

    Raises ``Rejected`` for a change that nobody can make: an order that grew, a quantity below what was delivered.
    """

    def __init__(
        self,
        record: Delivery[Order],
        finding: Found,
        wanted: Wanted,
        lines: Mapping[str, Mapping[str, Any]],
        changing: frozenset[str],
    ) -> None:
        self._wanted, self._lines, self._changing = wanted, lines, changing
        self._document: Mapping[str, Any] = finding.document.document
        self._found = finding.content
        self._ours = [known for known in (record.sent, *record.attempts) if known is not None]
        self.notes: list[str] = []
        #: Name -> text wanted.
        self.send: dict[str, str] = {}
        #: What SAP is to hold of us, with a zero for amounts that were ours and are wanted no more.
        self.content = wanted.content()
        self.content |= self._expenses_gone(self.content)
        content = self._without_missing_lines(self.content)
        compared = changes(content, self._found, record.sent, record.attempts)
        for name, value in compared.send.items():
            self._check_quantity(name, value)
            if self._may_change(name):
                self.send[name] = value
            else:
                self.notes.append(f"{name} stays {self._found.get(name, '')!r}: it does not change once booked")
        for name, there in compared.kept.items():
            self.notes.append(f"{name} stays {there or ''!r}, which is not ours; the shop says {content[name]!r}")
        #: Our lines that are wanted no more.
        self.closing = tuple(self._lines_gone())
        after = {**self._found, **self.send}
        amounts = [name for name in content if name.rpartition("/")[2] in _AMOUNTS]
        self._amounts_agree = all(after.get(name, "0") == content[name] for name in amounts) and not self._strangers()
        if self._changes_amounts and not self._amounts_agree:
            self.notes.append("the total is not compared with the shop's: amounts were changed in SAP")
        #: Nothing of what we want differs.
        self.is_as_wanted = self._amounts_agree and not self.send and not self.closing

    @property
    def check_total(self) -> bool:
        """Whether SAP must arrive at our total afterwards: an amount of ours changes, and no clerk's is among them."""
        return self._changes_amounts and self._amounts_agree

    @property
    def _changes_amounts(self) -> bool:
        return bool(self.closing) or any(name.rpartition("/")[2] in _AMOUNTS for name in self.send)

    @property
    def only_less(self) -> bool:
        """Whether all that changes is that less is wanted."""
        return all(name.startswith((LINES, EXPENSES)) or name.startswith("Rounding") for name in self.send) and not any(
            name.endswith("/FreeText") for name in self.send
        )

    def body(self) -> dict[str, Any]:
        """The PATCH: changed fields only, lines and expenses by their number."""
        body: dict[str, Any] = {}
        parts: dict[str, dict[str, dict[str, Any]]] = {LINES: {}, EXPENSES: {}}
        for name in self.send:
            where, _, rest = name.partition("/")
            if where == ADDRESS:
                body.setdefault(ADDRESS, {})[rest] = self._wanted.address[rest]
            elif where in parts:
                part_id, _, field = rest.partition("/")
                parts[where].setdefault(part_id, {})[field] = self._value(where, part_id, field)
            else:
                body[name] = self._wanted.header[name]
        lines = [self._line_body(line_id, fields) for line_id, fields in parts[LINES].items()]
        lines += [
            {"LineNum": self._lines[line_id]["LineNum"], "UnitPrice": 0, "LineTotal": 0, "LineStatus": "bost_Close"}
            for line_id in self.closing
        ]
        expenses = [self._expense_body(code, fields) for code, fields in parts[EXPENSES].items()]
        return body | ({LINES: lines} if lines else {}) | ({EXPENSES: expenses} if expenses else {})

    def _value(self, where: str, part_id: str, field: str) -> Any:
        part = (self._wanted.lines if where == LINES else self._wanted.expenses).get(part_id, {})
        return part.get(field, Decimal(0))  # an expense that is wanted no more

    def _line_body(self, line_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        wanted = self._wanted.lines[line_id]
        if "Quantity" in fields or "LineTotal" in fields:
            # without its price and total SAP would work one out of the other, and a discount of both
            kept = {name for name in ("Quantity", "LineTotal") if self._is_kept(name_of(LINES, line_id, name))}
            if not kept:
                fields = {name: wanted[name] for name in ("Quantity", "UnitPrice", "LineTotal")} | fields
        return {"LineNum": self._lines[line_id]["LineNum"], **fields}

    def _is_kept(self, name: str) -> bool:
        return name not in self.send and self._found.get(name) != self._wanted.content().get(name)

    def _expense_body(self, code: str, fields: dict[str, Any]) -> dict[str, Any]:
        there = expenses_by_code(self._document).get(code)
        if there is None:
            return dict(self._wanted.expenses[code])
        return {"LineNum": there["LineNum"], "ExpenseCode": there["ExpenseCode"], **fields}

    def _may_change(self, name: str) -> bool:
        where, _, rest = name.partition("/")
        if where == LINES:
            return rest.rpartition("/")[2] in _CHANGING_LINE
        if where == EXPENSES:
            code, _, field = rest.partition("/")
            return field == "LineTotal" or code not in expenses_by_code(self._document)
        return where == ADDRESS or name in self._changing

    def _expenses_gone(self, content: Mapping[str, str]) -> dict[str, str]:
        """Amounts that were ours and are wanted no more."""
        names = {
            name
            for known in self._ours
            for name in known
            if name.startswith(f"{EXPENSES}/") and name.endswith("/LineTotal") and name not in content
        }
        return {name: "0" for name in sorted(names) if name in self._found}

    def _without_missing_lines(self, content: dict[str, str]) -> dict[str, str]:
        """The content without lines that SAP does not hold: a clerk took them out."""
        for line_id in self._wanted.lines:
            if line_id in self._lines:
                continue
            if not any(name_of(LINES, line_id, "Quantity") in known for known in self._ours):
                raise Rejected(f"line {line_id} is new: lines are not added to an order that is booked")
            self.notes.append(f"line {line_id} was taken out in SAP and stays out")
            content = {
                name: value for name, value in content.items() if not name.startswith(f"{name_of(LINES, line_id)}/")
            }
        return content

    def _lines_gone(self) -> Iterator[str]:
        for line_id, line in self._lines.items():
            is_closed = line.get("LineStatus") == "bost_Close"
            if line_id in self._wanted.lines or (is_closed and not Decimal(str(line.get("LineTotal") or 0))):
                continue  # the latter by us: without an amount, since a closed line still counts in the total
            if taken := drawn(line):
                raise Rejected(f"line {line_id} is wanted no more, but {plain_decimal(taken)} of it are delivered")
            if not is_closed:
                yield line_id

    def _strangers(self) -> bool:
        """Lines and expenses with an amount that are not ours: the total is not ours to judge then."""
        ours = {line["LineNum"] for line_id, line in self._lines.items() if line_id in self._wanted.lines}
        ours |= {self._lines[line_id]["LineNum"] for line_id in self.closing}
        lines = [line for line in self._document.get(LINES) or [] if line["LineNum"] not in ours]
        codes = {name.split("/")[1] for known in self._ours for name in known if name.startswith(f"{EXPENSES}/")}
        codes |= self._wanted.expenses.keys()
        expenses = [one for code, one in expenses_by_code(self._document).items() if code not in codes]
        return any(Decimal(str(one.get("LineTotal") or 0)) for one in (*lines, *expenses))

    def _check_quantity(self, name: str, value: str) -> None:
        where, _, rest = name.partition("/")
        line_id, _, field = rest.partition("/")
        if where != LINES or field != "Quantity":
            return
        there, taken = Decimal(self._found[name] or 0), drawn(self._lines[line_id])
        if Decimal(value) > there:
            raise Rejected(
                f"line {line_id} grew from {plain_decimal(there)} to {value}: orders do not grow once booked"
            )
        if Decimal(value) < taken:
            raise Rejected(f"line {line_id}: {value} are wanted, but {plain_decimal(taken)} are delivered")

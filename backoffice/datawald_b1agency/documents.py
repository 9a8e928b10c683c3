"""The sales order in SAP's terms: built from a canonical order, and read back into the same terms for comparing.

Used by ``entities/order.py``. Both directions end in *content*: a flat table of texts, one per field that is ours, named
``CardName``, ``AddressExtension/ShipToCity``, ``DocumentLines/<line id>/Quantity``,
``DocumentAdditionalExpenses/<expense code>/LineTotal``. So comparing what we want with what SAP holds is comparing texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from datawald.domain.entity import plain_decimal
from datawald.domain.errors import Rejected
from datawald.entities.order import Order, OrderLine
from datawald_b1agency.addresses import LENGTHS, address_parts, fitted
from datawald_b1agency.settings import OURS, B1Settings
from datawald_b1agency.taxes import Tax, tax_code, tax_for
from datawald_b1agency.totals import Taxed, correction, rounded

ZERO = Decimal(0)

ADDRESS, LINES, EXPENSES = "AddressExtension", "DocumentLines", "DocumentAdditionalExpenses"
#: Line id of the line that carries the rounding difference where an item does.
ROUNDING_LINE = "rounding"

#: Amounts that SAP shows in local currency, and where it shows them in the document's.
_FOREIGN = {
    (LINES, "LineTotal"): "RowTotalFC",
    (EXPENSES, "LineTotal"): "LineTotalFC",
    ("", "RoundingDiffAmount"): "RoundingDiffAmountFC",
}
#: Sent but not compared: days that depend on when it was sent, and prices that follow from totals and quantities.
_NOT_COMPARED = frozenset({"DocDate", "DocDueDate", "UnitPrice"})
_MIDNIGHT = re.compile(r"(\d{4}-\d{2}-\d{2})T00:00:00(?:\.0+)?Z?")


def text(value: Any) -> str:
    """A value of ours or SAP's as text, so that equal values are equal texts: 5, 5.0 and "5" are "5", null is ""."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "tYES" if value else "tNO"
    if isinstance(value, int | Decimal | float):
        return plain_decimal(Decimal(str(value)))
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    day = _MIDNIGHT.fullmatch(str(value))
    return day[1] if day else str(value).strip()


def name_of(*parts: str) -> str:
    """The name of a field inside content."""
    return "/".join(parts)


# --- what we want ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expense:
    """A freight or a further amount, net, in the document's currency."""

    code: int
    net: Decimal
    tax: Tax

    @property
    def body(self) -> dict[str, Any]:
        return {"ExpenseCode": self.code, "LineTotal": self.net, **self.tax.body}


@dataclass(frozen=True)
class Wanted:
    """A sales order as it is to be: what is sent, and what of it is compared."""

    header: Mapping[str, Any]
    address: Mapping[str, str]
    #: By line id, in the order they are sent.
    lines: Mapping[str, Mapping[str, Any]]
    #: By expense code.
    expenses: Mapping[str, Mapping[str, Any]]
    #: What SAP must arrive at, in the document's currency.
    total: Decimal
    #: What was cut or left out, for the operator.
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The body of ``POST /Orders``."""
        body: dict[str, Any] = {
            **self.header,
            ADDRESS: dict(self.address),
            LINES: [dict(line) for line in self.lines.values()],
        }
        if self.expenses:
            body[EXPENSES] = [dict(expense) for expense in self.expenses.values()]
        return body

    def reshaped(self, document: Mapping[str, Any], settings: B1Settings) -> Wanted:
        """This order after a project's hook (``document_for``) had its document in hand.

        Raises ``Rejected`` where the hook touched what identity and totals rest on.
        """
        header = {name: value for name, value in document.items() if name not in (ADDRESS, LINES, EXPENSES)}
        lines, expenses = list(document.get(LINES) or ()), list(document.get(EXPENSES) or ())
        if len(lines) != len(self.lines) or len(expenses) != len(self.expenses):
            raise Rejected("document_for added or took away a line or an expense: totals would not hold")
        changed = replace(
            self,
            header=header,
            address=dict(document.get(ADDRESS) or {}),
            lines=dict(zip(self.lines, lines, strict=True)),
            expenses=dict(zip(self.expenses, expenses, strict=True)),
        )
        before, after = self.content(), changed.content()
        fixed = {*OURS, settings.key_field, settings.line_udf}
        for name in before.keys() | after.keys():
            if name.rpartition("/")[2] in fixed and before.get(name) != after.get(name):
                raise Rejected(f"document_for changed {name}, which identity and totals rest on")
        return changed

    def content(self) -> dict[str, str]:
        """The fields that are compared, as texts."""
        content = _texts("", self.header)
        content |= _texts(ADDRESS, self.address)
        for line_id, line in self.lines.items():
            content |= _texts(name_of(LINES, line_id), line)
        for code, expense in self.expenses.items():
            content |= _texts(name_of(EXPENSES, code), expense)
        return content


def _texts(where: str, fields: Mapping[str, Any]) -> dict[str, str]:
    return {
        name_of(where, name) if where else name: text(value)
        for name, value in fields.items()
        if name not in _NOT_COMPARED
    }


@dataclass
class Circumstances:
    """What building a document needs besides the order and the settings; ``find`` learns it, so that ``plan`` is pure."""

    #: ``<source connection>:<increment id>``.
    key: str
    card_code: str
    #: Today in the company's zone.
    today: date
    #: Item of SAP per line id; a line that is missing here has no item.
    items: Mapping[str, str]
    #: States SAP knows, as ``<country>/<state>``.
    states: frozenset[str] = frozenset()


def bookable(order: Order, settings: B1Settings) -> Order:
    """The order in the currency it is booked in. Raises ``Rejected`` where its parts do not explain its total."""
    if order.unexplained:
        raise Rejected(
            f"lines, freight and extras leave {plain_decimal(order.unexplained)} of the shop's total "
            f"{plain_decimal(order.grand_total)} unexplained"
        )
    return in_base_currency(order, settings.total_decimals) if settings.currency == "base" else order


def wanted_document(order: Order, settings: B1Settings, about: Circumstances) -> Wanted:
    """The sales order that ``order`` (:func:`bookable`) is to become.

    Raises ``Rejected`` where it cannot be told what to book: a tax or an extra without a row in the settings, a total that
    rounding does not explain.
    """
    if rounded(order.grand_total, settings.total_decimals) != order.grand_total:
        raise Rejected(
            f"the shop's total {plain_decimal(order.grand_total)} has more than the {settings.total_decimals} decimals of SAP"
        )
    notes: list[str] = []
    static = settings.static_for(order.store_view)
    taxes = _Taxes(order, settings)
    # SAP cuts a total to its decimals; cut here, the prediction knows it
    wanted = [
        line.model_copy(update={"net": rounded(line.net, settings.total_decimals)})
        for line in order.lines
        if line.quantity
    ]
    lines = {
        line.line_id: {**_line(line, taxes.of_line(line), settings, about, notes.append), **static.line}
        for line in wanted
    }
    booked = [Taxed(line.net, taxes.of_line(line)) for line in wanted]
    expenses = _expenses(order, settings, taxes)
    booked += [Taxed(expense.net, expense.tax) for expense in expenses]
    header = {**_header(order, settings, about, notes.append), **static.header}
    difference = correction(
        order.grand_total, booked, settings.tax_rounding, settings.total_decimals, settings.rounding.cap
    )
    _carry(difference, header, lines, expenses, settings)
    return Wanted(
        header=header,
        address=_addresses(order, settings, about, notes.append),
        lines=lines,
        expenses={str(expense.code): expense.body for expense in expenses},
        total=order.grand_total,
        notes=tuple(notes),
    )


def in_base_currency(order: Order, decimals: int) -> Order:
    """The order in the shop's base currency, each amount converted and rounded by itself; the total takes what is over."""
    if order.currency == order.base_currency:
        return order
    rate = order.base_to_order_rate
    if not rate > 0:
        raise Rejected(f"the order's rate {plain_decimal(rate)} cannot be used to convert it to {order.base_currency}")

    def base(amount: Decimal) -> Decimal:
        return rounded(amount / rate, decimals)

    converted = order.model_copy(
        update={
            "currency": order.base_currency,
            "base_to_order_rate": Decimal(1),
            "lines": tuple(
                line.model_copy(update={"net": base(line.net), "tax": base(line.tax)}) for line in order.lines
            ),
            "freight": order.freight
            and order.freight.model_copy(update={"net": base(order.freight.net), "tax": base(order.freight.tax)}),
            "extras": tuple(extra.model_copy(update={"amount": base(extra.amount)}) for extra in order.extras),
            "grand_total": base(order.grand_total),
        }
    )
    return converted


class _Taxes:
    """The tax codes of one order's parts."""

    def __init__(self, order: Order, settings: B1Settings) -> None:
        self._options = settings.taxes
        address = order.shipping or order.billing
        self._country = address.country
        self._vat_id = bool(order.billing.vat_id or address.vat_id)

    def of_line(self, line: OrderLine) -> Tax:
        return tax_for(self._options, line.taxes, line.kind, self._country, self._vat_id)

    def of_freight(self, order: Order) -> Tax:
        taxes = order.freight.taxes if order.freight else ()
        return tax_for(self._options, taxes, "freight", self._country, self._vat_id)


def _header(order: Order, settings: B1Settings, about: Circumstances, note: Callable[[str], None]) -> dict[str, Any]:
    number = f"{settings.num_at_card_prefix}{order.increment_id}"
    reference = order.po_number if settings.num_at_card == "po_number" and order.po_number else number
    placed = order.placed_at.astimezone(settings.zone).date()
    comments = settings.comments.format_map(
        {
            "increment_id": order.increment_id,
            "store_view": order.store_view,
            "payment_method": order.payment_method,
            "shipping_method": order.freight.method if order.freight else "",
            "gift_message": order.gift_message,
        }
    )
    header: dict[str, Any] = {
        "CardCode": about.card_code,
        "CardName": fitted("CardName", _buyer(order), LENGTHS["CardName"], note),
        "DocCurrency": order.currency,
        "DocDate": about.today,
        "DocDueDate": about.today + timedelta(days=settings.lead_days),
        "TaxDate": placed,
        "NumAtCard": fitted("NumAtCard", reference, LENGTHS["NumAtCard"], note),
        "Comments": fitted("Comments", comments, LENGTHS["Comments"], note),
        # last: where NumAtCard carries the key, the key wins over what people see
        settings.key_field: about.key,
    }
    if settings.email_udf:
        header[settings.email_udf] = order.customer.email or order.billing.email
    if settings.phone_udf:
        header[settings.phone_udf] = (order.shipping and order.shipping.phone) or order.billing.phone
    payment = settings.payment_methods.get(order.payment_method, settings.payment_methods.get("*", ""))
    if payment:
        header["PaymentMethod"] = payment
    method = order.freight.method if order.freight else ""
    transport = settings.shipping_methods.get(method, settings.shipping_methods.get("*"))
    if method and transport is not None:
        header["TransportationCode"] = transport
    return {name: f"{value:%Y-%m-%d}" if isinstance(value, date) else value for name, value in header.items()}


def _buyer(order: Order) -> str:
    """The name on the document: the shared customer's own would tell nobody who bought."""
    person = order.billing.name or order.customer.name
    if order.billing.company and person:
        return f"{order.billing.company}, {person}"
    return order.billing.company or person or order.customer.email or order.billing.email


def _line(
    line: OrderLine, tax: Tax, settings: B1Settings, about: Circumstances, note: Callable[[str], None]
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "ItemCode": about.items.get(line.line_id, line.sku),
        "Quantity": line.quantity,
        # both, so that SAP neither looks into its price lists nor works a discount out of them
        "UnitPrice": rounded(line.net / line.quantity, settings.price_decimals),
        "LineTotal": line.net,
        **tax.body,
    }
    if line.options:
        options = line.options.replace("\n", "; ")
        body["FreeText"] = fitted(f"FreeText of {line.sku}", options, LENGTHS["FreeText"], note)
    if settings.warehouse:
        body["WarehouseCode"] = settings.warehouse
    if settings.line_udf:
        body[settings.line_udf] = line.line_id
    return body


def _expenses(order: Order, settings: B1Settings, taxes: _Taxes) -> list[Expense]:
    """Freight and further amounts as expenses, those of one code together."""
    found: list[Expense] = []
    if order.freight and (order.freight.net or order.freight.tax):
        method = order.freight.method
        code = settings.freight.get(method, settings.freight.get("*"))
        if code is None:
            raise Rejected(f"no freight expense is set for the shipping method {method!r}, nor a default ('*')")
        found.append(Expense(code, rounded(order.freight.net, settings.total_decimals), taxes.of_freight(order)))
    options = {option.code: option for option in settings.extras}
    for extra in order.extras:
        if not extra.amount:
            continue
        if extra.code not in options:
            raise Rejected(
                f"the total holds {plain_decimal(extra.amount)} of {extra.code!r}, which the settings (extras) do not book"
            )
        option = options[extra.code]
        tax = tax_code(option.vat_group, option.tax_code, (option.rate,))
        # the shop's amount is gross; SAP adds the tax again
        net = rounded(extra.amount / (1 + option.rate / 100), settings.total_decimals)
        found.append(Expense(option.expense_code, net, tax))
    together: dict[int, Expense] = {}
    for expense in found:
        known = together.get(expense.code)
        if known and known.tax != expense.tax:
            raise Rejected(
                f"expense {expense.code} would be booked with two tax codes: give them expenses of their own"
            )
        together[expense.code] = Expense(expense.code, expense.net + (known.net if known else ZERO), expense.tax)
    return list(together.values())


def _carry(
    difference: Decimal,
    header: dict[str, Any],
    lines: dict[str, dict[str, Any]],
    expenses: list[Expense],
    settings: B1Settings,
) -> None:
    """Put the rounding difference where the settings want it."""
    options = settings.rounding
    if options.carrier == "header":
        header |= {"Rounding": "tYES" if difference else "tNO", "RoundingDiffAmount": difference}
        return
    if not difference:
        return
    exempt = tax_code(options.vat_group, options.tax_code, (ZERO,))
    if options.carrier == "freight" and options.expense_code is not None:
        expenses.append(Expense(options.expense_code, difference, exempt))
        return
    line: dict[str, Any] = {
        "ItemCode": options.item_code,
        "Quantity": Decimal(1),
        "UnitPrice": difference,
        "LineTotal": difference,
        **exempt.body,
    }
    if settings.line_udf:
        line[settings.line_udf] = ROUNDING_LINE
    lines[ROUNDING_LINE] = line


def _addresses(order: Order, settings: B1Settings, about: Circumstances, note: Callable[[str], None]) -> dict[str, str]:
    # an order of services has no shipping address; SAP taxes and prints by the ship-to all the same
    ship_to = order.shipping or order.billing
    return {
        **address_parts("ShipTo", ship_to, about.states, settings, note),
        **address_parts("BillTo", order.billing, about.states, settings, note),
    }


# --- what SAP holds ----------------------------------------------------------------------------------------------------


def held_content(
    document: Mapping[str, Any], lines: Mapping[str, Mapping[str, Any]], settings: B1Settings
) -> dict[str, str]:
    """What SAP holds, in content's terms. ``lines`` are its lines by line id (:func:`lines_by_id`)."""
    foreign = is_foreign(document, settings)
    content = {
        name: _held("", name, document, foreign)
        for name in document
        if name not in (ADDRESS, LINES, EXPENSES) and not isinstance(document[name], list | Mapping)
    }
    for name, value in (document.get(ADDRESS) or {}).items():
        content[name_of(ADDRESS, name)] = text(value)
    for line_id, line in lines.items():
        for name, value in line.items():
            if not isinstance(value, list | Mapping):
                content[name_of(LINES, line_id, name)] = _held(LINES, name, line, foreign)
    for code, expense in expenses_by_code(document).items():
        for name, value in expense.items():
            if not isinstance(value, list | Mapping):
                content[name_of(EXPENSES, code, name)] = _held(EXPENSES, name, expense, foreign)
    return content


def _held(where: str, name: str, row: Mapping[str, Any], foreign: bool) -> str:
    """One field; amounts in the document's currency, which SAP shows under another name where it is not the local one."""
    other = _FOREIGN.get((where, name)) if foreign else None
    return text(row[other] if other and row.get(other) is not None else row[name])


def lines_by_id(
    document: Mapping[str, Any],
    settings: B1Settings,
    order_lines: Iterable[OrderLine] = (),
    links: Mapping[str, Any] | None = None,
) -> dict[str, Mapping[str, Any]]:
    """SAP's lines that are ours, by the shop's line id.

    Told by the line's UDF; where a clerk copied a row and its UDF with it, the row we linked is ours, else the first.
    Without the UDF by the links, and before there are any by item and order of rows.
    """
    rows: Sequence[Mapping[str, Any]] = document.get(LINES) or []
    linked = {str(line_id): str(number) for line_id, number in ((links or {}).get("lines") or {}).items()}
    found: dict[str, Mapping[str, Any]] = {}
    if settings.line_udf:
        for row in rows:
            line_id = text(row.get(settings.line_udf))
            if line_id and (line_id not in found or linked.get(line_id) == str(row.get("LineNum"))):
                found[line_id] = row
        return found
    if linked:
        by_number = {str(row.get("LineNum")): row for row in rows}
        return {line_id: by_number[number] for line_id, number in linked.items() if number in by_number}
    free = list(rows)
    for line in order_lines:
        at = next((at for at, row in enumerate(free) if is_item_of(row, line)), None)
        if at is not None:
            found[line.line_id] = free.pop(at)
    return found


def is_item_of(row: Mapping[str, Any], line: OrderLine) -> bool:
    """Whether SAP's row holds the item that the shop's line asks for, case aside."""
    return text(row.get("ItemCode")).casefold() in {sku.casefold() for sku in (line.sku, *line.sku_alternatives)}


def expenses_by_code(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """SAP's expenses by their code; a second one of a code is a clerk's and left alone."""
    found: dict[str, Mapping[str, Any]] = {}
    for expense in document.get(EXPENSES) or []:
        found.setdefault(text(expense.get("ExpenseCode")), expense)
    return found


def is_foreign(document: Mapping[str, Any], settings: B1Settings) -> bool:
    return text(document.get("DocCurrency")) not in ("", settings.local_currency)


def total_of(document: Mapping[str, Any], settings: B1Settings) -> Decimal:
    """The document's total in its own currency."""
    return Decimal(str(document.get("DocTotalFc" if is_foreign(document, settings) else "DocTotal") or 0))


def links_of(document: Mapping[str, Any], lines: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The number people see, and which line is which: a cache that can be rebuilt from the UDFs."""
    return {
        "doc_num": text(document.get("DocNum")),
        "lines": {line_id: text(line.get("LineNum")) for line_id, line in lines.items()},
    }


def answered_of(document: Mapping[str, Any], settings: B1Settings) -> dict[str, str]:
    """What SAP answered, in short, for the operator."""
    return {
        "doc_entry": text(document.get("DocEntry")),
        "doc_num": text(document.get("DocNum")),
        "total": plain_decimal(total_of(document, settings)),
        "currency": text(document.get("DocCurrency")),
    }


def drawn(line: Mapping[str, Any]) -> Decimal:
    """How much of a line later documents have taken."""
    quantity = Decimal(str(line.get("Quantity") or 0))
    return quantity - Decimal(str(line.get("RemainingOpenQuantity") or 0))

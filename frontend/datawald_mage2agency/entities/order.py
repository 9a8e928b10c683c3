"""Orders out of Magento: reading them page by page, and one order's payload as a canonical order.

``MAPPING`` is found through the entry point ``mage2.order``; the worker's ``pull`` drives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError

from datawald.domain.agent import Extracted, FlowView, Page, Source
from datawald.domain.errors import DataWaldError, Misconfigured, Rejected
from datawald.entities.order import Extra, Freight, Order, OrderLine
from datawald_mage2agency.addresses import billing_of, customer_of, shipping_of
from datawald_mage2agency.catalogue import Catalogue
from datawald_mage2agency.lines import Booked, Products, product_ids
from datawald_mage2agency.money import ZERO, number
from datawald_mage2agency.rows import rows_of
from datawald_mage2agency.settings import Mage2Settings, OrderFlow
from datawald_mage2agency.times import moment, text_of
from datawald_mage2agency.totals import WEEE, Extras, Sums, check_header, in_whole_cents, taken_apart
from datawald_mage2agency.unmappable import Unmappable

#: States in which nothing may be booked yet, in the operator's words.
_HELD = {
    "pending_payment": "payment is pending",
    "payment_review": "payment is under review",
    "holded": "the order is on hold in Magento",
}
#: States in which an order may be booked (``closed``: all refunded; what was shipped of it stays booked).
_FREE = ("processing", "complete", "closed")


class OrderSource(Source[Order]):
    """Reads orders, walking by ``(updated_at, entity_id)``: rows that change meanwhile move to the end and come again."""

    entity: ClassVar[str] = "order"
    flow_settings_model: ClassVar[type[BaseModel] | None] = OrderFlow

    def extract(self, flow: FlowView, since: datetime, cursor: dict[str, Any] | None) -> Iterator[Page[Order]]:
        settings: Mage2Settings = self.agent.settings
        wanted = self._flow(flow)
        views = self.agent.store_view_codes()
        if cursor:
            begin, after_id = moment(cursor["updated_at"]), int(cursor["entity_id"])
        else:
            cursor = {}
            begin, after_id = since - timedelta(seconds=settings.overlap_s), None
        also = []
        if wanted.store_views:
            also.append(("store_id", "in", ",".join(self._ids_of(wanted.store_views, views, flow))))
        if wanted.placed_from:
            also.append(("created_at", "gteq", text_of(wanted.placed_from)))
        catalogue = Catalogue(self.agent.connector)
        with _refusals_are_ours(flow):
            for page in self.agent.connector.orders(begin, settings.page_size, after_id=after_id, also=also):
                cursor = {"updated_at": str(page[-1]["updated_at"]), "entity_id": int(page[-1]["entity_id"])}
                yield Page(self._extracted(page, wanted, views, catalogue), cursor)
        # one empty page says that it was the last: whether another one follows is known only by asking Magento
        yield Page((), cursor, more=False)

    def extract_ids(self, flow: FlowView, src_ids: Sequence[str]) -> Iterator[Page[Order]]:
        wanted = self._flow(flow)
        views = self.agent.store_view_codes()
        catalogue = Catalogue(self.agent.connector)
        size: int = self.agent.settings.page_size
        for start in range(0, len(src_ids), size):
            with _refusals_are_ours(flow):
                found = self.agent.connector.orders_by_increment_id(src_ids[start : start + size])
                of_flow = [
                    raw
                    for raw in found
                    if not wanted.store_views or views.get(str(raw.get("store_id"))) in wanted.store_views
                ]
                items = self._extracted(of_flow, wanted, views, catalogue)
            yield Page(items, {}, more=start + size < len(src_ids))

    def clock(self) -> datetime:
        """Magento's clock, since ``updated_at`` is counted on it; ours where its answer tells none."""
        told: datetime | None = self.agent.connector.probe()
        return told or datetime.now(UTC)

    def _ids_of(self, codes: Sequence[str], views: Mapping[str, str], flow: FlowView) -> list[str]:
        unknown = sorted(set(codes) - set(views.values()))
        if unknown:
            raise Misconfigured(
                f"settings of flow {flow.name}: the shop has no store view {', '.join(unknown)}", system=flow.source
            )
        return sorted(store_id for store_id, code in views.items() if code in codes)

    def _flow(self, flow: FlowView) -> OrderFlow:
        try:
            return OrderFlow.model_validate(dict(flow.settings))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise Misconfigured(f"settings of flow {flow.name}: {wrong}", system=flow.source) from error

    def _extracted(
        self, page: Sequence[Mapping[str, Any]], flow: OrderFlow, views: Mapping[str, str], catalogue: Catalogue
    ) -> list[Extracted[Order]]:
        with suppress(Unmappable, KeyError, TypeError, AttributeError):  # an odd order is told of below, by itself
            catalogue.read(product_ids(row for raw in page for row in rows_of(raw)))
        return [self._one(raw, flow, views, catalogue) for raw in page]

    def _one(
        self, raw: Mapping[str, Any], flow: OrderFlow, views: Mapping[str, str], catalogue: Catalogue
    ) -> Extracted[Order]:
        src_id = str(raw.get("increment_id") or "") or f"entity_id:{raw.get('entity_id')}"
        stamp = _stamp(raw)
        try:
            order = canonical_order(raw, store_views=views, settings=self.agent.settings, products=catalogue)
        except DataWaldError:  # a look-up that failed says nothing about the order
            raise
        except ValueError as error:  # Unmappable, and what pydantic says
            return Extracted(src_id, stamp, raw, None, f"order {src_id}: {_in_words(error)}")
        except Exception as error:  # one odd order must not stop the page
            why = f"order {src_id}: the payload is not made as an order is: {type(error).__name__}: {error}"
            return Extracted(src_id, stamp, raw, None, why)
        return Extracted(src_id, stamp, raw, order, unwanted=flow.unwanted(order.placed_at))


@contextmanager
def _refusals_are_ours(flow: FlowView) -> Iterator[None]:
    """A read that Magento refuses is no single record's fault: the flow or the connection is set up wrongly."""
    try:
        yield
    except Rejected as error:
        raise Misconfigured(error.message, system=flow.source, status=error.status) from error


def canonical_order(
    raw: Mapping[str, Any], *, store_views: Mapping[str, str], settings: Mage2Settings, products: Products
) -> Order:
    """One order as ``GET /V1/orders`` gives it, as a canonical order. ``store_views``: code by id.

    Amounts are the plain fields, in the currency the customer paid in. Raises ``Unmappable`` where lines, freight and
    extras do not reproduce ``grand_total`` to the cent. Once units were cancelled or refunded, the total is that of what
    remains: each line's net and tax in proportion, rounded half up to the cent; freight and extras stay as they are, since
    refunding them is a credit note's matter. Magento's own ``grand_total`` never changes.
    """
    if not raw.get("increment_id"):
        raise Unmappable("it has no increment_id")
    store_view = store_views.get(str(raw.get("store_id")))
    if store_view is None:
        raise Unmappable(f"its store view (id {raw.get('store_id')}) does not exist any more")
    if not raw.get("items"):
        raise Unmappable("it has no rows")
    sums = _explained(raw, store_view, settings, products)
    lines, freight, extras = sums.lines, sums.freight, sums.extras

    # Magento cancels only what is not invoiced: "canceled" is the whole order, whatever the rows' counters say
    cancelled = raw.get("state") == "canceled" or not any(line.wanted > 0 for line in lines)
    if cancelled:  # what was wanted, so that the backoffice finds what it knows
        remaining = [line.line() for line in _as_ordered(lines)]
    else:
        remaining = [line.line() for line in lines if line.wanted > 0]
    kept_weee = extras.weee if cancelled else sum((line.remaining(line.weee) for line in lines), ZERO)
    further = _further(extras, kept_weee)
    payment = raw.get("payment") or {}
    return Order(
        increment_id=str(raw["increment_id"]),
        entity_id=str(raw["entity_id"]),
        store_view=store_view,
        state=str(raw.get("state") or ""),
        status=str(raw.get("status") or ""),
        placed_at=moment(raw.get("created_at")),
        currency=str(raw["order_currency_code"]),
        base_currency=str(raw["base_currency_code"]),
        base_to_order_rate=number(raw.get("base_to_order_rate")) or Decimal(1),
        customer=customer_of(raw),
        billing=billing_of(raw),
        shipping=shipping_of(raw),
        lines=tuple(remaining),
        freight=freight,
        extras=further,
        grand_total=_total(remaining, freight, further),
        payment_method=str(payment.get("method") or ""),
        po_number=str(payment.get("po_number") or ""),
        gift_message=_gift_message(raw),
        held="" if cancelled else _held(raw, payment, settings),
        cancelled=cancelled,
    )


def _explained(raw: Mapping[str, Any], store_view: str, settings: Mage2Settings, products: Products) -> Sums:
    """The order taken apart, lines in whole cents. Raises ``Unmappable`` where the parts do not explain the total."""
    gross = settings.includes_tax(store_view)
    sums = taken_apart(raw, gross=gross, settings=settings, products=products)
    check_header(raw, sums.extras)
    if sums.explained:
        return replace(sums, lines=in_whole_cents(sums.lines, sums.remainder))
    why = f"lines, freight and extras leave {sums.remainder} of the grand total {raw.get('grand_total')} unexplained"
    if taken_apart(raw, gross=not gross, settings=settings, products=products).explained:
        why += (
            f"; with prices {'without' if gross else 'including'} tax nothing is left: "
            f"is prices_include_tax right for store view {store_view!r}?"
        )
    raise Unmappable(why)


def _as_ordered(lines: Sequence[Booked]) -> list[Booked]:
    return [replace(line, wanted=line.ordered) for line in lines]


def _further(extras: Extras, weee: Decimal) -> tuple[Extra, ...]:
    product_tax = (Extra(code=WEEE, amount=weee),) if weee else ()
    return (*extras.beside_header, *extras.in_tax, *product_tax)


def _total(lines: Sequence[OrderLine], freight: Freight | None, extras: Sequence[Extra]) -> Decimal:
    total = sum((line.net + line.tax for line in lines), ZERO)
    if freight:
        total += freight.net + freight.tax
    return total + sum((extra.amount for extra in extras), ZERO)


def _held(raw: Mapping[str, Any], payment: Mapping[str, Any], settings: Mage2Settings) -> str:
    """Why the order may not be booked yet; "" where it may. ``state`` decides: ``status`` is a free label."""
    state = str(raw.get("state") or "")
    if state in _FREE:
        return ""
    if state == "new":
        method = str(payment.get("method") or "")
        if method in settings.offline_methods:
            return ""
        return f"payment by {method or 'an unknown method'} is not confirmed"
    return _HELD.get(state) or f"the order's state {state!r} is not known"


def _gift_message(raw: Mapping[str, Any]) -> str:
    message = (raw.get("extension_attributes") or {}).get("gift_message") or {}
    parts = [
        f"{word}: {message[field]}" for word, field in (("To", "recipient"), ("From", "sender")) if message.get(field)
    ]
    return "\n".join([*parts, *([str(message["message"])] if message.get("message") else [])])


def _stamp(raw: Mapping[str, Any]) -> datetime:
    """When Magento changed it last; the beginning of time where it does not say, which moves no cut date."""
    try:
        return moment(raw.get("updated_at"))
    except Unmappable:
        return datetime.fromtimestamp(0, UTC)


def _in_words(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return str(error)


MAPPING = OrderSource

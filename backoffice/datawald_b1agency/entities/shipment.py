"""Shipments out of SAP Business One: deliveries of orders that DataWald booked, one per delivery, order and source.

``MAPPING`` is found through the entry point ``b1.shipment``; the worker's ``pull`` drives it. SAP's times of change are the
server's local time and its filter knows days only, so a day is asked for and the time compared here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar

from datawald.domain.agent import Extracted, FlowView, Page, Source
from datawald.entities.shipment import Shipment, ShipmentLine, Track
from datawald_b1agency.documents import LINES, ROUNDING_LINE, text
from datawald_b1agency.settings import B1Settings, CarrierOption
from flask_b1connector.odata import literal

#: Object type per entity set; also the first part of ``src_id``.
DOCUMENTS = {"DeliveryNotes": "15", "Invoices": "13"}
ORDER_TYPE, INVOICE_TYPE = "17", "13"
#: Deliveries of one page.
PAGE_SIZE = 50
#: Seconds between two looks at old deliveries for tracking numbers that came without moving their time of change.
LATE_EVERY_S = 3600.0
#: Tracking texts remembered; beyond it all are forgotten, and old deliveries come once more.
MOST_TOLD = 100_000
#: Several numbers in one field are separated by these.
_SEPARATORS = re.compile(r"[,;|\r\n]+")


@dataclass(frozen=True)
class Part:
    """A stretch of an extraction: what changed, or what is looked at again for late tracking numbers."""

    kind: str
    entity_set: str


class ShipmentSource(Source[Shipment]):
    """Reads deliveries, and where the settings say so invoices that deliver."""

    entity: ClassVar[str] = "shipment"

    def __init__(self, agent: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(agent)
        self._monotonic = monotonic
        #: When each flow's old deliveries were last looked at. Lost with the process, which costs one more look.
        self._late_done: dict[str, float] = {}
        #: The tracking text that was handed over, by flow, set and DocEntry: old deliveries come again if it differs.
        self._told: dict[tuple[str, str, int], str] = {}

    def extract(self, flow: FlowView, since: datetime, cursor: dict[str, Any] | None) -> Iterator[Page[Shipment]]:
        cursor = cursor or {"part": 0, "after": 0, "late": self._late_is_due(flow)}
        parts = [Part("changed", name) for name in self._settings.document_sets]
        if cursor["late"]:
            parts += [Part("late", name) for name in self._settings.document_sets]
        for number in range(cursor["part"], len(parts)):
            after = cursor["after"] if number == cursor["part"] else 0
            rows = self._rows(parts[number], since, after)
            while page := list(islice(rows, PAGE_SIZE)):
                documents = self._documents(flow, parts[number], page, since)
                items = self._shipments(flow, parts[number].entity_set, documents)
                yield Page(items, {**cursor, "part": number, "after": int(page[-1]["DocEntry"])})
                # only now: whoever asks for the next page has stored this one
                self._remember(flow, parts[number], documents)
        if cursor["late"]:
            self._late_done[flow.name] = self._monotonic()
        yield Page((), {**cursor, "part": len(parts), "after": 0}, more=False)

    def extract_ids(self, flow: FlowView, src_ids: Sequence[str]) -> Iterator[Page[Shipment]]:
        wanted = set(src_ids)
        for entity_set, object_type in DOCUMENTS.items():
            entries = sorted({entry for one in wanted if (entry := _entry_of(one, object_type)) is not None})
            for start in range(0, len(entries), PAGE_SIZE):
                documents = self._whole(entity_set, entries[start : start + PAGE_SIZE])
                items = self._shipments(flow, entity_set, documents)
                yield Page([item for item in items if item.src_id in wanted], {})
        yield Page((), {}, more=False)

    def clock(self) -> datetime:
        """The server's clock; ours where its answer tells none."""
        told: datetime | None = self.agent.connector.probe()
        return told or datetime.now(UTC)

    @property
    def _settings(self) -> B1Settings:
        settings: B1Settings = self.agent.settings
        return settings

    # --- reading ------------------------------------------------------------------------------------------------------

    def _late_is_due(self, flow: FlowView) -> bool:
        done = self._late_done.get(flow.name)
        return done is None or self._monotonic() - done >= LATE_EVERY_S

    def _rows(self, part: Part, since: datetime, after: int) -> Iterator[Mapping[str, Any]]:
        """Rows of a part behind ``after``, ascending by DocEntry: whole ones of what changed, heads of what may be late."""
        connector = self.agent.connector
        begin = after or None
        if part.kind == "changed":
            day = since.astimezone(self._settings.zone).date()
            yield from connector.changed_since(part.entity_set, day, self._fields(part.entity_set), after=begin)
            return
        oldest = min(self._now() - timedelta(days=self._settings.tracking_days), since)
        day = oldest.astimezone(self._settings.zone).date()
        heads = ("DocEntry", "DocDate", "CreationDate", "DocTime", "UpdateDate", "UpdateTime", "CancelStatus")
        yield from connector.query(
            part.entity_set,
            f"CreationDate ge {literal(day)}",
            (*heads, self._settings.tracking_field),
            after=begin,
        )

    def _remember(self, flow: FlowView, part: Part, documents: Sequence[Mapping[str, Any]]) -> None:
        if len(self._told) > MOST_TOLD:
            self._told.clear()
        for document in documents:
            self._told[flow.name, part.entity_set, int(document["DocEntry"])] = self._tracking_text(document)

    def _documents(
        self, flow: FlowView, part: Part, rows: Sequence[Mapping[str, Any]], since: datetime
    ) -> list[Mapping[str, Any]]:
        if part.kind == "changed":
            return [row for row in rows if self._changed_at(row, latest=True) >= since]
        due = [
            int(row["DocEntry"])
            for row in rows
            # what changed since then was read by the other part
            if self._changed_at(row, latest=True) < since
            and row.get("CancelStatus") not in ("csYes", "csCancellation")
            and self._tracks(row)
            and self._told.get((flow.name, part.entity_set, int(row["DocEntry"]))) != self._tracking_text(row)
        ]
        return self._whole(part.entity_set, due)

    def _whole(self, entity_set: str, entries: Sequence[int]) -> list[Mapping[str, Any]]:
        if not entries:
            return []
        rows = self.agent.connector.any_of(entity_set, "DocEntry", entries, self._fields(entity_set))
        return sorted(rows, key=lambda row: int(row["DocEntry"]))

    def _fields(self, entity_set: str) -> tuple[str, ...]:
        dates = ("DocDate", "CreationDate", "DocTime", "UpdateDate", "UpdateTime")
        reserve = ("ReserveInvoice",) if entity_set == "Invoices" else ()
        tracking = self._settings.tracking_field
        return ("DocEntry", "DocNum", *dates, "CancelStatus", *reserve, "TransportationCode", tracking, LINES)

    # --- times --------------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return datetime.now(UTC)

    def _changed_at(self, row: Mapping[str, Any], latest: bool = False) -> datetime:
        return self._first_moment(row, ("UpdateDate", "UpdateTime"), ("CreationDate", "DocTime"), latest=latest)

    def _first_moment(self, row: Mapping[str, Any], *fields: tuple[str, str], latest: bool = False) -> datetime:
        """The first of these day and time fields that holds a moment; now, where none does: one odd row stops no flow."""
        for day, clock in (*fields, ("DocDate", "DocTime")):
            try:
                return self._moment(row.get(day), row.get(clock), latest)
            except ValueError:
                continue
        return self._now()

    def _moment(self, day: Any, clock: Any, latest: bool = False) -> datetime:
        """SAP's local day and time as UTC. In the hour that a clock change repeats, the earlier or the ``latest`` one.

        Raises ``ValueError`` where SAP holds no day.
        """
        told = datetime.fromisoformat(f"{text(day)[:10]}T{(text(clock) or '00:00:00').zfill(8)}")
        return told.replace(tzinfo=self._settings.zone, fold=int(latest)).astimezone(UTC)

    # --- mapping ------------------------------------------------------------------------------------------------------

    def _tracking_text(self, document: Mapping[str, Any]) -> str:
        return str(document.get(self._settings.tracking_field) or "")

    def _tracks(self, document: Mapping[str, Any]) -> tuple[Track, ...]:
        numbers = dict.fromkeys(filter(None, map(str.strip, _SEPARATORS.split(self._tracking_text(document)))))
        carriers = self._settings.carriers
        carrier = carriers.get(text(document.get("TransportationCode"))) or carriers.get("*") or CarrierOption()
        return tuple(Track(number=number, carrier=carrier.carrier, title=carrier.title) for number in numbers)

    def _shipments(
        self,
        flow: FlowView,
        entity_set: str,
        documents: Sequence[Mapping[str, Any]],
    ) -> list[Extracted[Shipment]]:
        """What the documents deliver of the orders of ``flow``'s target."""
        chosen = [
            document
            for document in documents
            # the document that takes a delivery back is itself a delivery note
            if document.get("CancelStatus") != "csCancellation" and document.get("ReserveInvoice") in (None, "tNO")
        ]
        bases = self._order_lines(entity_set, chosen, f"{flow.target}:")
        return [one for document in chosen for one in self._of_document(entity_set, document, bases)]

    def _of_document(
        self, entity_set: str, document: Mapping[str, Any], bases: Mapping[tuple[str, str, str], tuple[str, str]]
    ) -> Iterator[Extracted[Shipment]]:
        object_type, entry = DOCUMENTS[entity_set], text(document["DocEntry"])
        groups: dict[tuple[str, str], dict[str, ShipmentLine]] = {}
        for line in document.get(LINES) or []:
            base = bases.get(_base_of(line))
            if base is None:
                continue
            key, line_id = base
            source = self._settings.sources.get(text(line.get("WarehouseCode")), "")
            lines = groups.setdefault((key, source), {})
            quantity = Decimal(str(line.get("Quantity") or 0))
            known = lines.get(line_id)
            lines[line_id] = ShipmentLine(
                line_id=line_id,
                sku=known.sku if known else text(line.get("ItemCode")),
                quantity=quantity + (known.quantity if known else Decimal(0)),
            )
        for (key, source), lines in groups.items():
            shipment = Shipment(
                document=f"{object_type}.{entry}",
                doc_num=text(document.get("DocNum")),
                order_key=key,
                order_increment_id=key.partition(":")[2],
                shipped_at=self._first_moment(document),
                source_code=source,
                lines=tuple(lines.values()),
                tracks=self._tracks(document),
                notify=self._settings.notify,
                cancelled=document.get("CancelStatus") == "csYes",
            )
            src_id = f"{shipment.document}/{key}/{source}"
            yield Extracted(src_id, self._changed_at(document), document, shipment)

    def _order_lines(
        self, entity_set: str, documents: Sequence[Mapping[str, Any]], prefix: str
    ) -> dict[tuple[str, str, str], tuple[str, str]]:
        """Order key and line id per base line that the documents name, for orders whose key begins with ``prefix``.

        A delivery draws on an order, or on a reserve invoice that drew on one; the invoice's lines are followed.
        """
        named = {_base_of(line) for document in documents for line in document.get(LINES) or []}
        invoice_lines: dict[tuple[str, str, str], tuple[str, str, str]] = {}
        invoices = sorted({int(entry) for kind, entry, _ in named if kind == INVOICE_TYPE})
        if invoices and entity_set == "DeliveryNotes":
            for invoice in self.agent.connector.any_of("Invoices", "DocEntry", invoices, ("DocEntry", LINES)):
                for line in invoice.get(LINES) or []:
                    here = (INVOICE_TYPE, text(invoice["DocEntry"]), text(line.get("LineNum")))
                    invoice_lines[here] = _base_of(line)
        entries = {entry for kind, entry, _ in (*named, *invoice_lines.values()) if kind == ORDER_TYPE}
        lines = self._lines_of_orders(entries, prefix)
        return {base: lines[order_line] for base in named if (order_line := invoice_lines.get(base, base)) in lines}

    def _lines_of_orders(self, entries: Iterable[str], prefix: str) -> dict[tuple[str, str, str], tuple[str, str]]:
        key_field, line_udf = self._settings.key_field, self._settings.line_udf
        numbers = sorted(int(entry) for entry in entries)
        found: dict[tuple[str, str, str], tuple[str, str]] = {}
        if not numbers or not line_udf:
            return found
        for order in self.agent.connector.any_of("Orders", "DocEntry", numbers, ("DocEntry", key_field, LINES)):
            key = text(order.get(key_field))
            if not key.startswith(prefix):
                continue
            for line in order.get(LINES) or []:
                line_id = text(line.get(line_udf))
                if line_id and line_id != ROUNDING_LINE:
                    found[(ORDER_TYPE, text(order["DocEntry"]), text(line.get("LineNum")))] = (key, line_id)
        return found


def _base_of(line: Mapping[str, Any]) -> tuple[str, str, str]:
    """Object type, DocEntry and LineNum of what a line was copied from."""
    return (text(line.get("BaseType")), text(line.get("BaseEntry")), text(line.get("BaseLine")))


def _entry_of(src_id: str, object_type: str) -> int | None:
    """The DocEntry in ``<object type>.<DocEntry>/<order key>/<source>``; None for another type, or for no such id."""
    kind, _, entry = src_id.partition("/")[0].partition(".")
    return int(entry) if kind == object_type and entry.isdigit() else None


MAPPING = ShipmentSource

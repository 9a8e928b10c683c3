"""A shipment: a delivery booked in the backoffice, of goods that one frontend order asked for, from one source.

Its ``src_id`` is ``<object type>.<DocEntry>/<order key>/<source>`` where SAP Business One is the backoffice.
"""

from __future__ import annotations

from typing import Annotated

from datawald.domain.entity import INFORMATION, Amount, Canonical, Entity, Moment


class ShipmentLine(Canonical):
    """Units of one order line that left the house."""

    #: The *order's* line in the frontend (Magento's ``item_id``).
    line_id: str
    sku: str
    quantity: Amount


class Track(Canonical):
    """A tracking number. ``carrier`` is the frontend's carrier code, ``custom`` where none fits."""

    number: str
    carrier: str = "custom"
    title: str = ""


class Shipment(Canonical):
    """What a shipment in the frontend is made from."""

    #: The backoffice's document, ``<object type>.<DocEntry>``.
    document: str
    #: The number people see.
    doc_num: Annotated[str, INFORMATION] = ""
    #: The order's business key (``mage2_us:100000123``).
    order_key: str
    #: The order's number in the frontend.
    order_increment_id: str
    shipped_at: Annotated[Moment, INFORMATION]
    #: Where the goods left from, in the frontend's terms (MSI source code); "" for its default.
    source_code: str = ""
    lines: tuple[ShipmentLine, ...]
    tracks: tuple[Track, ...] = ()
    #: Whether the frontend is to mail the customer.
    notify: Annotated[bool, INFORMATION] = False
    #: Taken back in the backoffice after it was booked.
    cancelled: bool = False


ENTITY = Entity(
    name="shipment",
    plural="shipments",
    model=Shipment,
    lane="shipments",
    source_side="backoffice",
    numbers=("doc_num", "order_increment_id"),
)

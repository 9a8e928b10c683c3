"""How a shipment of ours is known again: by words in its comment. Used by the shipment mapping alone.

The comment of ``POST /V1/order/{id}/ship`` is kept with the shipment even where ``appendComment`` is false (which keeps it
out of the customer's mail), and ``GET /V1/shipments`` gives it back. The marker is the record's business key, standing as a
word of its own; equality of words, since one key may begin with another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from datawald_mage2agency.money import number as decimal_of


def nth(key: str, number: int) -> str:
    """The marker of the ``number``-th shipment made for one record: a delivery may go out in several."""
    return key if number == 1 else f"{key}#{number}"


def took(key: str, parts: Mapping[str, Decimal]) -> str:
    """The marker of how many units of which parts (by item id) a shipment took of one record, to make bundles complete.

    Several records may give parts to one shipment; its rows tell the sets, and nobody could tell whose parts were in them.
    """
    return f"{key}&{','.join(f'{item_id}={units:f}' for item_id, units in sorted(parts.items()))}"


def taken(word: str, key: str) -> dict[str, Decimal] | None:
    """The units by item id that the word says were taken of the record; None for a word that says nothing of it."""
    listed = word.removeprefix(f"{key}&")
    if listed == word:
        return None
    pairs = (one.partition("=") for one in listed.split(","))
    return {item_id: decimal_of(units) for item_id, _, units in pairs}


def comment(words: Sequence[str], document: str) -> str:
    """The shipment's comment: what people read, then the markers."""
    return "\n".join([f"Delivery {document}" if document else "Delivered", *words])


def words_of(shipment: Mapping[str, Any]) -> set[str]:
    """Every word of every comment of a shipment."""
    return {word for one in shipment.get("comments") or [] for word in str(one.get("comment") or "").split()}


def own_number(word: str, key: str) -> int:
    """Which of the record's own shipments the word marks, from 1; 0 for a word that marks none."""
    if word == key:
        return 1
    number = word.removeprefix(f"{key}#")
    return int(number) if number != word and number.isdigit() else 0

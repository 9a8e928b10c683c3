"""What a delivery of the backoffice asks of the rows of a Magento order. Used by the shipment mapping alone.

Magento takes a configurable by its parent row, a bundle that is shipped together by its parent row in whole sets, and one
that is shipped separately by its child rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal

from datawald.entities.shipment import Shipment, ShipmentLine
from datawald_mage2agency.money import ZERO
from datawald_mage2agency.rows import Row, every_row

#: item id of a bundle → item id of a part → units.
Parts = dict[str, dict[str, Decimal]]


@dataclass
class Demand:
    """The delivered units, by the rows Magento counts them on."""

    #: Units by item id of rows that are shipped as themselves.
    units: dict[str, Decimal] = field(default_factory=dict)
    #: Units of parts of bundles that are shipped together.
    parts: Parts = field(default_factory=dict)
    #: The order row that each line of the shipment speaks of, by ``line_id``; the bundle's for a part shipped together.
    rows: dict[str, str] = field(default_factory=dict)
    #: Lines that no row of the order answers to, in words.
    strange: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not self.units and not self.parts


def demand_of(
    shipment: Shipment, rows: Sequence[Row], ships_together: Mapping[str, bool], substitutions: Mapping[str, str]
) -> Demand:
    """The demand of one shipment. ``ships_together`` by item id of the bundle's row."""
    demand = Demand()
    for line in shipment.lines:
        found = _row_of(line, rows, substitutions)
        if found is None:
            demand.strange.append(f"{_plain(line.quantity)} × {line.sku}")
            continue
        parent, row, instead = found
        if instead:
            demand.notes.append(f"{line.sku} was delivered instead of {row.sku}")
        if parent is None:
            _of_row(demand, line, row, ships_together)
        elif ships_together[parent.item_id]:
            if not row.is_virtual:
                _add_part(demand, parent, row, line.quantity)
                demand.rows[line.line_id] = parent.item_id
        else:
            _add_unit(demand, row, line.quantity)
            demand.rows[line.line_id] = row.item_id
    if demand.strange and not demand.empty:
        demand.notes.append(f"not part of the order, left out: {', '.join(demand.strange)}")
    return demand


def _of_row(demand: Demand, line: ShipmentLine, row: Row, ships_together: Mapping[str, bool]) -> None:
    """A line that speaks of a row without parent: for a bundle, its quantity counts sets."""
    demand.rows[line.line_id] = row.item_id
    if not row.is_bundle:
        _add_unit(demand, row, line.quantity)
        return
    for child in row.children:
        units = line.quantity * row.per_set(child)
        if ships_together[row.item_id]:
            if not child.is_virtual:
                _add_part(demand, row, child, units)
        else:
            _add_unit(demand, child, units)


def _add_unit(demand: Demand, row: Row, quantity: Decimal) -> None:
    if not row.is_virtual:
        demand.units[row.item_id] = demand.units.get(row.item_id, ZERO) + quantity


def _add_part(demand: Demand, bundle: Row, child: Row, quantity: Decimal) -> None:
    parts = demand.parts.setdefault(bundle.item_id, {})
    parts[child.item_id] = parts.get(child.item_id, ZERO) + quantity


def _row_of(
    line: ShipmentLine, rows: Sequence[Row], substitutions: Mapping[str, str]
) -> tuple[Row | None, Row, bool] | None:
    """The row a line speaks of, its bundle where it is a part of one, and whether another item was sent instead.

    By the line id the backoffice carries; where it carries none, or one that the order does not have, by SKU.
    """
    candidates: list[tuple[Row | None, Row]] = []
    for row in rows:
        if row.is_configurable:
            # Magento takes the parent row only, whichever of the two the line names
            if line.line_id in {one.item_id for one in every_row((row,))}:
                return None, row, False
            candidates.append((None, row))
            continue
        candidates.append((None, row))
        candidates += [(row, child) for child in row.children]
    for parent, row in candidates:
        if row.item_id == line.line_id:
            return parent, row, False
    ordered = {line.sku.casefold(): False}
    if line.sku in substitutions:
        ordered[substitutions[line.sku].casefold()] = True
    for sku, instead in ordered.items():
        for parent, row in candidates:
            if row.sku.casefold() == sku and sku:
                return parent, row, instead
    return None


def sets_in(bundle: Row, parts: Mapping[str, Decimal]) -> Decimal:
    """How many whole sets of a bundle these parts make."""
    needed = _needed(bundle)
    if not needed:
        return ZERO
    return min(parts.get(item_id, ZERO) / units for item_id, units in needed.items()).to_integral_value(ROUND_DOWN)


def parts_of(bundle: Row, sets: Decimal) -> dict[str, Decimal]:
    """The parts that so many sets are made of."""
    return {item_id: units * sets for item_id, units in _needed(bundle).items()}


def without(parts: Mapping[str, Decimal], gone: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """What is left of the parts when others are taken out of them; never below nothing."""
    left = {item_id: units - gone.get(item_id, ZERO) for item_id, units in parts.items()}
    return {item_id: units for item_id, units in left.items() if units > 0}


def _needed(bundle: Row) -> dict[str, Decimal]:
    return {child.item_id: bundle.per_set(child) for child in bundle.children if not child.is_virtual and child.ordered}


@dataclass
class Joining:
    """Parts of several deliveries that make whole sets only together: one delivery's shipment takes them along."""

    #: Sets by item id of the bundle, which this delivery ships with the others' help.
    sets: dict[str, Decimal] = field(default_factory=dict)
    #: What it and its helpers give for them: parts by item id, by key.
    gifts: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    #: The key of the delivery that takes this one's parts along, "" if none does.
    leader: str = ""


def join(leftovers: Mapping[str, Parts], bundles: Mapping[str, Row]) -> dict[str, Joining]:
    """Who takes whose parts along. ``leftovers``: by key, the parts that make no whole set by themselves.

    The first delivery that contributes to a bundle takes all of its sets along.
    """
    joinings = {key: Joining() for key in leftovers}
    for bundle_id, bundle in bundles.items():
        pool = {key: dict(parts.get(bundle_id, {})) for key, parts in leftovers.items()}
        together: dict[str, Decimal] = {}
        for parts in pool.values():
            for item_id, units in parts.items():
                together[item_id] = together.get(item_id, ZERO) + units
        sets = sets_in(bundle, together)
        if not sets:
            continue
        needed = parts_of(bundle, sets)
        gifts: dict[str, dict[str, Decimal]] = {}
        for key, parts in pool.items():
            given = {item_id: min(units, needed.get(item_id, ZERO)) for item_id, units in parts.items()}
            gift = {item_id: units for item_id, units in given.items() if units}
            if gift:
                gifts[key] = gift
                needed = without(needed, gift)
        leader = next(iter(gifts))
        joinings[leader].sets[bundle_id] = sets
        for key, gift in gifts.items():
            joinings[leader].gifts.setdefault(key, {}).update(gift)
            if key != leader:
                joinings[key].leader = leader
    return joinings


def _plain(quantity: Decimal) -> str:
    return format(quantity.normalize(), "f")

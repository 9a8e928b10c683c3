"""Addresses and other texts in SAP's terms: its parts, its lengths, and what had to be cut. Used by ``documents``.

``AddressExtension`` has no place for name, company, telephone or e-mail: recipient and company go to ``Address2`` and
``Address3``. All parts are sent, empty ones too, else the partner's own address shows through.
"""

from __future__ import annotations

from collections.abc import Callable

from datawald.entities.order import Address
from datawald_b1agency.settings import B1Settings

#: Longest texts SAP takes, in characters (columns of ORDR, RDR1, RDR12); it refuses longer ones.
LENGTHS = {
    "CardName": 100,
    "NumAtCard": 100,
    "Comments": 254,
    "FreeText": 100,
    "Street": 100,
    "StreetNo": 100,
    "Block": 100,
    "Building": 254,
    "City": 100,
    "ZipCode": 20,
    "County": 100,
    "State": 3,
    "Country": 3,
    "Address2": 50,
    "Address3": 50,
}

Note = Callable[[str], None]


def fitted(name: str, text: str, length: int, note: Note) -> str:
    """``text`` on one line and no longer than SAP takes; a cut is noted."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    note(f"{name} is cut to {length} characters: {line!r}")
    return line[:length].rstrip()


def address_parts(
    side: str, address: Address, states: frozenset[str], settings: B1Settings, note: Note
) -> dict[str, str]:
    """The ``AddressExtension`` properties of one side (``ShipTo`` or ``BillTo``).

    ``states`` are the states SAP knows, as ``<country>/<state>`` in its own codes; one it does not know is dropped with a
    note, since SAP would refuse the whole order for it.
    """
    street = [line for line in address.street if line.strip()]
    country = settings.countries.get(address.country, address.country)
    parts = {
        "Street": street[0] if street else "",
        "StreetNo": "",
        "Block": street[1] if len(street) > 1 else "",
        "Building": ", ".join(street[2:]),
        "City": address.city,
        "ZipCode": address.postcode,
        "County": "",
        "State": state_of(address, settings),
        "Country": country,
        "Address2": address.name,
        "Address3": address.company,
    }
    if parts["State"] and f"{country}/{parts['State']}" not in states:
        note(f"{side}State is left out: SAP knows no state {parts['State']!r} in {country!r}")
        parts["State"] = ""
    return {f"{side}{name}": fitted(f"{side}{name}", text, LENGTHS[name], note) for name, text in parts.items()}


def state_of(address: Address, settings: B1Settings) -> str:
    """The address's state in SAP's codes; "" where the shop has none or the settings drop it."""
    if not address.region_code:
        return ""
    return settings.regions.get(f"{address.country}/{address.region_code}", address.region_code)

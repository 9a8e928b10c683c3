"""What ``datawald doctor`` looks at in a Magento shop. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from datawald.domain.agent import Check
from datawald.domain.errors import Misconfigured, Rejected, Retryable
from datawald_mage2agency.catalogue import Catalogue
from datawald_mage2agency.lines import Products
from datawald_mage2agency.settings import Mage2Settings
from datawald_mage2agency.totals import taken_apart
from datawald_mage2agency.unmappable import Unmappable
from flask_mage2connector import Mage2Connector

if TYPE_CHECKING:
    from datawald_mage2agency.agency import Mage2Agency

#: How far back orders are looked at, in days, until every store view has some.
_WINDOWS = (7, 90, 3650)
#: Orders looked at in each window, at most.
_ORDERS = 200


def rights(connector: Mage2Connector) -> Iterator[Check]:
    """Whether what is read may be read. The right to ship (Sales / Operations / Orders / Actions / Ship) shows only
    in shipping."""
    reads: dict[str, Callable[[], object]] = {
        "may read orders": connector.probe,
        "may read shipments": lambda: connector.shipments_of([0]),
        "may read products": lambda: connector.products(["-"]),
        "may read store views": connector.store_views,
    }
    for name, read in reads.items():
        try:
            read()
        except Misconfigured as error:
            yield Check(name, False, str(error), "give the integration Sales, Catalog and Stores in Magento's admin")
        except (Rejected, Retryable) as error:
            yield Check(name, False, str(error))
        else:
            yield Check(name, True)


def price_modes(agency: Mage2Agency) -> Iterator[Check]:
    """Whether each store view's price mode is the one its orders add up in."""
    settings: Mage2Settings = agency.settings
    try:
        views = agency.store_view_codes()
        orders = _recent_orders(agency.connector, settings, views)
        catalogue = Catalogue(agency.connector)
        told = {code: _told_by(orders.get(code, []), settings, catalogue) for code in views.values() if code != "admin"}
    except (Misconfigured, Rejected, Retryable) as error:
        yield Check("price modes", False, str(error))
        return
    for code in sorted(set(settings.store_views) - set(views.values())):
        known = ", ".join(sorted(views.values()))
        yield Check(
            f"store view {code}", False, f"the shop has none of this code; it has {known}", "correct store_views"
        )
    for code, counted in sorted(told.items()):
        yield _verdict(code, settings.includes_tax(code), counted)


def _verdict(code: str, gross: bool, counted: Counter[bool]) -> Check:
    name = f"price mode of store view {code}"
    configured = f"configured: prices {'include' if gross else 'exclude'} tax"
    if not counted:
        return Check(name, True, f"{configured}; no order tells yet")
    seen = f"{counted[True]} orders add up with tax included, {counted[False]} with tax excluded"
    if not counted[not gross]:
        return Check(name, True, f"{configured}; {seen}")
    if counted[gross]:
        fix = "the mode was changed once: orders placed before the change will fail; begin the flow after it"
    else:
        fix = f"set store_views.{code}.prices_include_tax = {'false' if gross else 'true'}"
    return Check(name, False, f"{configured}; {seen}", fix)


def _told_by(orders: list[Mapping[str, Any]], settings: Mage2Settings, products: Products) -> Counter[bool]:
    """How many orders add up in one mode only, by that mode. Those without tax add up in both and tell nothing."""
    told: Counter[bool] = Counter()
    for order in orders:
        try:
            fits = [
                gross
                for gross in (True, False)
                if taken_apart(order, gross=gross, settings=settings, products=products).explained
            ]
        except (Unmappable, KeyError):
            continue
        if len(fits) == 1:
            told[fits[0]] += 1
    return told


def _recent_orders(
    connector: Mage2Connector, settings: Mage2Settings, views: Mapping[str, str]
) -> dict[str, list[Mapping[str, Any]]]:
    """Orders by store view, of the shortest window in which every view has some."""
    by_view: dict[str, list[Mapping[str, Any]]] = {}
    for days in _WINDOWS:
        by_view = {}
        pages = connector.orders(datetime.now(UTC) - timedelta(days=days), settings.page_size)
        for order in islice((order for page in pages for order in page), _ORDERS):
            by_view.setdefault(views.get(str(order.get("store_id")), ""), []).append(order)
        if all(by_view.get(code) for code in views.values() if code != "admin"):
            break
    return by_view

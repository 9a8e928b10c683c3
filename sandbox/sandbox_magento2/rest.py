"""The REST routes that are played, and how a list is answered. Called by ``app`` with the shop's lock held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sandbox_magento2 import actions, shipments
from sandbox_magento2.errors import MagentoError, no_such_entity, required
from sandbox_magento2.money import dumps
from sandbox_magento2.routing import Request, Routes
from sandbox_magento2.searchcriteria import DATE, NUMBER, TEXT, Columns, FieldTree, read_criteria, search
from sandbox_magento2.seed import read
from sandbox_magento2.shop import Shop

ROUTES = Routes()
#: The route that hands out admin tokens; it needs no right.
ANONYMOUS = "anonymous"

_STORE = read("store.json")
_MODULES = (
    "Magento_Store Magento_Directory Magento_Eav Magento_Customer Magento_Backend Magento_Catalog Magento_Quote "
    "Magento_Sales Magento_SalesRule Magento_Tax Magento_Shipping Magento_Bundle Magento_ConfigurableProduct "
    "Magento_GiftMessage Magento_Inventory Magento_InventoryShipping Magento_Integration Magento_Webapi"
).split()

_INVOICE_COLUMNS = {
    **dict.fromkeys(
        "base_grand_total billing_address_id entity_id grand_total order_id shipping_address_id state store_id "
        "subtotal tax_amount total_qty".split(),
        NUMBER,
    ),
    "increment_id": TEXT,
    "created_at": DATE,
    "updated_at": DATE,
}
_PRODUCT_COLUMNS = {
    **dict.fromkeys("entity_id attribute_set_id price status visibility weight".split(), NUMBER),
    **dict.fromkeys("sku name type_id".split(), TEXT),
    "created_at": DATE,
    "updated_at": DATE,
}
_SOURCE_ITEM_COLUMNS = {"sku": TEXT, "source_code": TEXT, "quantity": NUMBER, "status": NUMBER}
_TAX_RATE_COLUMNS = {
    **dict.fromkeys("id rate tax_region_id".split(), NUMBER),
    **dict.fromkeys("code region_name tax_country_id tax_postcode".split(), TEXT),
}


class Text(bytes):
    """JSON text that is ready to be sent."""


def _fields(request: Request) -> tuple[FieldTree | None, str] | None:
    """The ``fields`` parameter: None if there is none, a tree of None if it is malformed."""
    asked = request.query.get("fields")
    return (FieldTree.parse(asked), asked) if isinstance(asked, str) and asked else None


def _list(
    request: Request,
    rows: Iterable[Mapping[str, Any]],
    columns: Columns,
    unknown_field: Callable[[str], Exception] | None = None,
) -> Any:
    """The answer of a small list endpoint."""
    shop = request.shop
    criteria = read_criteria(request.query, shop.switches.page_size_limit)
    found = search(rows, criteria, columns, unknown_field or (lambda name: shop.internal_error()))
    page = criteria.page(found, shop.switches.repeat_last_page)
    answer = {"items": list(page), "search_criteria": criteria.echo(), "total_count": len(found)}
    return _prune_list(request, answer)


def _prune_list(request: Request, answer: dict[str, Any]) -> Any:
    fields = _fields(request)
    if fields is None:
        return answer
    tree = fields[0]
    if tree is None:
        return []
    pruned = tree.prune(answer)
    if "items" in pruned and not pruned["items"]:
        pruned["items"] = None
    return pruned or []


def _one(request: Request, document: Any) -> Any:
    """A single document, pruned if that was asked for."""
    fields = _fields(request)
    if fields is None:
        return document
    return (fields[0].prune(document) if fields[0] else None) or []


# --- orders -----------------------------------------------------------------------------------------------------------


@ROUTES.play("GET", "/V1/orders", "Magento_Sales::actions_view")
def list_orders(request: Request) -> Any:
    """A page of orders. The store code in the URL filters nothing."""
    shop = request.shop
    criteria = read_criteria(request.query, shop.switches.page_size_limit)
    page, total = shop.find_orders(criteria)
    fields = _fields(request)
    if fields is None:
        texts = [view.text() for view in page]
        echo = dumps(criteria.echo()).encode()
        return Text(b'{"items":[%s],"search_criteria":%s,"total_count":%d}' % (b",".join(texts), echo, total))
    tree, asked = fields
    if tree is None:
        return []
    answer = tree.prune({"items": [], "search_criteria": criteria.echo(), "total_count": total})
    if "items" not in answer or not page:
        return _prune_list(request, {"items": [], "search_criteria": criteria.echo(), "total_count": total})
    rows = tree.names["items"]
    texts = [view.pruned(rows, f"list {asked}") if rows.names else view.text() for view in page]
    parts = []
    for name, value in answer.items():
        text = b"[%s]" % b",".join(texts) if name == "items" else dumps(value).encode()
        parts.append(b"%s:%s" % (dumps(name).encode(), text))
    return Text(b"{%s}" % b",".join(parts))


@ROUTES.play("GET", "/V1/orders/{id}", "Magento_Sales::actions_view")
def read_order(request: Request) -> Any:
    """One order, exactly as the list shows it."""
    order_id = request.id("id")
    if order_id == 0:
        raise MagentoError(400, "An ID is needed. Set the ID and try again.")
    view = request.shop.visible(order_id)
    fields = _fields(request)
    if fields is None:
        return Text(view.text())
    tree, asked = fields
    if tree is None:
        return []
    text = view.pruned(tree, f"one {asked}")
    return [] if text == b"{}" else Text(text)


@ROUTES.play("POST", "/V1/orders", "Magento_Sales::create")
def save_order(request: Request) -> Any:
    """Store ext_order_id or a status."""
    return actions.save_fields(request.shop, request.body)


@ROUTES.play("POST", "/V1/orders/{id}/cancel", "Magento_Sales::cancel")
def cancel_order(request: Request) -> Any:
    """true, or false with status 200 where cancelling is impossible."""
    return actions.cancel(request.shop, request.shop.order(request.id("id")))


@ROUTES.play("POST", "/V1/orders/{id}/hold", "Magento_Sales::hold")
def hold_order(request: Request) -> Any:
    """true or 400."""
    return actions.hold(request.shop, request.shop.order(request.id("id")))


@ROUTES.play("POST", "/V1/orders/{id}/unhold", "Magento_Sales::unhold")
def unhold_order(request: Request) -> Any:
    """true or 400."""
    return actions.unhold(request.shop, request.shop.order(request.id("id")))


@ROUTES.play("POST", "/V1/orders/{id}/comments", "Magento_Sales::comment")
def comment_order(request: Request) -> Any:
    """true."""
    return actions.add_comment(request.shop, request.shop.order(request.id("id")), request.body)


@ROUTES.play("GET", "/V1/orders/{id}/comments", "Magento_Sales::actions_view")
def list_comments(request: Request) -> Any:
    """The history of one order, as a search result."""
    order_id = request.id("id")
    order = request.shop.order(order_id)
    rows = [
        {name: value for name, value in row.items() if name != "entity_name"} for row in order.data["status_histories"]
    ]
    condition = {"field": "parent_id", "value": str(order_id), "condition_type": "eq"}
    criteria = {"filter_groups": [{"filters": [condition]}]}
    return _prune_list(request, {"items": rows, "search_criteria": criteria, "total_count": len(rows)})


@ROUTES.play("GET", "/V1/orders/{id}/statuses", "Magento_Sales::actions_view")
def read_status(request: Request) -> Any:
    """The status label, as JSON text."""
    return request.shop.order(request.id("id")).data.get("status")


# --- invoices and shipments -------------------------------------------------------------------------------------------


@ROUTES.play("POST", "/V1/order/{orderId}/invoice", "Magento_Sales::invoice")
def invoice_order(request: Request) -> Any:
    """The new invoice's id."""
    return actions.invoice(request.shop, request.shop.order(request.id("orderId")), request.body)


@ROUTES.play("GET", "/V1/invoices", "Magento_Sales::sales_invoice")
def list_invoices(request: Request) -> Any:
    """A page of invoices."""
    return _list(request, request.shop.invoices.values(), _INVOICE_COLUMNS)


@ROUTES.play("GET", "/V1/invoices/{id}", "Magento_Sales::sales_invoice")
def read_invoice(request: Request) -> Any:
    """One invoice."""
    document = request.shop.invoices.get(request.id("id"))
    if document is None:
        raise no_such_entity()
    return _one(request, document)


@ROUTES.play("POST", "/V1/order/{orderId}/ship", "Magento_Sales::ship")
def ship_order(request: Request) -> Any:
    """The new shipment's id."""
    return shipments.ship(request.shop, request.shop.order(request.id("orderId")), request.body)


@ROUTES.play("GET", "/V1/shipments", "Magento_Sales::shipment")
def list_shipments(request: Request) -> Any:
    """A page of shipments."""
    shop = request.shop
    rows: Iterable[Mapping[str, Any]] = shop.shipments.values()
    for group in read_criteria(request.query).groups:
        one = group[0]
        if len(group) == 1 and one.field == "order_id" and one.played == "eq" and one.value.isdigit():
            # The question before every shipment of ours; it must not go through all shipments of the shop.
            rows = shop.shipments_of.get(int(one.value), [])
    return _list(request, rows, shipments.SHIPMENT_COLUMNS)


@ROUTES.play("GET", "/V1/shipment/{id}", "Magento_Sales::shipment")
def read_shipment(request: Request) -> Any:
    """One shipment."""
    return _one(request, shipments.shipment(request.shop, request.id("id")))


@ROUTES.play("POST", "/V1/shipment/track", "Magento_Sales::shipment")
def add_track(request: Request) -> Any:
    """The track."""
    return shipments.add_track(request.shop, request.body)


@ROUTES.play("POST", "/V1/shipment/{id}/emails", "Magento_Sales::shipment")
def mail_shipment(request: Request) -> Any:
    """true."""
    return shipments.send_mail(request.shop, request.id("id"))


# --- products, stock, store -------------------------------------------------------------------------------------------


@ROUTES.play("GET", "/V1/products/{sku}", "Magento_Catalog::products")
def read_product(request: Request) -> Any:
    """One product; the case of the SKU does not matter, and the answer has the stored spelling."""
    product = request.shop.catalogue.find(request.path["sku"])
    if product is None:
        raise MagentoError(404, "The product that was requested doesn't exist. Verify the product and try again.")
    return _one(request, request.shop.catalogue.document(product))


@ROUTES.play("GET", "/V1/products", "Magento_Catalog::products")
def list_products(request: Request) -> Any:
    """A page of products; an unknown field is 400 here, not 500."""
    documents = request.shop.catalogue.documents()
    rows = [{**document, "entity_id": document["id"]} for document in documents]

    def unknown_field(name: str) -> Exception:
        return MagentoError(400, 'The "%1" attribute name is invalid. Reset the name and try again.', [name])

    answer = _list(request, rows, _PRODUCT_COLUMNS, unknown_field)
    for row in (answer.get("items") if isinstance(answer, dict) else None) or []:
        row.pop("entity_id", None)
    return answer


@ROUTES.play("GET", "/V1/inventory/source-items", "Magento_InventoryApi::source")
def list_source_items(request: Request) -> Any:
    """Physical quantities by source."""
    return _list(request, request.shop.catalogue.source_items(), _SOURCE_ITEM_COLUMNS)


@ROUTES.play("GET", "/V1/taxRates/search", "Magento_Tax::manage_tax")
def list_tax_rates(request: Request) -> Any:
    """The tax rates, as recorded."""
    return _list(request, _STORE["taxRates"], _TAX_RATE_COLUMNS)


@ROUTES.play("GET", "/V1/store/storeViews", "Magento_Backend::store")
def list_store_views(request: Request) -> Any:
    """The store views; ``gross`` is the sandbox's own, the others were recorded."""
    return [
        {"id": 3, "code": "gross", "name": "Gross View", "website_id": 1, "store_group_id": 1, "is_active": 1},
        *_STORE["storeViews"],
    ]


@ROUTES.play("GET", "/V1/store/storeConfigs", "Magento_Backend::store")
def list_store_configs(request: Request) -> Any:
    """Locale, currency, time zone per store view. Whether prices include tax does not stand here."""
    default = next(row for row in _STORE["storeConfigs"] if row["code"] == "default")
    return [*_STORE["storeConfigs"], {**default, "id": 3, "code": "gross"}]


@ROUTES.play("GET", "/V1/store/websites", "Magento_Backend::store")
def list_websites(request: Request) -> Any:
    """The websites."""
    return _STORE["websites"]


@ROUTES.play("GET", "/V1/directory/currency", ANONYMOUS)
def read_currency(request: Request) -> Any:
    """Currencies and rates."""
    return _STORE["currency"]


@ROUTES.play("GET", "/V1/modules", "Magento_Backend::admin")
def list_modules(request: Request) -> Any:
    """A bare list of everything, whatever the criteria say."""
    return _MODULES


def admin_token(shop: Shop, body: Mapping[str, Any], token_for: Callable[[str, str], str]) -> str:
    """A JSON text with the token (the route is added by ``app``, which holds the credentials)."""
    for name in ("username", "password"):
        if name not in body:
            raise required(name)
    token = token_for(body["username"], body["password"])
    if shop.switches.two_factor:
        raise MagentoError(400, "Please ask an administrator with sufficient access to configure 2FA first")
    return token

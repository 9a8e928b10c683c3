"""What an operator may say about a connection to SAP Business One, with the consequence of every option.

Read by the whole agency as ``agent.settings``; checked when the connection is stored and again when a worker opens it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: What the agency itself decides: a static table that set one of these would break identity or totals.
OURS = frozenset(
    {
        "CardCode",
        "DocCurrency",
        "DocDate",
        "DocumentLines",
        "DocumentAdditionalExpenses",
        "DocTotal",
        "DocTotalFc",
        "DiscountPercent",
        "Rounding",
        "RoundingDiffAmount",
        "ItemCode",
        "Quantity",
        "UnitPrice",
        "Price",
        "LineTotal",
        "VatGroup",
        "TaxCode",
    }
)


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaxOption(_Options):
    """One row of the tax map: which SAP code a tax of the shop becomes. The first row that fits a line is taken."""

    #: The shop's tax code. Several applied together are joined with ``+`` in the shop's order ("US-CA+US-CA-LA").
    #: "" fits what the shop did not tax.
    code: str = ""
    #: The shop's rate in percent; None fits any rate of ``code``.
    percent: Decimal | None = None
    #: What is taxed; None fits all three.
    kind: Literal["goods", "service", "freight"] | None = None
    #: Ship-to countries (ISO 3166-1 alpha-2) it is for; empty: all. Tells export from reverse charge from exempt at 0 %.
    countries: tuple[str, ...] = ()
    #: Whether the customer gave a VAT number; None: does not matter.
    vat_id: bool | None = None
    #: SAP's code in European localisations. Exactly one of ``vat_group`` and ``tax_code`` is set.
    vat_group: str = ""
    #: SAP's code in US, Canadian, Indian and Latin American localisations.
    tax_code: str = ""
    #: SAP's rates of that code in percent, one per jurisdiction: SAP rounds each by itself, and totals are predicted with
    #: them. Empty: the shop's rates. `doctor` compares.
    rates: tuple[Decimal, ...] = ()

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if bool(self.vat_group) == bool(self.tax_code):
            raise ValueError("set exactly one of vat_group and tax_code")
        return self


class ExtraOption(_Options):
    """How a further amount of the shop's total (gift card, fee, fixed product tax) is booked: as an expense."""

    #: The shop's name for the amount, as the frontend's agency gives it.
    code: str
    #: Number of the expense (SAP: Administration, Setup, General, Freight).
    expense_code: int
    #: SAP's tax code for it, in European localisations; exactly one of the two is set.
    vat_group: str = ""
    #: SAP's tax code for it elsewhere.
    tax_code: str = ""
    #: SAP's rate for that code: the shop's amount is gross, and what is sent is net of this.
    rate: Decimal = Decimal(0)

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if bool(self.vat_group) == bool(self.tax_code):
            raise ValueError("set exactly one of vat_group and tax_code")
        return self


class RoundingOptions(_Options):
    """How the cents between the shop's total and SAP's own arithmetic are carried."""

    #: ``freight``: an expense of its own, exempt from tax, negative allowed. ``header``: SAP's rounding field; not every
    #: localisation has it. ``item``: a line with an item of its own; it stays open and keeps orders from closing.
    carrier: Literal["freight", "header", "item"] = "freight"
    #: The expense of carrier ``freight``. Must not be one that freight or an extra uses: it is how it is found again.
    expense_code: int | None = None
    #: The item of carrier ``item``.
    item_code: str = ""
    #: SAP's exempt code, for European localisations; one of the two for carriers ``freight`` and ``item``.
    vat_group: str = ""
    #: SAP's exempt code elsewhere.
    tax_code: str = ""
    #: No correction is larger than this, in the document's currency, however many rows there are.
    cap: Decimal = Field(default=Decimal("0.10"), ge=0)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.carrier != "header" and bool(self.vat_group) == bool(self.tax_code):
            raise ValueError(f"carrier {self.carrier} needs an exempt code: set exactly one of vat_group and tax_code")
        if self.carrier == "freight" and self.expense_code is None:
            raise ValueError("carrier freight needs an expense_code of its own")
        if self.carrier == "item" and not self.item_code:
            raise ValueError("carrier item needs an item_code")
        return self


class StaticOptions(_Options):
    """Any SAP field or UDF set to a fixed value, without code: series, branch, salesperson, mandatory UDFs."""

    #: On the document.
    header: dict[str, Any] = Field(default_factory=dict)
    #: On each line.
    line: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _not_ours(self) -> Self:
        wrong = sorted(OURS & {*self.header, *self.line})
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot be set here: totals and identity depend on it")
        return self


class CarrierOption(_Options):
    """What a shipping type of SAP is called in the frontend."""

    #: The frontend's carrier code.
    carrier: str = "custom"
    #: Shown to the customer beside the number.
    title: str = ""


class B1Settings(_Options):
    """Settings of a connection whose agent is ``b1``."""

    # --- the company ---

    #: Name of the company's database, as its Service Layer login wants it.
    company_db: str
    #: A licensed user of DataWald's own: SAP's change log then tells its changes from people's.
    username: str
    #: CA file for the Service Layer's certificate (a path on the worker's machine); "" uses the system's.
    ca_file: str = ""
    #: Turns certificate checks off. For a first look at a self-signed server, never for work.
    insecure: bool = False
    #: Sessions kept open per process. SAP licenses and memory suffer above 4.
    sessions: int = Field(default=3, ge=1, le=8)
    #: Zone of the company and its server ("America/New_York"): document dates are days there, and SAP's times of change
    #: are local. Asked for, since a wrong one books evening orders on the wrong day.
    time_zone: str
    #: The company's local currency ("EUR"): documents in another carry their total in ``DocTotalFc``. `doctor` compares.
    local_currency: str
    #: Decimals of amounts and of prices in the company. `doctor` compares.
    total_decimals: int = Field(default=2, ge=0, le=6)
    price_decimals: int = Field(default=4, ge=0, le=6)

    # --- identity ---

    #: Header field that carries the business key. "" where no UDF may be installed: then ``NumAtCard`` carries it, which
    #: clerks edit and SAP's "Duplicate" copies.
    key_udf: str = "U_DW_KEY"
    #: Line field that carries the shop's line id. "" links lines by their order and item, which is a guess once a clerk
    #: inserted rows.
    line_udf: str = "U_DW_LINE"
    #: What people see as the customer's reference: ``po_number`` (else the order's number), ``increment_id``.
    num_at_card: Literal["po_number", "increment_id"] = "po_number"
    #: Written before the order's number there, never before a PO number.
    num_at_card_prefix: str = ""

    # --- customers ---

    #: The shared customers of one-time buyers: card code per ``<store view>/<currency>``; ``*`` stands for any view. A
    #: buyer's own card code is the agent's hook ``card_code_for``.
    card_codes: dict[str, str] = Field(min_length=1)
    #: UDFs on the document for the buyer's e-mail and telephone; "": not written.
    email_udf: str = ""
    phone_udf: str = ""

    # --- money ---

    #: Which SAP code each tax of the shop becomes. Nothing fits: the order fails and says which key is missing.
    taxes: tuple[TaxOption, ...] = Field(min_length=1)
    #: Expense number per shipping method of the shop; ``*`` is the default.
    freight: dict[str, int] = Field(default_factory=dict)
    #: Further amounts of the shop's total. An amount that is not listed fails the order.
    extras: tuple[ExtraOption, ...] = ()
    rounding: RoundingOptions
    #: How SAP rounds tax: ``row`` (Round Tax Amounts in Rows) or ``group`` (once per tax code). `doctor` compares.
    tax_rounding: Literal["row", "group"] = "row"
    #: ``order`` books in the currency the customer paid in, ``base`` in the shop's base currency.
    currency: Literal["order", "base"] = "order"

    # --- documents ---

    #: Days from the document's date to its due date.
    lead_days: int = Field(default=1, ge=0)
    #: Remarks of the document; ``{increment_id}``, ``{store_view}``, ``{payment_method}``, ``{shipping_method}`` and
    #: ``{gift_message}`` are filled in. Cut at 254.
    comments: str = "Web order {increment_id}"
    #: Fixed fields per store view; ``*`` for all, a view's own win.
    static: dict[str, StaticOptions] = Field(default_factory=dict)
    #: Warehouse of every line; "" leaves it to the item's default.
    warehouse: str = ""
    #: The shop's payment method -> SAP's ``PaymentMethod``; ``*`` is the default. A method not listed is left out.
    payment_methods: dict[str, str] = Field(default_factory=dict)
    #: The shop's shipping method -> ``TransportationCode``; ``*`` is the default. A method not listed is left out.
    shipping_methods: dict[str, int] = Field(default_factory=dict)
    #: The shop's country -> SAP's, where they differ.
    countries: dict[str, str] = Field(default_factory=dict)
    #: ``<country>/<region code>`` of the shop -> SAP's state, where they differ. "" drops it without a warning.
    regions: dict[str, str] = Field(default_factory=dict)
    #: A cancelled order of which part is delivered: ``close`` its open rest, or ``reject`` and let a person decide.
    cancel_partly_drawn: Literal["close", "reject"] = "close"

    # --- shipments ---

    #: Which documents say that goods left: delivery notes, invoices that are no reserve invoices and follow no delivery,
    #: or both.
    shipment_documents: Literal["deliveries", "invoices", "both"] = "both"
    #: Days during which a delivery is looked at again for a tracking number that came late, once an hour.
    tracking_days: int = Field(default=14, ge=1)
    #: Field of the delivery that holds the tracking numbers.
    tracking_field: str = "TrackingNumber"
    #: ``TransportationCode`` -> the frontend's carrier; ``*`` is the default. Not listed: ``custom``.
    carriers: dict[str, CarrierOption] = Field(default_factory=dict)
    #: Warehouse -> the frontend's stock source; a warehouse not listed is the frontend's default.
    sources: dict[str, str] = Field(default_factory=dict)
    #: Whether the frontend mails the customer about a shipment. Off until cut-over.
    notify: bool = False

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no time zone; write it like Europe/Berlin") from error
        return value

    @field_validator("comments")
    @classmethod
    def _known_words(cls, value: str) -> str:
        words = ("increment_id", "store_view", "payment_method", "shipping_method", "gift_message")
        try:
            value.format_map(dict.fromkeys(words, ""))
        except (KeyError, ValueError, IndexError) as error:
            raise ValueError(f"only {', '.join(f'{{{word}}}' for word in words)} are filled in") from error
        return value

    @model_validator(mode="after")
    def _rounding_stands_alone(self) -> Self:
        if self.rounding.carrier == "freight":
            taken = {*self.freight.values(), *(extra.expense_code for extra in self.extras)}
            if self.rounding.expense_code in taken:
                raise ValueError(f"rounding needs an expense of its own: {self.rounding.expense_code} is used already")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def key_field(self) -> str:
        """The header field that carries the business key."""
        return self.key_udf or "NumAtCard"

    @property
    def document_sets(self) -> tuple[str, ...]:
        """The entity sets that shipments are read from."""
        return {
            "deliveries": ("DeliveryNotes",),
            "invoices": ("Invoices",),
            "both": ("DeliveryNotes", "Invoices"),
        }[self.shipment_documents]

    def static_for(self, store_view: str) -> StaticOptions:
        """The fixed fields of a store view: those for all, then its own."""
        every, own = self.static.get("*", StaticOptions()), self.static.get(store_view, StaticOptions())
        return StaticOptions(header=every.header | own.header, line=every.line | own.line)

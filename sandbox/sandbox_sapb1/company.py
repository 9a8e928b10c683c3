"""The company: its tables, switches, rates, number sequences and sessions, as seeded.

One lock guards all of it. It is held while a request is worked, never while one waits (latency, a slow login).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from hashlib import sha1
from typing import Any

from sandbox_sapb1.arithmetic import Jurisdiction, Tax
from sandbox_sapb1.clock import Clock
from sandbox_sapb1.errors import missing_reference, rule
from sandbox_sapb1.model import TEXT, Model, Row, UserField, seed
from sandbox_sapb1.sessions import Sessions
from sandbox_sapb1.switches import Switches
from sandbox_sapb1.tables import Table

COMPANY_DB = "SBODEMO"
LOCAL_CURRENCY = "EUR"
#: A partner with it trades in every currency.
ALL_CURRENCIES = "##"
DEFAULT_WAREHOUSE = "01"
#: The first document of each kind gets number 1 as DocEntry and these as DocNum: nobody shall mix them up.
FIRST_DOC_NUM = {"Orders": 10001, "DeliveryNotes": 50001}

#: Fields on the header of every marketing document, and on every line: what a field on ORDR or RDR1 means.
HEADER_TABLES = frozenset({"ORDR", "ODLN", "OQUT", "OINV", "ORIN", "ORDN", "ODRF", "ODPI"})
LINE_TABLES = frozenset({"RDR1", "DLN1", "QUT1", "INV1", "RIN1", "RDN1", "DRF1", "DPI1"})


@dataclass(frozen=True)
class DocumentKind:
    """A kind of marketing document: its set, object and the tables its refusals name."""

    set_name: str
    object_name: str
    object_type: int
    header: str
    lines: str
    freights: str
    addresses: str


ORDER = DocumentKind("Orders", "oOrders", 17, "ORDR", "RDR1", "RDR3", "RDR12")
DELIVERY = DocumentKind("DeliveryNotes", "oDeliveryNotes", 15, "ODLN", "DLN1", "DLN3", "DLN12")


class Company:
    """Everything the sandbox knows."""

    def __init__(self, clock: Clock, switches: dict[str, Any] | None = None) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        #: What ``reset`` goes back to.
        self._switches_at_start = dict(switches or {})
        self.reset()

    def reset(self) -> None:
        """Back to the seed: no documents, no sessions, switches and clock as at the start."""
        with self.lock:
            self.clock.restart()
            self.switches = Switches()
            self.switches.change(self._switches_at_start)
            self.model = Model()
            self.sessions = Sessions(self.clock)
            self._sequences: dict[str, int] = {}
            #: currency -> date or ``*`` -> local currency per unit
            self.rates: dict[str, dict[str, Decimal]] = {}
            self.tables: dict[str, Table] = {}
            self._seed()
            self.apply_switches()

    # --- seed -------------------------------------------------------------------------------------------------------

    def _seed(self) -> None:
        tax, reference = seed("tax"), seed("reference")
        for name in ("VatGroups", "SalesTaxCodes"):
            self._fill(name, tax[name])
        for name, rows in reference.items():
            self._fill(name, rows)
        for currency, rate in tax["rates"].items():
            self.rates[currency] = {"*": Decimal(rate)}
        stamps = self.stamps(created=True)
        self._fill("BusinessPartners", [self._partner(row, stamps) for row in seed("partners")["BusinessPartners"]])
        items = seed("items")
        self._fill("Items", [])
        self._stock: dict[str, int] = items["stock"]
        for row in items["Items"]:
            self.add_item(row)
        for series in items["generated"]:
            for number in range(series["first"], series["last"] + 1):
                code = f"{series['prefix']}{number:0{series['digits']}}"
                self.add_item({"ItemCode": code, "ItemName": f"Product {code}"})
        self._fill("UserFieldsMD", [])
        # nobody invoices in this company, so its invoices are a set that is there and empty
        for name in ("Orders", "Drafts", "DeliveryNotes", "Invoices"):
            self.tables[name] = Table(self.model.types["Document"], indexed=("NumAtCard", "DocNum", "U_DW_KEY"))

    def _fill(self, set_name: str, rows: Iterable[Row]) -> None:
        table = Table(self.model.types[self.model.sets[set_name].type_name])
        for row in rows:
            table.add(row)
        self.tables[set_name] = table

    @staticmethod
    def _partner(row: Row, stamps: Row) -> Row:
        for number, address in enumerate(row.get("BPAddresses", [])):
            address |= {"BPCode": row["CardCode"], "RowNum": number}
        return {**row, "DataVersion": 1, "CardType": "cCustomer", **stamps}

    def add_item(self, row: Row) -> Row:
        """Put an item into the catalogue, in stock in every warehouse, priced by a rule of its code."""
        code = row["ItemCode"]
        stocked = row.get("InventoryItem", "tYES") == "tYES"
        # Any price will do, as long as it is the same in every run and never the price of a web shop.
        price = Decimal(sum(map(ord, code)) % 90 + 10)
        item = {
            "DefaultWarehouse": DEFAULT_WAREHOUSE,
            "SalesVATGroup": "A19",
            **row,
            "DataVersion": 1,
            **self.stamps(created=True),
            "ItemPrices": [{"PriceList": 1, "BasePriceList": 1, "Price": price, "Currency": LOCAL_CURRENCY}],
            "ItemWarehouseInfoCollection": [
                {"WarehouseCode": warehouse, "ItemCode": code, "InStock": Decimal(count if stocked else 0)}
                for warehouse, count in self._stock.items()
            ],
        }
        self.tables["Items"].add(item)
        return item

    def apply_switches(self) -> None:
        """Make what the switches say true that is not looked up when needed: the user-defined fields."""
        installed = self.user_field("ORDR", "DW_KEY") is not None
        if self.switches.user_fields and not installed:
            self.install_user_field("ORDR", {"Name": "DW_KEY", "Type": "db_Alpha", "Size": 100})
            self.install_user_field("RDR1", {"Name": "DW_LINE", "Type": "db_Alpha", "Size": 50})
        elif not self.switches.user_fields and installed:
            self.remove_user_field("ORDR", "DW_KEY")
            self.remove_user_field("RDR1", "DW_LINE")

    # --- user-defined fields ----------------------------------------------------------------------------------------

    def _types_of_table(self, table: str) -> list[str]:
        if table in HEADER_TABLES:
            return ["Document"]
        if table in LINE_TABLES:
            return ["DocumentLine"]
        return {"OCRD": ["BusinessPartner"], "OITM": ["Item"]}.get(table, [])

    def plays_user_fields_of(self, table: str) -> bool:
        return bool(self._types_of_table(table))

    def user_field(self, table: str, name: str) -> Row | None:
        """The definition that gives ``table`` a field of that name, whichever table of its family it was made on."""
        types = self._types_of_table(table)
        return next(
            (
                row
                for row in self.tables["UserFieldsMD"]
                if row["Name"] == name and self._types_of_table(row["TableName"]) == types
            ),
            None,
        )

    def install_user_field(self, table: str, told: Row) -> Row:
        """Add a field; one on ORDR appears on every marketing document, one on RDR1 on every line."""
        taken = [row["FieldID"] for row in self.tables["UserFieldsMD"] if row["TableName"] == table]
        number = max(taken, default=-1) + 1
        row = {
            "Description": told["Name"],
            "SubType": "st_None",
            "Mandatory": "tNO",
            "ValidValuesMD": [],
            **told,
            "TableName": table,
            "FieldID": number,
        }
        row["EditSize"] = row.get("Size")
        self.tables["UserFieldsMD"].add(row)
        for type_name in self._types_of_table(table):
            self.model.types[type_name].add_user_field(
                UserField(
                    name=f"U_{told['Name']}",
                    kind={"db_Numeric": "Int32", "db_Float": "Double", "db_Date": "DateTimeOffset"}.get(
                        row.get("Type", "db_Alpha"), TEXT
                    ),
                    size=row.get("Size"),
                    default=row.get("DefaultValue"),
                    valid_values={one["Value"]: one.get("Description") or "" for one in row["ValidValuesMD"]},
                )
            )
        return row

    def remove_user_field(self, table: str, name: str) -> None:
        row = self.user_field(table, name)
        if row is not None:
            self.tables["UserFieldsMD"].remove((row["TableName"], row["FieldID"]))
            for type_name in self._types_of_table(table):
                self.model.types[type_name].remove_user_field(f"U_{name}")

    # --- lookups ----------------------------------------------------------------------------------------------------

    def next_number(self, sequence: str, first: int = 1) -> int:
        """The next number of a sequence; numbers of refused documents are not lost here."""
        number = self._sequences.get(sequence, first)
        self._sequences[sequence] = number + 1
        return number

    def peek_number(self, sequence: str, first: int = 1) -> int:
        return self._sequences.get(sequence, first)

    def stamps(self, created: bool = False) -> Row:
        """UpdateDate and UpdateTime of this moment, and on request the creation's: the server's local time."""
        date, time = self.clock.date_stamp(), self.clock.time_stamp()
        told: Row = {"UpdateDate": date, "UpdateTime": time}
        return {**told, "CreateDate": date, "CreateTime": time} if created else told

    def rate(self, currency: str, date: str) -> Decimal:
        """Local currency per unit of ``currency`` on a date (``YYYY-MM-DD…``); a missing one is refused."""
        known = self.rates.get(currency, {})
        rate = known.get(date[:10], known.get("*"))
        if rate is None:
            raise rule(f"Update the exchange rate  , '{currency}'")
        return rate

    def tax(self, code: str, where: str) -> Tax:
        """The tax that a code of this company's localisation means."""
        if self.switches.tax_property == "VatGroup":
            row = self.tables["VatGroups"].get(code)
            if row is None or row.get("Inactive") == "tYES":
                raise rule("10000180 - Invalid VAT group", where)
            return _vat_group(code, Decimal(str(row["VatGroups_Lines"][-1]["Rate"])))
        row = self.tables["SalesTaxCodes"].get(code)
        if row is None or row.get("Inactive") == "tYES":
            raise rule("10000180 - Specify valid tax code", where)
        return _sales_tax_code(
            code,
            tuple(
                (line["STACode"], line["STAType"], Decimal(str(line["EffectiveRate"])))
                for line in row["SalesTaxCodes_Lines"]
            ),
        )

    def require(self, set_name: str, key: Any, where: str) -> Row:
        """The row a code in a document names; refused with the place if there is none."""
        row = self.tables[set_name].get(key)
        if row is None:
            raise missing_reference(where)
        return row

    def warehouse_stock(self, item: Row, warehouse: str) -> Row:
        """The item's figures in one warehouse; begins at zero where it never lay."""
        for row in item["ItemWarehouseInfoCollection"]:
            if row["WarehouseCode"] == warehouse:
                return row
        row = {"WarehouseCode": warehouse, "ItemCode": item["ItemCode"], "InStock": Decimal(0)}
        item["ItemWarehouseInfoCollection"].append(row)
        return row


@lru_cache
def _vat_group(code: str, rate: Decimal) -> Tax:
    return Tax(code, (Jurisdiction(code, 0, rate),))


@lru_cache
def _sales_tax_code(code: str, parts: tuple[tuple[str, int, Decimal], ...]) -> Tax:
    return Tax(code, tuple(Jurisdiction(*part) for part in parts))


@lru_cache(4096)
def etag(data_version: int) -> str:
    """The weak ETag of a row: upper-case hexadecimal SHA-1 of its DataVersion in decimal."""
    return f'W/"{sha1(str(data_version).encode(), usedforsecurity=False).hexdigest().upper()}"'

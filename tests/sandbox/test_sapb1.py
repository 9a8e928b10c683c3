"""The Service Layer simulator, through HTTP on a real process, against recorded answers and facts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from sandbox_sapb1.cli import main

RECORDED = Path(__file__).parents[1] / "recorded" / "sapb1"
BASE = "/b1s/v2"
LOGIN = {"CompanyDB": "SBODEMO", "UserName": "manager", "Password": "sandbox"}
NOW = "2026-03-01T10:00:00"


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def etag_of(version: int) -> str:
    return f'W/"{sha1(str(version).encode()).hexdigest().upper()}"'


class Server:
    """A running sandbox and a client of it."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {name: value for name, value in os.environ.items() if name != "SANDBOX_SAPB1_PASSWORD"}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "sandbox_sapb1", "serve", "--port", str(self.port), "--now", NOW],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                requests.get(f"{self.url}/_sandbox/company", timeout=1)
                break
            except requests.ConnectionError:
                assert self.popen.poll() is None and time.monotonic() < deadline, "the sandbox does not start"
                time.sleep(0.05)
        self.http = requests.Session()
        self.cookie = ""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
        return self.http.request(method, f"{self.url}{BASE}/{path}", json=body, headers=headers, timeout=10)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, f"{self.url}/_sandbox/{path}", json=body, timeout=10)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def switch(self, **switches: Any) -> None:
        self.control("POST", "company", switches)

    def log_in(self) -> None:
        answer = self.call("POST", "Login", LOGIN)
        assert answer.status_code == 200, answer.text
        self.cookie = f"B1SESSION={answer.json()['SessionId']}; ROUTEID=.node1"
        self.http.cookies.clear()

    def get(self, path: str, **headers: str) -> Any:
        answer = self.call("GET", path, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def order(self, key: str = "shop:1", **changes: Any) -> Any:
        answer = self.call("POST", "Orders", order(key, **changes))
        assert answer.status_code == 201, answer.text
        return answer.json()


def line(item: str = "SIMPLE-1", **changes: Any) -> dict[str, Any]:
    return {"ItemCode": item, "Quantity": 2, "UnitPrice": 50, "VatGroup": "A19", "U_DW_LINE": "7", **changes}


def order(key: str = "shop:1", **changes: Any) -> dict[str, Any]:
    return {
        "CardCode": "C_WEB_DEFAULT_EUR",
        "DocDueDate": "2026-03-02",
        "NumAtCard": key.partition(":")[2],
        "U_DW_KEY": key,
        "DocumentLines": [line()],
        **changes,
    }


def refusal(answer: requests.Response) -> tuple[int, str, str]:
    """Status, code and text of an error in the shape of v2; anything else fails."""
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"code", "details", "message"}
    assert body["error"]["details"] == [{"code": "", "message": ""}]
    assert isinstance(body["error"]["code"], str)
    return answer.status_code, body["error"]["code"], body["error"]["message"]


@pytest.fixture(scope="module")
def process() -> Iterator[Server]:
    running = Server()
    yield running
    running.popen.terminate()
    running.popen.wait(10)


@pytest.fixture
def sap(process: Server) -> Server:
    process.cookie = ""
    process.http.cookies.clear()
    process.control("POST", "reset")
    process.log_in()
    return process


# --- session ------------------------------------------------------------------------------------------------------------


def test_login_is_as_recorded(sap: Server) -> None:
    sap.cookie = ""
    answer = sap.call("POST", "Login", LOGIN)
    told = recorded("01_login_v2_200")["response"]
    assert answer.json().keys() == told["body"].keys()
    assert answer.json()["@odata.context"].endswith("/b1s/v2/$metadata#B1Sessions/$entity")
    assert (answer.json()["Version"], answer.json()["SessionTimeout"]) == ("1000280", 30)
    assert answer.headers["Content-Type"] == told["headers"]["Content-Type"]
    session = answer.json()["SessionId"]
    assert answer.raw.headers.getlist("Set-Cookie") == [f"B1SESSION={session};HttpOnly;", "ROUTEID=.node1; path=/b1s"]


def test_newer_builds_send_an_odder_cookie(sap: Server) -> None:
    sap.switch(secure_cookies=True)
    answer = sap.call("POST", "Login", LOGIN)
    assert answer.raw.headers.getlist("Set-Cookie")[0].endswith(";HttpOnly;;Secure;SameSite=None")


def test_a_missing_or_garbled_session_is_refused_as_recorded(sap: Server) -> None:
    told = recorded("06_error_401_invalid_session_v2")["response"]
    path = "BusinessPartners('CTESTB1SLVCR')"
    for cookie in ("B1SESSION=nonsense", "a=b"):
        answer = sap.call("DELETE", path, Cookie=cookie)
        assert answer.status_code == told["status"]
        assert answer.json() == told["body"]
        assert answer.headers["WWW-Authenticate"] == told["headers"]["WWW-Authenticate"]
        assert answer.headers["Content-Type"] == told["headers"]["Content-Type"]
        assert "OData-Version" not in answer.headers
    assert refusal(sap.call("POST", "login", LOGIN, Cookie="a=b"))[:2] == (401, "301")  # paths are case-sensitive


def test_wrong_credentials(sap: Server) -> None:
    texts = {error["code"]: error["message"] for error in recorded("09_error_catalogue")["errors"]}
    assert refusal(sap.call("POST", "Login", {**LOGIN, "Password": "x"})) == (401, "-304", texts[-304])
    assert refusal(sap.call("POST", "Login", {**LOGIN, "CompanyDB": "x"})) == (401, "-306", texts[-306])


def test_sessions_die_of_inactivity_and_only_of_that(sap: Server) -> None:
    for _ in range(3):
        sap.control("POST", "clock", {"advance_seconds": 29 * 60})
        sap.get("Orders")
    sap.control("POST", "clock", {"advance_seconds": 31 * 60})
    assert refusal(sap.call("GET", "Orders"))[:2] == (401, "301")


def test_logout_and_dropped_sessions(sap: Server) -> None:
    assert sap.call("POST", "Logout").status_code == 204
    assert sap.call("GET", "Orders").status_code == 401
    sap.log_in()
    assert sap.control("DELETE", "sessions")["dropped"] == 1
    assert sap.call("GET", "Orders").status_code == 401


def test_of_parallel_logins_all_but_the_first_fail(sap: Server) -> None:
    sap.switch(login_lock=True, login_seconds=0.4)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: requests.post(f"{sap.url}{BASE}/Login", json=LOGIN, timeout=5), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 500, 500, 500]
    failed = next(answer for answer in answers if answer.status_code == 500)
    assert refusal(failed) == (500, "299", "SAML Login Failed")


def test_the_balancers_cookie_can_be_required(sap: Server) -> None:
    sap.switch(require_routeid=True)
    assert sap.call("GET", "Orders").status_code == 200
    assert sap.call("GET", "Orders", Cookie=sap.cookie.partition(";")[0]).status_code == 401


# --- master data --------------------------------------------------------------------------------------------------------


def test_items_have_all_recorded_properties(sap: Server) -> None:
    told = recorded("02_item_get_v2_200")["response"]["body"]
    answer = sap.call("GET", "Items('SIMPLE-1')")
    item = answer.json()
    assert {name for name in told if not name.startswith("U_")} <= item.keys()
    assert {name for name in told["ItemWarehouseInfoCollection"][0] if not name.startswith("U_")} <= item[
        "ItemWarehouseInfoCollection"
    ][0].keys()
    assert answer.headers["ETag"] == item["@odata.etag"] == etag_of(item["DataVersion"])
    assert item["UpdateDate"] == "2026-03-01T00:00:00Z"


def test_partners_have_all_recorded_properties(sap: Server) -> None:
    told = recorded("05_businesspartner_post_v2_201")["response"]["body"]
    partner = sap.get("BusinessPartners('C_WEB_US_USD')")
    assert told.keys() <= partner.keys()
    assert told["BPAddresses"][0].keys() <= partner["BPAddresses"][0].keys()
    assert partner["Currency"] == "USD"


def test_the_seed(sap: Server) -> None:
    skus = {row["ItemCode"] for row in sap.get("Items?$select=ItemCode", Prefer="odata.maxpagesize=0")["value"]}
    assert {"SIMPLE-1", "SIMPLE-2", "CFG-1-M", "BND-DYN", "BND-FIX", "VIRT-1", "OPT-1", "OPT-1-BLU"} <= skus
    assert {f"DW-{number:04}" for number in range(1, 51)} <= skus
    rates = {row["Code"]: row["VatGroups_Lines"][0]["Rate"] for row in sap.get("VatGroups")["value"]}
    assert rates["A19"] == 19.0 and rates["USCA825"] == 8.25
    assert {row["Code"]: row["Rate"] for row in sap.get("SalesTaxCodes")["value"]}["NY8875"] == 8.875
    assert {row["ExpensCode"]: row["Name"] for row in sap.get("AdditionalExpenses")["value"]} == {
        1: "Freight",
        2: "Rounding",
        3: "Handling",
    }
    for name in ("Warehouses", "ShippingTypes", "Currencies", "Countries", "States", "PaymentTermsTypes"):
        assert sap.get(name)["value"]
    assert sap.get("States(Code='CA',Country='US')")["Name"] == "California"


def test_admin_info_tells_how_the_company_counts(sap: Server) -> None:
    told = sap.call("POST", "CompanyService_GetAdminInfo").json()
    assert (told["LocalCurrency"], told["TotalsAccuracy"], told["RoundTaxAmounts"]) == ("EUR", 2, "tYES")
    assert told["EnableApprovalProcedureInDI"] == "tNO"
    sap.switch(tax_rounding="group", approval="refused")
    told = sap.call("POST", "CompanyService_GetAdminInfo").json()
    assert (told["RoundTaxAmounts"], told["EnableApprovalProcedureInDI"]) == ("tNO", "tYES")


def test_missing_keys_read_and_change_differently(sap: Server) -> None:
    assert refusal(sap.call("GET", "Items('NOPE')")) == (404, "-2028", "No matching records found (ODBC -2028)")
    told = recorded("07_error_404_not_found_v2")["response"]
    answer = sap.call("DELETE", "BusinessPartners('CTESTB1SLVCR')")
    assert (answer.status_code, answer.json()) == (told["status"], told["body"])
    assert answer.headers["OData-Version"] == "4.0"


# --- user-defined fields ------------------------------------------------------------------------------------------------


def test_a_field_on_ordr_appears_on_every_document(sap: Server) -> None:
    field = {"Name": "EMAIL", "TableName": "ORDR", "Type": "db_Alpha", "Size": 10, "Description": "E-mail"}
    answer = sap.call("POST", "UserFieldsMD", field)
    assert answer.status_code == 201 and answer.json()["FieldID"] == 1
    assert answer.headers["Location"].endswith("/UserFieldsMD(TableName='ORDR',FieldID=1)")
    assert refusal(sap.call("POST", "UserFieldsMD", field))[:2] == (400, "-2035")
    made = sap.order(U_EMAIL="a@b.de")
    assert made["U_EMAIL"] == "a@b.de"
    assert sap.get("DeliveryNotes?$filter=U_EMAIL eq 'x'")["value"] == []
    status, _, text = refusal(sap.call("POST", "Orders", order("shop:2", U_EMAIL="x" * 11)))
    assert status == 400 and "Value too long in property 'U_EMAIL'" in text
    found = sap.get("UserFieldsMD?$filter=TableName eq 'ORDR' and Name eq 'DW_KEY'")["value"]
    assert [(row["Name"], row["Type"], row["FieldID"]) for row in found] == [("DW_KEY", "db_Alpha", 0)]


def test_valid_values_and_mandatory_defaults(sap: Server) -> None:
    field = {"Name": "SBOCTX", "TableName": "ORDR", "Type": "db_Alpha", "Size": 1, "Mandatory": "tYES"}
    status, code, text = refusal(sap.call("POST", "UserFieldsMD", field))
    assert (status, code, text) == (400, "-5002", "A default value must be defined for a mandatory field")
    values = [{"Value": "A", "Description": "Alpha"}, {"Value": "B", "Description": "Beta"}]
    sap.call("POST", "UserFieldsMD", {**field, "DefaultValue": "B", "ValidValuesMD": values})
    assert sap.order()["U_SBOCTX"] == "B"
    texts = {error["code"]: error["message"] for error in recorded("09_error_catalogue")["errors"]}
    assert refusal(sap.call("POST", "Orders", order("shop:2", U_SBOCTX="Z"))) == (400, "-1004", texts[-1004])


def test_without_the_fields_their_names_are_unknown(sap: Server) -> None:
    sap.switch(user_fields=False)
    assert refusal(sap.call("POST", "Orders", order())) == (
        400,
        "-1000",
        "Property 'U_DW_KEY' of 'Document' is invalid",
    )
    assert refusal(sap.call("GET", "Orders?$filter=U_DW_KEY eq 'x'")) == (400, "201", "Property 'U_DW_KEY' is invalid")
    sap.switch(user_fields=True)
    assert sap.order()["U_DW_KEY"] == "shop:1"


# --- orders: making -----------------------------------------------------------------------------------------------------


def test_a_new_order_is_answered_in_full(sap: Server) -> None:
    answer = sap.call("POST", "Orders", order())
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{sap.url}{BASE}/Orders(1)"
    assert answer.headers["ETag"] == made["@odata.etag"] == etag_of(1)
    told = recorded("10_order_v1")["body"]
    own = {"U_SYNCFLAG", "U_WEBORDID", "U_WebOrderItemId"}  # that customer's fields
    assert told.keys() - own <= made.keys()
    assert told["DocumentLines"][0].keys() - own <= made["DocumentLines"][0].keys()
    assert (made["DocEntry"], made["DocNum"], made["DocDate"]) == (1, 10001, "2026-03-01T00:00:00Z")
    assert made["DocDueDate"] == "2026-03-02T00:00:00Z"
    assert made["CreationDate"] == made["UpdateDate"] == "2026-03-01T00:00:00Z"
    assert made["UpdateTime"].startswith("10:")  # server-local time
    first = made["DocumentLines"][0]
    assert (first["LineNum"], first["UnitPrice"], first["LineTotal"], first["TaxTotal"]) == (0, 50.0, 100.0, 19.0)
    assert (first["RemainingOpenQuantity"], first["LineStatus"], first["U_DW_LINE"]) == (2.0, "bost_Open", "7")
    assert (first["VatGroup"], first["TaxCode"], first["WarehouseCode"]) == ("A19", None, "01")
    assert (made["DocTotal"], made["VatSum"], made["DocTotalFc"]) == (119.0, 19.0, 0.0)
    assert {**sap.get("Orders(1)"), "@odata.context": None} == {**made, "@odata.context": None}
    assert sap.get("Orders(DocEntry=1)")["DocEntry"] == 1
    stock = sap.get("Items('SIMPLE-1')")["ItemWarehouseInfoCollection"][0]
    assert (stock["InStock"], stock["Committed"]) == (1000.0, 2.0)


def test_the_official_sample_shape_with_numbers_as_texts(sap: Server) -> None:
    sap.switch(tax_property="TaxCode")
    sample = recorded("13_official_request_examples_v2")["examples"]["Orders"]["POST"]["body"]
    sample |= {"CardCode": "C_WEB_DEFAULT_EUR"}
    sample["DocumentLines"][0] |= {"ItemCode": "DW-0001", "TaxCode": "EX"}
    answer = sap.call("POST", "Orders", sample)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["DocTotal"], answer.json()["DocDueDate"]) == (3000.0, "2014-04-04T00:00:00Z")


def test_no_content_on_request(sap: Server) -> None:
    answer = sap.call("POST", "Orders", order(), Prefer="return-no-content")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Location"].endswith("Orders(1)")
    assert answer.headers["Preference-Applied"] == "return-no-content"


@pytest.mark.parametrize(
    ("changes", "status", "code", "part"),
    [
        ({"CardCode": "NOPE"}, 400, "-2028", "[ORDR.CardCode]"),
        ({"CardCode": "C_FROZEN"}, 400, "-10", "10001071"),
        ({"DocDueDate": None}, 400, "-10", "[ORDR.DocDueDate]"),
        ({"DocumentLines": []}, 400, "-5002", "[RDR1]"),
        ({"DocumentLines": [line(), line("NOPE")]}, 400, "-2028", "[RDR1.ItemCode][line: 2]"),
        ({"DocumentLines": [line("DW-INACTIVE")]}, 400, "-10", "10001069 - Item DW-INACTIVE is inactive"),
        ({"DocumentLines": [line(VatGroup="XX")]}, 400, "-10", "10000180"),
        ({"DocumentLines": [line(WarehouseCode="99")]}, 400, "-2028", "[RDR1.WhsCode][line: 1]"),
        ({"DocumentLines": [line(Quantity=0)]}, 400, "-5002", "[RDR1.Quantity]"),
        ({"DocumentLines": [line(NoSuch=1)]}, 400, "-1000", "Property 'NoSuch' of 'DocumentLine' is invalid"),
        ({"NoSuchField": 1}, 400, "-1000", "Property 'NoSuchField' of 'Document' is invalid"),
        ({"DiscountPercent": 100}, 400, "-5002", "[ORDR.DiscPrcnt]"),
        ({"DocCurrency": "USD"}, 400, "-10", "[ORDR.DocCur]"),
        ({"TransportationCode": 99}, 400, "-2028", "[ORDR.TrnspCode]"),
        ({"DocumentAdditionalExpenses": [{"ExpenseCode": 9, "LineTotal": 1}]}, 400, "-2028", "[RDR3.ExpnsCode]"),
        ({"AddressExtension": {"ShipToCountry": "US", "ShipToState": "BY"}}, 400, "-10", "[RDR12.StateS]"),
        ({"NumAtCard": "x" * 101}, 400, "-5002", "Value too long in property 'NumAtCard' of 'Document'"),
        ({"Confirmed": "maybe"}, 400, "-1004", "'tYES'"),
        ({"DocTotal": 100}, 501, "not-played", "DocTotal"),
        ({"DocType": "dDocument_Service"}, 501, "not-played", "'DocType'"),
        ({"DocumentLines": [line(BatchNumbers=[{"Quantity": 1}])]}, 501, "not-played", "'BatchNumbers'"),
        ({"DocumentLines": [line(TaxCode="EX")]}, 501, "not-played", "TaxCode"),
        ({"DocumentLines": [line(BaseType=23, BaseEntry=1, BaseLine=0)]}, 501, "not-played", "copied"),
    ],
)
def test_refused_orders(sap: Server, changes: dict[str, Any], status: int, code: str, part: str) -> None:
    got = refusal(sap.call("POST", "Orders", order(**changes)))
    assert got[:2] == (status, code) and part in got[2], got
    assert sap.control("GET", "state")["orders"]["live"] == 0


def test_read_only_and_default_values_are_ignored(sap: Server) -> None:
    made = sap.order(DocEntry=77, VatSum=5, DocType="dDocument_Items", HandWritten="tNO", Cancelled="tNO")
    assert (made["DocEntry"], made["VatSum"]) == (1, 19.0)


def test_refusals_of_the_installation(sap: Server) -> None:
    sap.switch(period_locked=True)
    assert refusal(sap.call("POST", "Orders", order()))[:2] == (400, "-10")
    sap.switch(period_locked=False, transaction_notification="No web orders on Sundays")
    assert refusal(sap.call("POST", "Orders", order())) == (400, "-1116", "No web orders on Sundays")


def test_addresses_keep_the_partners_parts_that_were_not_sent(sap: Server) -> None:
    made = sap.order(AddressExtension={"ShipToStreet": "Sonnenallee 1", "ShipToZipCode": ""})
    extension = made["AddressExtension"]
    assert (extension["ShipToStreet"], extension["ShipToZipCode"]) == ("Sonnenallee 1", "")
    assert extension["ShipToCity"] == "Berlin"  # the partner's
    assert extension["BillToStreet"] == "Shared partner street 1"


# --- orders: arithmetic -------------------------------------------------------------------------------------------------

#: Net rows and freight of two recorded web orders; the shop's totals are 348.06 and 634.73.
WEB_ORDERS = {
    "348.06": (["180", "89.99"], "22.5"),
    "634.73": (["109.8", "90", "59.99", "189", "44.1"], "40.5"),
}


@pytest.mark.parametrize(("by", "expected"), [("row", {"348.07", "634.74"}), ("group", {"348.06", "634.73"})])
def test_tax_rounded_by_row_misses_the_recorded_totals_by_a_cent(sap: Server, by: str, expected: set[str]) -> None:
    sap.switch(tax_rounding=by)
    totals = set()
    for key, (nets, freight) in WEB_ORDERS.items():
        lines = [line(Quantity=1, UnitPrice=net, LineTotal=net) for net in nets]
        expenses = [{"ExpenseCode": 1, "LineTotal": freight, "VatGroup": "A19"}]
        made = sap.order(f"shop:{key}", DocumentLines=lines, DocumentAdditionalExpenses=expenses)
        totals.add(str(made["DocTotal"]))
        assert round(sum(one["LineTotal"] for one in made["DocumentLines"]), 2) == float(sum(map(Decimal, nets)))
    assert totals == expected


def test_a_cent_is_carried_by_a_freight_or_by_the_header(sap: Server) -> None:
    nets, freight = WEB_ORDERS["348.06"]
    lines = [line(Quantity=1, UnitPrice=net, LineTotal=net) for net in nets]
    expenses = [{"ExpenseCode": 1, "LineTotal": freight, "VatGroup": "A19"}]
    cent = [{"ExpenseCode": 2, "LineTotal": -0.01, "VatGroup": "A00"}]
    made = sap.order(DocumentLines=lines, DocumentAdditionalExpenses=expenses + cent)
    assert made["DocTotal"] == 348.06
    assert [one["LineTotal"] for one in made["DocumentAdditionalExpenses"]] == [22.5, -0.01]
    made = sap.order(
        "shop:2",
        DocumentLines=lines,
        DocumentAdditionalExpenses=expenses,
        Rounding="tYES",
        RoundingDiffAmount=-0.01,
    )
    assert (made["DocTotal"], made["RoundingDiffAmount"]) == (348.06, -0.01)
    without = sap.order("shop:3", DocumentLines=lines, DocumentAdditionalExpenses=expenses, RoundingDiffAmount=-0.01)
    assert without["DocTotal"] == 348.07  # without Rounding the difference does nothing


def test_row_totals_prices_and_discounts(sap: Server) -> None:
    made = sap.order(
        DocumentLines=[
            line(UnitPrice="84.035", LineTotal="168.07"),
            line(UnitPrice=100, DiscountPercent=10, Quantity=1),
            line(UnitPrice=100, LineTotal=90, Quantity=1),
            line(UnitPrice=0, Quantity=1),
            line("DW-0001", UnitPrice=None, Quantity=1),
        ]
    )
    told = [(one["LineTotal"], one["Price"], one["DiscountPercent"]) for one in made["DocumentLines"]]
    assert told[:4] == [(168.07, 84.035, 0.0), (90.0, 90.0, 10.0), (90.0, 90.0, 10.0), (0.0, 0.0, 0.0)]
    assert told[4][0] > 0  # no price sent: SAP's own list
    discounted = sap.order("shop:2", DiscountPercent=10)
    assert (discounted["TotalDiscount"], discounted["VatSum"], discounted["DocTotal"]) == (10.0, 17.1, 107.1)


def test_without_a_tax_code_the_items_own_is_taken(sap: Server) -> None:
    made = sap.order(
        DocumentLines=[line(VatGroup=None)], DocumentAdditionalExpenses=[{"ExpenseCode": 1, "LineTotal": 5}]
    )
    assert made["DocumentLines"][0]["VatGroup"] == "A19"
    assert made["DocumentAdditionalExpenses"][0]["TaxSum"] == 0.95


def test_jurisdictions_are_rounded_one_by_one(sap: Server) -> None:
    sap.switch(tax_property="TaxCode")
    made = sap.order(DocumentLines=[line(Quantity=1, UnitPrice=9.99, VatGroup=None, TaxCode="NY8875")])
    first = made["DocumentLines"][0]
    assert [one["TaxAmount"] for one in first["LineTaxJurisdictions"]] == [0.4, 0.45, 0.04]
    assert (first["TaxCode"], first["VatGroup"], made["VatSum"]) == ("NY8875", None, 0.89)


def test_foreign_currency(sap: Server) -> None:
    changes = {"CardCode": "C_WEB_US_USD", "DocumentLines": [line(VatGroup="USCA825", LineTotal=100)]}
    expenses = [{"ExpenseCode": 1, "LineTotal": 5, "VatGroup": "USCA825"}]
    made = sap.order(**changes, DocumentAdditionalExpenses=expenses)
    assert (made["DocCurrency"], made["DocRate"]) == ("USD", 0.909091)
    assert (made["DocTotalFc"], made["VatSumFc"]) == (113.66, 8.66)
    first, freight = made["DocumentLines"][0], made["DocumentAdditionalExpenses"][0]
    assert (first["RowTotalFC"], first["LineTotal"], first["UnitPrice"]) == (100.0, 90.91, 50.0)
    assert (freight["LineTotalFC"], freight["LineTotal"]) == (5.0, 4.55)
    assert (made["VatSum"], made["DocTotal"]) == (7.87, 103.33)


def test_a_missing_rate_is_refused_until_it_exists(sap: Server) -> None:
    changes = {"CardCode": "C_ALL_CURRENCIES", "DocCurrency": "CHF"}
    assert refusal(sap.call("POST", "Orders", order(**changes))) == (400, "-10", "Update the exchange rate  , 'CHF'")
    rate = {"Currency": "CHF", "Rate": "1.05", "RateDate": "20260301"}
    assert sap.call("POST", "SBOBobService_SetCurrencyRate", rate).status_code == 204
    told = sap.call("POST", "SBOBobService_GetCurrencyRate", {"Currency": "CHF", "Date": "2026-03-01"}).json()
    assert told["value"] == 1.05
    assert sap.order(**changes)["DocTotal"] == 124.95
    sap.switch(rates={"USD": None})
    assert refusal(sap.call("POST", "Orders", order(CardCode="C_WEB_US_USD")))[2].endswith("'USD'")
    assert sap.order("shop:9", CardCode="C_WEB_US_USD", DocRate=0.5)["DocTotal"] == 59.5


# --- orders: reading ----------------------------------------------------------------------------------------------------


def entries(sap: Server, query: str, **headers: str) -> list[int]:
    return [row["DocEntry"] for row in sap.get(f"Orders?$select=DocEntry&{query}", **headers)["value"]]


def test_filters(sap: Server) -> None:
    sap.order("shop:1", NumAtCard="O'Neill", Comments="red ball")
    sap.order("shop:2", CardCode="C_WEB_US_USD", DocumentLines=[line(VatGroup="AEX")])
    sap.order("other:3", DocumentLines=[line(Quantity=20)])
    sap.call("POST", "Orders(3)/Cancel")
    for query, expected in {
        "U_DW_KEY eq 'shop:1'": [1],
        "U_DW_KEY eq 'shop:1' or U_DW_KEY eq 'other:3'": [1, 3],
        "(U_DW_KEY eq 'shop:1' or U_DW_KEY eq 'other:3') and Cancelled eq 'tNO'": [1],
        "Cancelled eq 'Y'": [3],
        "CancelStatus ne 'csYes'": [1, 2],
        "DocumentStatus eq 'O'": [1, 2],
        "startswith(U_DW_KEY, 'shop:')": [1, 2],
        "contains(Comments,'ball')": [1],
        "substringof('ball',Comments)": [1],
        "endswith(U_DW_KEY,'3')": [3],
        "NumAtCard eq 'O''Neill'": [1],
        "DocTotal gt 119": [3],
        "DocTotal ge 119 and DocEntry lt 3": [1],
        "DocEntry gt 1": [2, 3],
        "DocEntry le 2": [1, 2],
        "1 lt DocEntry and DocEntry ne 3": [2],
        "DocNum eq 10002": [2],
        "DocCurrency eq 'USD'": [2],
        "TrackingNumber eq null": [1, 2, 3],
        "TrackingNumber ne null": [],
        "TrackingNumber ne 'x'": [],  # as in SQL: null is not unequal to anything
        "DocDate eq '2026-03-01'": [1, 2, 3],
        "DocDate eq '20260301'": [1, 2, 3],
        "UpdateDate ge datetime'2026-03-01T23:00:00'": [1, 2, 3],  # the time of a date is ignored
        "UpdateDate gt '2026-03-01'": [],
        "UpdateTime ge '10:00:59'": [1, 2, 3],  # minutes only
        "U_DW_KEY eq 'SHOP:1'": [],
        "DocObjectCode eq 'oOrders'": [1, 2, 3],
        "DocObjectCode eq '17'": [1, 2, 3],
    }.items():
        assert entries(sap, f"$filter={query}") == expected, query
    assert entries(sap, "$filter=U_DW_KEY eq 'SHOP:1'", B1S_CaseInsensitive="true") == [1]
    assert sap.call("GET", "Orders/$count?$filter=DocEntry gt 1").text == "2"
    assert sap.call("GET", "Orders/$count").headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "status", "code", "text"),
    [
        ("$filter=NoSuchField eq 1", 400, "201", "Property 'NoSuchField' is invalid"),
        ("$filter=DocumentLines eq 1", 400, "201", "Property 'DocumentLines' is invalid"),
        ("$filter=toupper(CardName) eq 'X'", 400, "201", "Property 'toupper' is invalid"),
        ("$filter=DocEntry eq", 400, "201", "Query string error - Invalid filter condition"),
        ("$filter=DocEntry eq 'x'", 400, "201", "Query string error - Invalid filter condition"),
        ("$filter=(DocEntry eq 1", 400, "201", "Query string error - Invalid filter condition"),
        ("$filter=DocDate eq 2026-01-31", 400, "201", "Query string error - Invalid filter condition"),
        ("$select=NoSuchField", 400, "201", "Property 'NoSuchField' is invalid"),
        ("$orderby=DocumentLines", 400, "201", "Property 'DocumentLines' is invalid"),
        (
            "$expand=DocumentLines",
            400,
            "201",
            "Cannot expand invalid navigation property 'DocumentLines' for entity type 'Document'",
        ),
        ("$expand=BusinessPartner", 501, "not-played", "$expand=BusinessPartner is not played by the sandbox"),
        ("$filter=not (DocEntry eq 1)", 501, "not-played", "'not' in $filter is not played by the sandbox"),
        ("$apply=x", 501, "not-played", "the query option $apply is not played by the sandbox"),
    ],
)
def test_bad_queries(sap: Server, query: str, status: int, code: str, text: str) -> None:
    assert refusal(sap.call("GET", f"Orders?{query}")) == (status, code, text)


def test_paging_facts(sap: Server) -> None:
    fact = recorded("14_paging_facts")["v2_next"]["@odata.nextLink"]
    for number in range(45):
        sap.call("POST", "Orders", order(f"shop:{number}"), Prefer="return-no-content")
    first = sap.get("Orders?$select=DocEntry")
    assert len(first["value"]) == 20 and first["@odata.nextLink"] == fact
    seen, link = [], "Orders?$select=DocEntry"
    while link:
        page = sap.get(link)
        seen += [row["DocEntry"] for row in page["value"]]
        link = page.get("@odata.nextLink")
    assert seen == list(range(1, 46))
    answer = sap.call("GET", "Orders?$select=DocEntry&$top=40", Prefer="odata.maxpagesize=15")
    assert answer.headers["Preference-Applied"] == "odata.maxpagesize=15"
    assert answer.json()["@odata.nextLink"] == "Orders?$select=DocEntry&$top=25&$skip=15"
    assert "@odata.nextLink" not in sap.get("Orders?$select=DocEntry&$top=5")
    full = sap.get("Orders?$select=DocEntry", B1S_PageSize="9")  # 45 rows: five full pages, then an empty one
    for _ in range(4):
        full = sap.get(full["@odata.nextLink"], B1S_PageSize="9")
    assert len(full["value"]) == 9
    assert sap.get(full["@odata.nextLink"], B1S_PageSize="9")["value"] == []
    assert len(entries(sap, "", Prefer="odata.maxpagesize=0")) == 45
    assert sap.get("Orders?$count=true&$top=1")["@odata.count"] == 45
    assert sap.get("Orders?$inlinecount=allpages&$filter=DocEntry gt 40")["@odata.count"] == 5
    assert entries(sap, "$orderby=DocEntry desc&$top=2") == [45, 44]
    assert entries(sap, "$orderby=DocDate asc,NumAtCard desc&$top=2") == [10, 9]
    assert entries(sap, "$filter=DocEntry gt 43&$skip=1") == [45]


def test_select_without_the_version_tells_a_useless_etag(sap: Server) -> None:
    sap.order()
    sap.call("PATCH", "Orders(1)", {"Comments": "x"})
    answer = sap.call("GET", "Orders(1)?$select=DocEntry")
    assert answer.json().keys() == {"@odata.context", "@odata.etag", "DocEntry"}
    assert answer.json()["@odata.etag"] == etag_of(1) and "ETag" not in answer.headers
    assert sap.call("GET", "Orders(1)?$select=DocEntry,DataVersion").headers["ETag"] == etag_of(2)


# --- orders: changing ---------------------------------------------------------------------------------------------------


def test_patch_merges_header_and_lines(sap: Server) -> None:
    sap.order(DocumentLines=[line(), line("DW-0001")])
    body = {
        "Comments": "call first",
        "DocumentLines": [
            {"LineNum": 1, "Quantity": 1, "FreeText": "blue"},
            {"ItemCode": "DW-0002", "VatGroup": "A19"},
        ],
    }
    assert sap.call("PATCH", "Orders(1)", body).status_code == 204
    changed = sap.get("Orders(1)")
    told = [(one["LineNum"], one["ItemCode"], one["Quantity"], one["LineTotal"]) for one in changed["DocumentLines"]]
    assert told[:2] == [(0, "SIMPLE-1", 2.0, 100.0), (1, "DW-0001", 1.0, 50.0)]
    assert told[2][:3] == (2, "DW-0002", 1.0)
    assert changed["DocumentLines"][1]["FreeText"] == "blue" and changed["Comments"] == "call first"
    assert changed["DataVersion"] == 2
    own_price = Decimal(str(told[2][3]))
    assert Decimal(str(changed["DocTotal"])) == (150 + own_price) * Decimal("1.19")
    assert sap.get("Items('DW-0001')")["ItemWarehouseInfoCollection"][0]["Committed"] == 1.0


def test_patch_merges_freights_by_number(sap: Server) -> None:
    expenses = [{"ExpenseCode": 1, "LineTotal": 5, "VatGroup": "A19"}]
    sap.order(DocumentAdditionalExpenses=expenses)
    body = {
        "DocumentAdditionalExpenses": [
            {"LineNum": 0, "LineTotal": 10},
            {"ExpenseCode": 2, "LineTotal": -0.01, "VatGroup": "A00"},
        ]
    }
    assert sap.call("PATCH", "Orders(1)", body).status_code == 204
    changed = sap.get("Orders(1)")
    told = [(one["LineNum"], one["ExpenseCode"], one["LineTotal"]) for one in changed["DocumentAdditionalExpenses"]]
    assert told == [(0, 1, 10.0), (1, 2, -0.01)]
    assert changed["DocTotal"] == 130.89


def test_patch_of_a_foreign_currency_order_counts_in_its_currency(sap: Server) -> None:
    sap.order(CardCode="C_WEB_US_USD", DocumentLines=[line(VatGroup="AEX"), line(VatGroup="AEX")])
    sap.call("PATCH", "Orders(1)", {"DocumentLines": [{"LineNum": 0, "Quantity": 1}]})
    changed = sap.get("Orders(1)")
    assert (changed["DocTotalFc"], changed["DocTotal"]) == (150.0, 136.36)


def test_etags_guard_changes(sap: Server) -> None:
    made = sap.order()
    assert sap.call("PATCH", "Orders(1)", {"Comments": "a"}, If_Match=made["@odata.etag"]).status_code == 204
    stale = sap.call("PATCH", "Orders(1)", {"Comments": "b"}, If_Match=made["@odata.etag"])
    assert refusal(stale)[:2] == (412, "-2039")
    assert refusal(sap.call("POST", "Orders(1)/Cancel", If_Match=made["@odata.etag"]))[0] == 412
    strong = made["@odata.etag"].removeprefix("W/")
    assert sap.call("PATCH", "Orders(1)", {"Comments": "c"}, If_Match=strong).status_code == 204  # a blind write
    assert sap.get("Orders(1)")["Comments"] == "c"


@pytest.mark.parametrize(
    ("body", "status", "code", "part"),
    [
        ({"CardCode": "C_WEB_US_EUR"}, 400, "-1029", "[ORDR.CardCode] , 'Field cannot be updated (ODBC -1029)'"),
        ({"DocCurrency": "USD"}, 400, "-1029", "[ORDR.DocCur]"),
        ({"DocumentLines": [{"LineNum": 0, "ItemCode": "DW-0001"}]}, 400, "-1029", "[RDR1.ItemCode][line: 1]"),
        ({"DocumentLines": [{"LineNum": 0, "Quantity": 3}, {"ItemCode": "NOPE"}]}, 400, "-2028", "[RDR1.ItemCode]"),
        ({"Nonsense": 1}, 400, "-1000", "'Nonsense' of 'Document'"),
    ],
)
def test_refused_changes_leave_the_order_as_it_was(
    sap: Server, body: dict[str, Any], status: int, code: str, part: str
) -> None:
    before = sap.order()
    got = refusal(sap.call("PATCH", "Orders(1)", body))
    assert got[:2] == (status, code) and part in got[2], got
    assert sap.get("Orders(1)") == {**before, "@odata.context": before["@odata.context"]}


def test_cancel_and_close(sap: Server) -> None:
    sap.order("shop:1")
    sap.order("shop:2")
    assert sap.call("POST", "Orders(1)/Cancel").status_code == 204
    cancelled = sap.get("Orders(1)")
    assert (cancelled["Cancelled"], cancelled["CancelStatus"], cancelled["DocumentStatus"]) == (
        "tYES",
        "csYes",
        "bost_Close",
    )
    assert refusal(sap.call("POST", "Orders(1)/Cancel"))[:2] == (400, "-5006")
    assert sap.call("POST", "Orders(2)/Close").status_code == 204
    closed = sap.get("Orders(2)")
    assert (closed["Cancelled"], closed["DocumentStatus"]) == ("tNO", "bost_Close")
    assert (closed["DocumentLines"][0]["LineStatus"], closed["DocumentLines"][0]["RemainingOpenQuantity"]) == (
        "bost_Close",
        2.0,
    )
    assert refusal(sap.call("POST", "Orders(2)/Cancel"))[:2] == (400, "-5006")
    assert refusal(sap.call("PATCH", "Orders(2)", {"DocDueDate": "2026-04-01"}))[:2] == (400, "-1029")
    assert sap.call("PATCH", "Orders(2)", {"Comments": "closed by hand"}).status_code == 204
    assert refusal(sap.call("DELETE", "Orders(2)"))[:2] == (400, "-5006")
    assert refusal(sap.call("POST", "Orders(99)/Cancel")) == (404, "-2028", "Entity with value(99) does not exist")
    assert sap.get("Items('SIMPLE-1')")["ItemWarehouseInfoCollection"][0]["Committed"] == 0.0


def test_a_single_line_can_be_closed(sap: Server) -> None:
    sap.order(DocumentLines=[line(), line()])
    sap.call("PATCH", "Orders(1)", {"DocumentLines": [{"LineNum": 0, "LineStatus": "bost_Close"}]})
    assert [one["LineStatus"] for one in sap.get("Orders(1)")["DocumentLines"]] == ["bost_Close", "bost_Open"]


# --- approval -----------------------------------------------------------------------------------------------------------


def test_an_order_that_needs_approval_becomes_a_draft_and_looks_refused(sap: Server) -> None:
    sap.switch(approval="refused")
    assert refusal(sap.call("POST", "Orders", order())) == (404, "-2028", "No matching records found (ODBC -2028)")
    assert sap.get("Orders")["value"] == []
    query = "Drafts?$filter=U_DW_KEY eq 'shop:1' and DocObjectCode eq 'oOrders'"
    (draft,) = sap.get(query)["value"]
    assert (draft["AuthorizationStatus"], draft["DocTotal"]) == ("dasPending", 119.0)
    assert sap.get(f"Drafts({draft['DocEntry']})")["U_DW_KEY"] == "shop:1"
    approved = sap.control("POST", f"drafts/{draft['DocEntry']}/approve")["order"]
    assert sap.get(query)["value"] == []
    live = sap.get(f"Orders({approved['doc_entry']})")
    assert (live["U_DW_KEY"], live["DocNum"], live["DocumentLines"][0]["U_DW_LINE"]) == ("shop:1", 10001, "7")


def test_success_with_the_drafts_docentry_is_the_other_trap(sap: Server) -> None:
    sap.order("shop:1")
    sap.order("shop:2")
    sap.switch(approval="created", approval_min_total="200")
    sap.order("shop:3")
    answer = sap.call("POST", "Orders", order("shop:4", DocumentLines=[line(Quantity=20)]))
    assert (answer.status_code, answer.json()["DocEntry"], answer.json()["U_DW_KEY"]) == (201, 1, "shop:4")
    assert sap.get("Orders(1)")["U_DW_KEY"] == "shop:1"  # another order has that number
    quiet = sap.call("POST", "Orders", order("shop:5", DocumentLines=[line(Quantity=20)]), Prefer="return-no-content")
    assert (quiet.status_code, quiet.content) == (204, b"")
    assert [row["key"] for row in sap.control("GET", "drafts")["drafts"]] == ["shop:4", "shop:5"]
    sap.control("POST", "drafts/1/reject")
    assert sap.get("Drafts(1)")["AuthorizationStatus"] == "dasRejected"
    sap.control("POST", "drafts/2/reject", {"remove": True})
    assert sap.call("GET", "Drafts(2)").status_code == 404


# --- deliveries ---------------------------------------------------------------------------------------------------------


def test_a_delivery_copies_keys_and_closes_what_it_draws(sap: Server) -> None:
    sap.order(DocumentLines=[line(Quantity=5), line("DW-0001", U_DW_LINE="8")])
    base = {"BaseType": 17, "BaseEntry": 1}
    body = {"CardCode": "C_WEB_DEFAULT_EUR", "DocumentLines": [{**base, "BaseLine": 0, "Quantity": 2}]}
    answer = sap.call("POST", "DeliveryNotes", body)
    assert answer.status_code == 201, answer.text
    note = answer.json()
    first = note["DocumentLines"][0]
    assert (note["DocEntry"], note["DocNum"], note["U_DW_KEY"], note["NumAtCard"]) == (1, 50001, "shop:1", "1")
    assert (first["U_DW_LINE"], first["BaseType"], first["BaseEntry"], first["BaseLine"]) == ("7", 17, 1, 0)
    assert (first["ItemCode"], first["Quantity"], first["LineTotal"], note["DocTotal"]) == (
        "SIMPLE-1",
        2.0,
        100.0,
        119.0,
    )
    changed = sap.get("Orders(1)")
    assert [one["RemainingOpenQuantity"] for one in changed["DocumentLines"]] == [3.0, 2.0]
    assert (changed["DocumentStatus"], changed["DataVersion"]) == ("bost_Open", 2)
    assert refusal(sap.call("POST", "Orders(1)/Cancel"))[:2] == (400, "-5006")  # partly drawn
    short = {"DocumentLines": [{"LineNum": 0, "Quantity": 1}]}
    assert refusal(sap.call("PATCH", "Orders(1)", short))[:2] == (400, "-5002")
    rest = {"CardCode": "C_WEB_DEFAULT_EUR", "DocumentLines": [{**base, "BaseLine": 0}, {**base, "BaseLine": 1}]}
    assert sap.call("POST", "DeliveryNotes", rest).status_code == 201
    closed = sap.get("Orders(1)")
    assert closed["DocumentStatus"] == "bost_Close"
    assert {(one["LineStatus"], one["RemainingOpenQuantity"]) for one in closed["DocumentLines"]} == {
        ("bost_Close", 0.0)
    }
    got = refusal(sap.call("POST", "DeliveryNotes", rest))
    assert got[:2] == (400, "-10") and got[2].startswith("One of the base documents has already been closed")
    stock = sap.get("Items('SIMPLE-1')")["ItemWarehouseInfoCollection"][0]
    assert (stock["InStock"], stock["Committed"]) == (995.0, 0.0)
    assert [row["DocEntry"] for row in sap.get("DeliveryNotes?$filter=U_DW_KEY eq 'shop:1'")["value"]] == [1, 2]


@pytest.mark.parametrize("action", ["Cancel", "CreateCancellationDocument"])
def test_a_cancelled_delivery_is_a_second_delivery(sap: Server, action: str) -> None:
    sap.order()
    sap.control("POST", "deliver", {"all": True})
    answer = sap.call("POST", f"DeliveryNotes(1)/{action}")
    assert answer.status_code == (204 if action == "Cancel" else 200)
    told = {row["DocEntry"]: row for row in sap.get("DeliveryNotes")["value"]}
    assert {entry: row["CancelStatus"] for entry, row in told.items()} == {1: "csYes", 2: "csCancellation"}
    counter = told[2]["DocumentLines"][0]
    assert (counter["BaseType"], counter["BaseEntry"], counter["U_DW_LINE"]) == (15, 1, "7")
    again = sap.get("Orders(1)")
    assert (again["DocumentStatus"], again["DocumentLines"][0]["RemainingOpenQuantity"]) == ("bost_Open", 2.0)
    assert refusal(sap.call("POST", f"DeliveryNotes(1)/{action}"))[:2] == (400, "-5006")
    assert sap.control("GET", "state")["deliveries"] == {"live": 0, "cancelled": 1, "cancellations": 1}


def test_deliveries_by_control_route(sap: Server) -> None:
    for number in range(4):
        sap.order(f"shop:{number}", DocumentLines=[line(Quantity=3), line("DW-0001", Quantity=1)])
    sap.order("shop:unpaid", Confirmed="tNO")
    expenses = [{"ExpenseCode": 1, "LineTotal": 5, "VatGroup": "A19"}]
    sap.order("shop:freight", DocumentAdditionalExpenses=expenses)
    booked = sap.control("POST", "deliver", {"count": 1, "partial": True, "tracking": True})["deliveries"]
    assert booked == [
        {"doc_entry": 1, "doc_num": 50001, "order": 1, "key": "shop:0", "tracking": "DW0000000001"},
    ]
    note = sap.get("DeliveryNotes(1)")
    assert [(one["ItemCode"], one["Quantity"]) for one in note["DocumentLines"]] == [("SIMPLE-1", 2.0)]
    assert note["TrackingNumber"] == "DW0000000001"
    assert len(sap.control("POST", "deliver", {"doc_entries": [1, 3]})["deliveries"]) == 2
    assert [one["order"] for one in sap.control("POST", "deliver", {"all": True})["deliveries"]] == [2, 4, 6]
    assert sap.get("DeliveryNotes(6)")["DocTotal"] == 124.95  # the freight goes along
    updated = sap.get("DeliveryNotes(6)")
    sap.control("POST", "deliveries/6/track", {"tracking": "late"})
    late = sap.get("DeliveryNotes(6)")
    assert late["TrackingNumber"] == "late"
    assert (late["DataVersion"], late["UpdateTime"]) == (updated["DataVersion"], updated["UpdateTime"])
    assert sap.call("PATCH", "DeliveryNotes(5)", {"TrackingNumber": "by hand"}).status_code == 204
    assert sap.get("DeliveryNotes(5)")["DataVersion"] == 2


def test_stock_can_be_blocked(sap: Server) -> None:
    sap.switch(block_negative_stock=True)
    sap.order(DocumentLines=[line(Quantity=1001)])
    body = {"DocumentLines": [{"BaseType": 17, "BaseEntry": 1, "BaseLine": 0}]}
    got = refusal(sap.call("POST", "DeliveryNotes", body))
    assert got[:2] == (400, "-10") and "negative inventory" in got[2] and "[DLN1.ItemCode][line: 1]" in got[2]
    assert sap.get("Orders(1)")["DocumentStatus"] == "bost_Open"


# --- what is not played, faults, control --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "$batch"),
        ("GET", "$metadata"),
        ("GET", "$crossjoin(Orders,Orders/DocumentLines)"),
        ("POST", "Invoices"),
        ("POST", "Items"),
        ("POST", "Drafts"),
        ("POST", "Orders(1)/Reopen"),
        ("POST", "SQLQueries('x')/List"),
        ("PUT", "Orders(1)"),
        ("GET", "NoSuchSet"),
    ],
)
def test_what_is_not_played_is_refused_by_name(sap: Server, method: str, path: str) -> None:
    sap.order()
    status, code, text = refusal(sap.call(method, path, {} if method != "GET" else None))
    assert (status, code) == (501, "not-played")
    assert path in text and text.endswith("is not played by the sandbox")


def test_version_1_and_replacing_collections_are_not_played(sap: Server) -> None:
    answer = requests.get(f"{sap.url}/b1s/v1/Orders", timeout=5)
    assert answer.status_code == 501 and "/b1s/v1" in answer.text
    sap.order()
    answer = sap.call("PATCH", "Orders(1)", {"Comments": "x"}, B1S_ReplaceCollectionsOnPatch="true")
    assert refusal(answer)[0] == 501


def test_a_request_that_waits_for_continue_gets_an_empty_500(sap: Server) -> None:
    answer = sap.call("POST", "Orders", order(), Expect="100-continue")
    assert (answer.status_code, answer.content) == (500, b"")


def test_an_order_whose_answer_was_cut_off_exists(sap: Server) -> None:
    rule = {"kind": "reset_after_commit", "method": "POST", "path": f"{BASE}/Orders", "times": 1}
    sap.control("POST", "faults", rule)
    with pytest.raises(requests.ConnectionError):
        sap.call("POST", "Orders", order())
    assert entries(sap, "$filter=U_DW_KEY eq 'shop:1'") == [1]
    sap.order()  # a client that does not look makes it twice, and the sandbox can prove it
    told = sap.control("GET", "state?keys=all")
    assert told["duplicates"] == {"shop:1": 2} and told["keys"] == {"shop:1": 2}
    assert told["orders"] == {
        "live": 2,
        "open": 2,
        "closed": 0,
        "cancelled": 0,
        "without_key": 0,
        "distinct_keys": 1,
    }
    assert told["totals"] == {"EUR": "238.00"}


def test_orders_posted_at_once_do_not_wait_for_each_other(sap: Server) -> None:
    sap.control("POST", "faults", {"kind": "latency", "seconds": 0.2, "path": f"{BASE}/Orders"})

    def post(number: int) -> int:
        headers = {"Cookie": sap.cookie}
        answer = requests.post(f"{sap.url}{BASE}/Orders", json=order(f"shop:{number}"), headers=headers, timeout=10)
        return answer.json()["DocEntry"]

    started = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(post, range(20)))
    assert sorted(made) == list(range(1, 21))
    assert time.monotonic() - started < 2  # one after another they would take 4


def test_posting_raises_the_partners_version(sap: Server) -> None:
    before = sap.get("BusinessPartners('C_WEB_DEFAULT_EUR')")["DataVersion"]
    sap.order()
    assert sap.get("BusinessPartners('C_WEB_DEFAULT_EUR')")["DataVersion"] == before + 1


def test_items_come_and_go(sap: Server) -> None:
    unknown = order(DocumentLines=[line("NEW-1")])
    assert sap.call("POST", "Orders", unknown).status_code == 400
    sap.control("POST", "items", {"item_code": "NEW-1"})
    assert sap.call("POST", "Orders", unknown).status_code == 201
    sap.control("DELETE", "items/NEW-1")
    assert sap.call("GET", "Items('NEW-1')").status_code == 404
    assert sap.control("POST", "deliver", {"all": True})["deliveries"]  # its orders live on


def test_bad_control_requests_name_the_field(sap: Server) -> None:
    for path, body, field in [
        ("company", {"colour": "red"}, "colour"),
        ("company", {"approval": "sometimes"}, "approval"),
        ("company", {"rates": {"USD": "x"}}, "rates"),
        ("deliver", {}, "count"),
        ("deliver", {"doc_entries": [5]}, "doc_entries"),
        ("items", {}, "item_code"),
        ("clock", {"advance_seconds": -1}, "advance_seconds"),
    ]:
        answer = requests.post(f"{sap.url}/_sandbox/{path}", json=body, timeout=5)
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, field), answer.text


def test_the_command_line(sap: Server) -> None:
    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(main, [*arguments], env={"SANDBOX_SAPB1_URL": sap.url})
        assert result.exit_code == 0, result.output
        return json.loads(result.output) if result.output.strip() else None

    sap.order()
    assert run("state")["orders"]["live"] == 1
    assert run("deliver", "--all", "--tracking")["deliveries"][0]["tracking"] == "DW0000000001"
    assert run("track", "1", "T1")["tracking"] == "T1"
    assert run("add-item", "CLI-1")["item_code"] == "CLI-1"
    assert run("company", "approval=refused", "rate.CHF=1.1")["rates"]["CHF"] == {"*": "1.1"}
    sap.call("POST", "Orders", order("shop:2"))
    sap.call("POST", "Orders", order("shop:3"))
    assert len(run("drafts")["drafts"]) == 2
    assert run("reject", "2", "--remove")["draft"] is None
    assert run("approve")["orders"][0]["key"] == "shop:2"
    assert [row["key"] for row in run("orders", "--after", "1")["orders"]] == ["shop:2"]
    assert run("fault", "add", '{"kind": "status", "status": 503, "times": 1}').keys() == {"id"}
    assert run("fault", "list")["status"] == 503
    assert run("fault", "clear") == {"removed": 1}
    assert run("drop-sessions") == {"dropped": 1}
    assert run("reset") == {"reset": True}
    assert run("state", "--keys")["keys"] == {}
    refused = CliRunner().invoke(main, ["fault", "add", '{"kind": "x"}'])
    assert refused.exit_code == 2 and "kind" in refused.output
    for command in ("serve", "deliver", "company", "fault"):
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0

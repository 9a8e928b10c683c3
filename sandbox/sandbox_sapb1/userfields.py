"""``UserFieldsMD``: installing user-defined fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox_sapb1.bodies import objects, read_row
from sandbox_sapb1.company import Company
from sandbox_sapb1.errors import NotPlayed, duplicate_entry, refused
from sandbox_sapb1.model import Row

_PLAYED = frozenset("Name TableName Type Size EditSize Description SubType DefaultValue Mandatory".split())


def post_user_field(company: Company, body: Mapping[str, Any]) -> Row:
    """Install a field (``Name`` without ``U_``); a mandatory one needs a default."""
    told = read_row(
        body, company.model.types["UserFieldMD"], _PLAYED, frozenset({"FieldID"}), elsewhere=("ValidValuesMD",)
    )
    told["ValidValuesMD"] = [
        read_row(value, company.model.types["ValidValueMD"], frozenset({"Value", "Description"}), frozenset())
        for value in objects(body, "ValidValuesMD")
    ]
    table = told.pop("TableName", None) or ""
    if not told.get("Name") or not table:
        raise refused("Name and TableName are needed", "[CUFD.AliasID]")  # text ours
    if told.get("Mandatory") == "tYES" and told.get("DefaultValue") is None:
        raise refused("A default value must be defined for a mandatory field")
    if not company.plays_user_fields_of(table):
        raise NotPlayed(f"a user-defined field on table '{table}'")
    if company.user_field(table, told["Name"]) is not None:
        raise duplicate_entry()
    return company.install_user_field(table, told)

"""Which SAP tax code a line, a freight or an extra amount gets. Used by ``documents`` and by the checks of ``doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from datawald.domain.entity import plain_decimal
from datawald.domain.errors import Rejected
from datawald.entities.order import AppliedTax
from datawald_b1agency.settings import TaxOption

Kind = Literal["goods", "service", "freight"]

ZERO = Decimal(0)


@dataclass(frozen=True)
class Tax:
    """A tax code of SAP: the property it is sent in, and what SAP takes for it."""

    #: ``VatGroup`` in European localisations, ``TaxCode`` elsewhere; the other of the two is null.
    field: Literal["VatGroup", "TaxCode"]
    code: str
    #: Percent, one per jurisdiction.
    rates: tuple[Decimal, ...]

    @property
    def body(self) -> dict[str, str]:
        return {self.field: self.code}

    @property
    def rate(self) -> Decimal:
        return sum(self.rates, ZERO)


def tax_code(vat_group: str, tax_code: str, rates: tuple[Decimal, ...]) -> Tax:
    """The tax of a settings row that names exactly one of the two."""
    if vat_group:
        # a VAT group is one rate: SAP rounds it once
        return Tax("VatGroup", vat_group, (sum(rates, ZERO),))
    return Tax("TaxCode", tax_code, rates or (ZERO,))


def tax_for(
    options: Sequence[TaxOption], taxes: Sequence[AppliedTax], kind: Kind, country: str, has_vat_id: bool
) -> Tax:
    """The SAP code for what the shop applied. Raises ``Rejected`` naming the key that the map lacks."""
    code = "+".join(tax.code for tax in taxes if tax.code)
    percent = sum((tax.percent for tax in taxes), ZERO)
    for option in options:
        if _fits(option, code, percent, kind, country, has_vat_id):
            return tax_code(option.vat_group, option.tax_code, option.rates or tuple(tax.percent for tax in taxes))
    named = f"tax {code!r} at {plain_decimal(percent)} %" if taxes else "no tax"
    raise Rejected(
        f"the tax map has no row for {named} on {kind}, shipped to {country or 'no country'}, "
        f"{'with' if has_vat_id else 'without'} a VAT number"
    )


def _fits(option: TaxOption, code: str, percent: Decimal, kind: Kind, country: str, has_vat_id: bool) -> bool:
    if option.code != code:
        return False
    # a row for "no tax" must not catch a tax whose code the shop did not tell
    wanted = option.percent if option.percent is not None or code else ZERO
    return (
        (wanted is None or wanted == percent)
        and option.kind in (None, kind)
        and (not option.countries or country in option.countries)
        and option.vat_id in (None, has_vat_id)
    )

"""Magento's times: UTC text ``YYYY-MM-DD HH:MM:SS`` whatever the store's time zone. Used by mappings and extraction."""

from __future__ import annotations

from datetime import UTC, datetime

from datawald_mage2agency.unmappable import Unmappable

_FORM = "%Y-%m-%d %H:%M:%S"


def moment(text: object) -> datetime:
    """The aware UTC time that ``text`` states. Raises ``Unmappable`` for anything else."""
    try:
        return datetime.strptime(str(text), _FORM).replace(tzinfo=UTC)
    except ValueError:
        raise Unmappable(f"{text!r} is not a time as Magento writes it") from None


def text_of(time: datetime) -> str:
    """``time`` as a filter value, whole seconds: Magento's stamps have no fractions."""
    return time.astimezone(UTC).strftime(_FORM)

"""Knows Magento 2: maps its orders to ours and our shipments to its, through :mod:`flask_mage2connector`."""

from datawald_mage2agency.agency import Mage2Agency
from datawald_mage2agency.settings import Mage2Settings

__all__ = ["Mage2Agency", "Mage2Settings"]

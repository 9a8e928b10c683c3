"""Speaks Magento 2's REST API; usable in and outside of Flask, knows nothing of DataWald's records."""

from flask_mage2connector.connector import Mage2Connector
from flask_mage2connector.search import Filter

__all__ = ["Filter", "Mage2Connector"]

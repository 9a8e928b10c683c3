"""Speaks SAP Business One's Service Layer (v2); usable in and outside of Flask, knows nothing of DataWald's records."""

from flask_b1connector.answers import MaybeDraft
from flask_b1connector.connector import B1Connector

__all__ = ["B1Connector", "MaybeDraft"]

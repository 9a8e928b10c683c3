"""Speaks to the DataWald core API. The only way agents and workers reach the core; a Flask extension too."""

from flask_dwconnector.connector import DWConnector

__all__ = ["DWConnector"]

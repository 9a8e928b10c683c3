"""SAP Business One as a backoffice: takes orders, gives shipments."""

from datawald_b1agency.agency import B1Agency

__all__ = ["B1Agency"]

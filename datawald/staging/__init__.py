"""Staging: the documents of the core in MongoDB, through pymongo. The only writer of ``tx_status``.

It keeps to what MongoDB, NX-27017 and mongomock do alike: one document per decision, ``_id`` made from identity, plain
operators, plain indexes, integers for times that are compared, text for what is only carried.
"""

from datawald.staging.store import Store

__all__ = ["Store"]

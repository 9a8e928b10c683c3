"""The worker: the same three Celery tasks for all entities.

``pull`` extracts and stages, ``push`` claims and delivers, ``tick`` rings what is due.
"""

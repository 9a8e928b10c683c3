"""The Celery application: its options, and why each."""

from __future__ import annotations

from celery import Celery

from datawald.config import Settings
from datawald.worker import embedded_broker

#: The tasks' names on the wire.
TICK, PULL, PUSH = "datawald.tick", "datawald.pull", "datawald.push"


def create_celery(settings: Settings) -> Celery:
    """An application that can ring bells and, with :mod:`datawald.worker.tasks` imported, answer them."""
    app = Celery("datawald", broker=settings.broker_url)
    app.conf.update(
        task_ignore_result=True,
        # acknowledged late, but what counts is the claim in the store
        task_acks_late=True,
        # the default would let every queue fill its own share of one pool
        worker_prefetch_multiplier=1,
        # broadcasts need queues that RabbitMQ 4.3 refuses, and nothing of ours needs them
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        # a blocked broker must not hang whoever rings
        broker_transport_options={"confirm_publish": True, "confirm_timeout": 1.0}
        if settings.broker_url.startswith("amqp")
        else {},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_default_queue="core",
        task_default_queue_type="quorum" if settings.broker_url.startswith("amqp") else "classic",
        task_create_missing_queues=True,
        worker_detect_quorum_queues=True,
        beat_schedule={
            "tick": {"task": TICK, "schedule": settings.tick_s, "options": {"queue": "core", "expires": 5}},
        },
        # beat keeps nothing worth keeping: a lost or doubled tick does no harm
        beat_scheduler="celery.beat:Scheduler",
        timezone="UTC",
    )
    return app


__all__ = ["PULL", "PUSH", "TICK", "create_celery", "embedded_broker"]

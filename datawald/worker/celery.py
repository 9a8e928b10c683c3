"""The Celery application: its options, and why each."""

from __future__ import annotations

import ssl
from typing import Any

from celery import Celery

from datawald.config import Settings
from datawald.worker import embedded_broker

#: The tasks' names on the wire.
TICK, PULL, PUSH = "datawald.tick", "datawald.pull", "datawald.push"

#: A tick not heard within this time (seconds) is not worth hearing: the next ones came meanwhile.
TICK_TTL_S = 5.0
#: How long the broker may take for one answer, and one write to it (seconds). It takes milliseconds, or it is in trouble.
ANSWER_WITHIN_S = 2.0
#: How long it may take to confirm a bell (seconds).
CONFIRM_WITHIN_S = 1.0


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
        worker_consumer="datawald.worker.programs:Consumer",
        # a task that runs while the connection is lost runs on: its claim decides, not its acknowledgement
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_default_queue="core",
        task_create_missing_queues=True,
        beat_schedule={
            "tick": {"task": TICK, "schedule": settings.tick_s, "options": {"queue": "core"}},
        },
        # keeps nothing on disk: a lost or doubled tick does no harm
        beat_scheduler="datawald.worker.programs:Beat",
        timezone="UTC",
    )
    if settings.broker_url.startswith(("amqp", "pyamqp")):
        app.conf.update(_rabbitmq(settings.broker_url))
    return app


def _rabbitmq(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        # lanes as well as core, and by whoever comes first: a bell may be rung where no worker has listened yet
        "task_default_queue_type": "quorum",
        "task_create_missing_queue_type": "quorum",
        # quorum queues refuse the prefetch that all queues of a channel share
        "worker_detect_quorum_queues": True,
        # a host that vanished without a word is noticed within a minute; the default takes up to four
        "broker_heartbeat": 20,
        "broker_connection_timeout": 2 * ANSWER_WITHIN_S,
        "broker_transport_options": {
            # else a bell that a broker in trouble never read would count as rung
            "confirm_publish": True,
            # a broker that is stopped, or that an alarm blocks, keeps its connections open and answers nothing: without
            # these whoever waits for it (a publisher, a declaration, a process that says goodbye) waits for ever
            "read_timeout": ANSWER_WITHIN_S,
            "write_timeout": ANSWER_WITHIN_S,
            # told apart in rabbitmqctl list_connections
            "client_properties": {"connection_name": "datawald"},
        },
    }
    if "amqps:" in url:
        # None is the URL's host name: without it the certificate may be anybody's that the authority has signed
        options["broker_use_ssl"] = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
    return options


__all__ = ["CONFIRM_WITHIN_S", "PULL", "PUSH", "TICK", "create_celery", "embedded_broker"]

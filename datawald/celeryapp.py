"""What ``celery -A datawald.celeryapp worker`` and ``beat`` run."""

from celery.signals import setup_logging

from datawald import config, logs
from datawald.bootstrap import make_worker

settings = config.load()


@setup_logging.connect
def _configure_logs(**_: object) -> None:
    logs.configure(settings.log_level)


app = make_worker(settings)

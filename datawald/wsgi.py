"""What gunicorn or mod_wsgi serves: ``datawald.wsgi:application``."""

from datawald import config
from datawald.bootstrap import make_app

application = make_app(config.load())

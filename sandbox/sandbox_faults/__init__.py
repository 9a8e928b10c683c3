"""Fault switches for the sandboxes: latency, refusals and cut connections, put up and taken down over HTTP.

``install(app)`` gives a sandbox the control routes and the middleware; ``serve(app, host, port)`` runs it in a server
in which connections can really be reset. The package knows nothing of the systems the sandboxes play.
"""

from flask import Flask

from sandbox_faults.board import FaultBoard
from sandbox_faults.middleware import FaultMiddleware
from sandbox_faults.routes import fault_routes
from sandbox_faults.rules import BadRule, FaultRule
from sandbox_faults.server import serve

__all__ = ["BadRule", "FaultBoard", "FaultRule", "install", "serve"]


def install(app: Flask) -> FaultBoard:
    """Add the routes under ``/_sandbox/faults`` to ``app``, wrap its ``wsgi_app``, and return the board."""
    board = FaultBoard()
    app.register_blueprint(fault_routes(board))
    app.wsgi_app = FaultMiddleware(app.wsgi_app, board)  # type: ignore[method-assign]
    return board

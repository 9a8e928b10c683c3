"""Control routes of the fault board, ``/_sandbox/faults``: list, add, remove one, remove all."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from sandbox_faults.board import FaultBoard
from sandbox_faults.rules import BadRule


def fault_routes(board: FaultBoard) -> Blueprint:
    """The blueprint that steers ``board``."""
    routes = Blueprint("sandbox_faults", __name__, url_prefix="/_sandbox/faults")

    @routes.get("")
    def list_faults() -> Response:
        return jsonify(faults=board.as_json())

    @routes.post("")
    def add_fault() -> tuple[Response, int]:
        raw = request.get_json(force=True, silent=True)
        try:
            return jsonify(id=board.add(raw)), 201
        except BadRule as error:
            return jsonify(error={"field": error.field, "message": str(error)}), 400

    @routes.delete("")
    def clear_faults() -> Response:
        return jsonify(removed=board.clear())

    @routes.delete("/<int:rule_id>")
    def remove_fault(rule_id: int) -> tuple[Response, int]:
        if board.remove(rule_id):
            return jsonify(removed=1), 200
        return jsonify(error={"field": "id", "message": f"id: no fault {rule_id}"}), 404

    return routes

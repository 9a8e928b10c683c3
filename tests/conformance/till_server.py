"""A till to test against: an HTTP server in a thread, with the accidents that matter. Imports nothing of ours."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

API_KEY = "till-api-key-0001"


class TillServer:
    """One till. Its vouchers may be looked at and changed by hand: that is asking past the API."""

    def __init__(self) -> None:
        self.vouchers: list[dict[str, Any]] = []
        self.lose_next_answer = False
        self.fail_next_write = False
        self.is_down = False
        self._clock = datetime.now(UTC)
        till = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            #: Headers and body in one piece: apart, each answer would wait 40 ms for an acknowledgement.
            wbufsize = -1

            def do_GET(self) -> None:
                till.answer(self, None)

            def do_POST(self) -> None:
                till.answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            do_PUT = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, voucher: dict[str, Any], number: int | None = None) -> dict[str, Any]:
        """Make a voucher, or replace one; each a second later than the one before."""
        self._clock += timedelta(seconds=1)
        changed_at = self._clock.isoformat()
        if number is None:
            self.vouchers.append({**voucher, "id": len(self.vouchers) + 1, "changed_at": changed_at})
            return self.vouchers[-1]
        self.vouchers[number - 1].update(voucher, changed_at=changed_at)
        return self.vouchers[number - 1]

    def count(self, reference: str) -> int:
        return sum(voucher.get("reference") == reference for voucher in self.vouchers)

    def answer(self, asked: BaseHTTPRequestHandler, body: Any) -> None:
        if self.is_down:
            asked.close_connection = True
            return
        status, told = self._work(asked, body)
        if body is not None and self.lose_next_answer:
            self.lose_next_answer = False
            asked.close_connection = True
            return
        payload = json.dumps(told).encode()
        asked.send_response(status)
        asked.send_header("Content-Type", "application/json")
        asked.send_header("Content-Length", str(len(payload)))
        asked.end_headers()
        asked.wfile.write(payload)

    def _work(self, asked: BaseHTTPRequestHandler, body: Any) -> tuple[int, Any]:
        if asked.headers.get("Authorization") != f"Bearer {API_KEY}":
            return 401, {"message": "who are you?"}
        if body is None:
            return 200, {"vouchers": self._chosen(parse_qs(urlsplit(asked.path).query))}
        if self.fail_next_write:
            self.fail_next_write = False
            return 500, {"message": "out of paper"}
        if float(body["percent"]) > 100:
            return 422, {"message": "percent: at most 100"}
        number = asked.path.rpartition("/")[2]
        return 200, self.put(body, int(number) if number.isdigit() else None)

    def _chosen(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        def asked(name: str) -> list[str]:
            return query.get(name, [""])[0].split(",")

        found = self.vouchers
        if "references" in query:
            found = [voucher for voucher in found if voucher.get("reference") in asked("references")]
        if "codes" in query:
            found = [voucher for voucher in found if voucher["code"] in asked("codes")]
        if "since" in query:
            since = datetime.fromisoformat(asked("since")[0])
            found = [voucher for voucher in found if datetime.fromisoformat(voucher["changed_at"]) >= since]
        after = int(asked("after")[0] or 0)
        return [voucher for voucher in found if voucher["id"] > after][: int(asked("limit")[0] or 500)]

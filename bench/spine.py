"""How long a thousand orders take against a SAP that needs 80 ms for each, compared with what SAP alone would need.

Run with ``make bench``. Prints figures; passes and fails nothing. Compare ratios within one run: machines differ.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from datawald.bootstrap import make_bells, make_core
from datawald.cli.demo.configuration import ORDERS, configure
from datawald.cli.services import Services, call_sandbox
from datawald.sealed import new_master_key
from datawald.usecases import keys
from flask_dwconnector import DWConnector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--sap-ms", type=int, default=80, help="latency of each insert in the SAP sandbox")
    parser.add_argument("--at-once", type=int, default=10, help="max_claims of the SAP connection")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="datawald-bench-") as folder,
        Services(Path(folder) / "run", worker_threads=chosen.at_once + 4) as services,
    ):
        services.start("store", "magento", "sap")
        settings = services.settings()
        core = make_core(settings, make_bells(settings))
        services.worker_key = keys.create(core, "worker", ["worker"])
        services.master_key = new_master_key()
        services.start("api")
        operator = DWConnector(services.core_url, keys.create(core, "bench", ["operator", "worker"]))
        configure(operator, services)
        services.queues = operator.queues()
        place = {"count": chosen.orders, "seed": 7, "kind": "simple"}
        call_sandbox(services.magento_url, "POST", "/_sandbox/orders/place", place)
        fault = {"kind": "latency", "method": "POST", "path": "/b1s/v2/Orders", "seconds": chosen.sap_ms / 1000}
        call_sandbox(services.sap_url, "POST", "/_sandbox/faults", fault)
        services.start("worker", "beat")
        spent = {one.service.name: cpu_s(one.pid) for one in services.running()}
        began = time.monotonic()
        task = operator.call("POST", "/api/sync-tasks", json={"flow": ORDERS})
        staged = 0.0
        while not task["ended"]:
            time.sleep(0.5)
            task = operator.call("GET", f"/api/sync-tasks/{task['id']}")
            if task["extracted"] and not staged:
                staged = time.monotonic() - began
        took = time.monotonic() - began
        for one in services.running():
            used = cpu_s(one.pid) - spent[one.service.name]
            print(f"cpu {one.service.name:12} {used:5.1f} s, {used / chosen.orders * 1000:5.1f} ms per order")
        ideal = chosen.orders * chosen.sap_ms / 1000 / chosen.at_once
        print(f"orders           {chosen.orders}, counts {task['counts']}")
        print(f"extracted after  {staged:.1f} s")
        print(f"settled after    {took:.1f} s: {chosen.orders / took:.0f} orders/s")
        print(f"SAP alone        {ideal:.1f} s; ratio {took / ideal:.2f}")


def cpu_s(leader: int) -> float:
    """CPU seconds of a process group so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == leader:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()

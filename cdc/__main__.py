"""`python -m cdc --server host:port`: the capture process of one server, as the supervisor starts it.

Fed by: the supervisor. Feeds: cdc.app. Never: runs without a server named.
"""

from __future__ import annotations

import argparse
import sys

import structlog

from cdc.app import Capture, run_capture
from cdc.debezium.app import DebeziumCapture
from shared import logs
from shared.errors import RowplaneError
from shared.lifecycle import install_stop_event
from shared.memory import share_heaps
from shared.model.names import debezium_source
from shared.settings import load_kafka, load_kube


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m cdc", description=__doc__)
    parser.add_argument("--server", required=True, help="database server, host:port; or debezium/<source topic>")
    parser.add_argument("--announce-fd", type=int, default=-1, help="socket to the supervisor")
    arguments = parser.parse_args()
    share_heaps()
    logs.configure("capture")
    stop = install_stop_event()
    try:
        kind = DebeziumCapture if debezium_source(arguments.server) else Capture
        return run_capture(arguments.server, (load_kafka(), load_kube()), arguments.announce_fd, stop, kind)
    except RowplaneError as error:
        structlog.get_logger(__name__).error("capture ends", server=arguments.server, error=str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

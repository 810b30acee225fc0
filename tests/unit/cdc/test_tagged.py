"""Tagged GTIDs, checked against bytes that MySQL 9.7 wrote."""

from __future__ import annotations

import pytest

from cdc.core.tagged import encode_set, gtid_of_event
from shared.errors import InvalidError
from shared.model.position import MysqlGtids

U = "5b431a1d-e71a-11f1-9f72-02fc00000001"
EVENT = bytes.fromhex(
    "02820000000 2b686343a9d033422c5037d02e404f10300000002040406 1a616e6f746865725f7461675f78".replace(" ", "")
)
PREVIOUS_GTIDS = bytes.fromhex(
    "0103000000000001"
    "5b431a1de71a11f19f7202fc0000000100010000000000000001000000000000005319000000000000"
    "5b431a1de71a11f19f7202fc000000011a616e6f746865725f7461675f78010000000000000001000000000000000200000000000000"
    "5b431a1de71a11f19f7202fc0000000106746167010000000000000001000000000000000300000000000000"
)  # fmt: skip


def test_an_event_names_its_gtid() -> None:
    assert gtid_of_event(EVENT) == f"{U}:another_tag_x:1"


def test_a_set_is_written_as_the_server_writes_it() -> None:
    assert encode_set(MysqlGtids.parse(f"{U}:1-6482:another_tag_x:1:tag:1-2")) == PREVIOUS_GTIDS


@pytest.mark.parametrize("body", [EVENT[:-3], b"\x02\x02\x00\x20\x00", b""])
def test_other_shapes_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidError):
        gtid_of_event(body)

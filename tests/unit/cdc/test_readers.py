"""Who the rows of a full publish are for, as its control records say it."""

from __future__ import annotations

from cdc.core.plan import reader_uids
from cdc.core.records import control_record
from shared.model.names import HEADER_CONTROL, HEADER_READERS, HEADER_VERSION
from tests.builders import version


def test_readers_are_the_hubs_and_forms_of_a_table_and_no_requests() -> None:
    marks = ("form:f-2:h-1", "form:f-1:h-1", "hub:h-1:0a1b2c3d", "resync:h-1:full/7")
    assert reader_uids(marks) == ("f-1", "f-2", "h-1")


def test_a_control_record_names_reason_and_readers() -> None:
    headers = dict(control_record("t", 3, version(4), "form is new", ("f-1", "h-1")).headers)
    assert headers == {
        HEADER_VERSION: version(4).text().encode(),
        HEADER_CONTROL: b"form is new",
        HEADER_READERS: b"f-1,h-1",
    }
    assert HEADER_READERS not in dict(control_record("t", 3, version(4), "incarnation").headers)

"""Journals that another release has written: whatever stands in them, they are read."""

from __future__ import annotations

import msgspec
import pytest

from mesh.protocols.errors import JournalCorrupt
from mesh.protocols.job_events import Entry, JobHead, OpenWait, Unknown, WaitOpened, decode_entry, encode_entry
from mesh.protocols.job_state import Recorded, fold

HEAD = JobHead(workflow="w", version=1, tenant="default", state="running", owner="p")
LATER = Unknown(type_name="from.the.future", content=msgspec.Raw(b'{"type":"from.the.future"}'))


def test_an_entry_without_events_is_void_also_in_a_journal_that_is_not_understood() -> None:
    entries = [
        Entry(id="1", job="j", tenant="default", head=HEAD, events=(LATER,), owner="p"),
        Entry(id="2", job="j", tenant="default", head=HEAD, events=(), owner="p", previous=1),
    ]
    state = fold(Recorded(each, number, float(number)) for number, each in enumerate(entries, 1))
    assert [(each.sequence, each.reason) for each in state.void] == [(2, "it has no events")]
    assert (state.status, state.unreadable) == ("running", "from.the.future")


def test_a_wait_that_is_not_known_here_does_not_hide_the_job() -> None:
    known = OpenWait(key="go", kind="signal", name="go")
    opened = WaitOpened(key="q", kind="approval", name="quorum")
    head = msgspec.structs.replace(HEAD, waits=(known, OpenWait(key="q", kind="approval", name="quorum")))
    data = encode_entry(Entry(id="1", job="j", tenant="default", head=head, events=(opened,), owner="p"))
    entry = decode_entry(data.replace(b'"approval"', b'"quorum"'))
    assert entry.head == msgspec.structs.replace(HEAD, waits=(known,))
    assert [type(each) for each in entry.events] == [Unknown]
    assert decode_entry(data).head == head


@pytest.mark.parametrize("head", [b"null", b"{}", b'{"waits":3}', b'{"waits":[{}]}'])
def test_an_entry_without_a_head_is_none(head: bytes) -> None:
    data = encode_entry(Entry(id="1", job="j", tenant="default", head=HEAD, events=(), owner="p"))
    plain = {**msgspec.json.decode(data, type=dict[str, msgspec.Raw]), "head": msgspec.Raw(head)}
    with pytest.raises(JournalCorrupt):
        decode_entry(msgspec.json.encode(plain))
    plain.pop("head")
    with pytest.raises(JournalCorrupt):
        decode_entry(msgspec.json.encode(plain))

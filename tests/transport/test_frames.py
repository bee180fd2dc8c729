from __future__ import annotations

import pytest

from mesh.protocols.errors import InvalidName
from mesh.transport.nats.frames import decode_headers, encode_headers
from mesh.transport.nats.stored import position, rfc3339, unix_time


def test_headers_come_back_as_they_were_written() -> None:
    headers = {"Nats-Msg-Id": "a:b", "Ünïcode".replace("Ü", "U").replace("ï", "i"): "häder", "Empty": ""}
    assert decode_headers(encode_headers(headers)) == headers


def test_a_value_cannot_end_its_line() -> None:
    assert decode_headers(encode_headers({"A": "x\r\nInjected: y"})) == {"A": "x  Injected: y"}


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        encode_headers({name: "x"})


def test_a_status_line_is_read() -> None:
    assert decode_headers(b"NATS/1.0 503\r\n\r\n") == {"Status": "503"}
    assert decode_headers(b"NATS/1.0 404 No Messages\r\nA: b\r\n\r\n") == {
        "Status": "404",
        "Description": "No Messages",
        "A": "b",
    }


@pytest.mark.parametrize(
    "reply",
    ["$JS.ACK.S.c.3.70.5.1600000000500000000.9", "$JS.ACK.hub.ACC.S.c.3.70.5.1600000000500000000.9.tok"],
)
def test_the_position_of_a_delivery_is_read_in_both_forms(reply: str) -> None:
    where = position(reply.encode())
    assert (where.sequence, where.delivered, where.attempts, where.pending) == (70, 5, 3, 9)
    assert where.time == pytest.approx(1600000000.5)


def test_times_come_back_to_the_microsecond() -> None:
    assert unix_time("2026-11-20T18:08:01.585055471Z") == pytest.approx(1795198081.585055, abs=2e-6)
    assert unix_time(rfc3339(1795198081.25)) == 1795198081.25
    assert unix_time("2026-11-20T18:08:01Z") == 1795198081.0

"""What a refusal of the server means: whose fault it is, and whether to come again."""

from __future__ import annotations

import pytest

from mesh.protocols.errors import Conflict, Refused, TooLarge, Unavailable
from mesh.transport.nats.api import ApiError, MissingStream, refusal


@pytest.mark.parametrize(
    ("code", "err_code", "meaning"),
    [
        (400, 10071, Conflict),
        (400, 10164, Conflict),
        (409, 10158, Conflict),
        (404, 10059, MissingStream),
        (400, 10054, TooLarge),
        (400, 10002, Unavailable),
        (503, 10023, Unavailable),
        (500, 10047, Unavailable),
        (503, 10077, Unavailable),
        (503, 10008, Unavailable),
        (400, 10025, Refused),
    ],
)
def test_only_what_is_the_messages_own_fault_is_for_good(code: int, err_code: int, meaning: type[Exception]) -> None:
    error = refusal(ApiError(code=code, err_code=err_code, description="in the server's words"), "subject")
    assert type(error) is meaning
    assert error.detail == {"err_code": err_code}

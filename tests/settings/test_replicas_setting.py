"""How many servers keep a stream: a setting, else whether there is a cluster."""

from __future__ import annotations

import pytest

from mesh.settings.choices import replicas_choice
from mesh.settings.errors import BadSettings


def test_without_a_word_the_cluster_decides() -> None:
    assert replicas_choice({}) is None
    assert replicas_choice({"MESH_REPLICAS": "auto"}) is None


def test_a_number_is_that_many() -> None:
    assert [replicas_choice({"MESH_REPLICAS": str(number)}) for number in (1, 3, 5)] == [1, 3, 5]


@pytest.mark.parametrize("nonsense", ["0", "6", "three", "-1"])
def test_what_no_server_can_do_is_refused_with_what_to_write(nonsense: str) -> None:
    with pytest.raises(BadSettings, match=r"MESH_REPLICAS.*write 1, 3 or 5"):
        replicas_choice({"MESH_REPLICAS": nonsense})

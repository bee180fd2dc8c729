"""What every test may use, and in which order and how many at a time they run.

Virtual time comes from the package itself, as it would for our users.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["mesh.testing.pytest_plugin"]

# An example that takes long says something about the machine, and nothing about the property.
settings.register_profile("mesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mesh")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow begins first: begun last, it would keep one worker busy while the others have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto`: one more than there are processors, as tests on a real server wait for half of their time. With two more, those that
    kill servers of a cluster are starved beside each other."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else (os.cpu_count() or 1) + 1

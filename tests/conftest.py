"""What every test may use. Virtual time comes from the package itself, as it would for our users."""

from __future__ import annotations

pytest_plugins = ["mesh.testing.pytest_plugin"]

"""`python -m tests.simulation`: run seeds, and show what went wrong."""

from __future__ import annotations

import os
import sys

if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(
        sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
    )

from tests.simulation.command import main

code = main(sys.argv[1:])
sys.stdout.flush()
os._exit(code)  # what a simulation has left suspended must not be run, not even to close it

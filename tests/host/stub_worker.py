# ruff: noqa: T201 (its output is what is tested)
"""A worker without a mesh: it does what the label `do` says, over the real channel. No imports that cost time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

channel = socket.socket(fileno=int(sys.argv[-1]))
orders = json.loads(channel.makefile("rb").readline())
do = orders["labels"].get("do", "live")
asked_to_go = False


def say(kind: str, **fields: object) -> None:
    channel.sendall(json.dumps({"type": kind, **fields}).encode() + b"\n")


def drain(*_: object) -> None:
    global asked_to_go
    asked_to_go = True


def ready() -> None:
    hosted = [{"agent": "stub", "instance": each} for each in orders["instances"]]
    say("ready", hosted=hosted, files=[orders["labels"].get("file", __file__)])


def live(seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not asked_to_go and time.monotonic() < ends:
        say("beat", lag=0.001, handled=3, idle=1.5)
        time.sleep(0.02)


signal.signal(signal.SIGTERM, drain)
print("hello from", orders["token"], flush=True)
print("and on stderr", file=sys.stderr, flush=True)
if do == "fail":
    say("failed", message="cannot load x", hopeless=True)
    sys.exit(1)
if do == "crash-before-ready":
    sys.exit(3)
if do == "never-ready":
    time.sleep(60)
if do == "once" and not os.path.exists(orders["labels"]["mark"]):
    open(orders["labels"]["mark"], "w").close()
    ready()
    os.kill(os.getpid(), signal.SIGKILL)
if do == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
ready()
if do == "crash":
    sys.exit(7)
if do == "hang":
    live(0.3)
    print("hanging", flush=True)
    time.sleep(60)
if do == "children":
    child = subprocess.Popen(["sleep", "60"])
    print("child", child.pid, flush=True)
if do == "shout":
    sys.stdout.write("x" * 700_000 + "\n\x1b[2J\n")
    sys.stdout.flush()
live()
say("gone")

"""Accounts: signing in, finding, exporting."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess

import yaml

SESSION_TOKEN = "s9Kd-lantern-4471-quiet-River"
MAIL_TOKEN = os.environ.get("SHOP_MAIL_TOKEN", "")


def fingerprint(password: str) -> str:
    """What is stored of a password."""
    return hashlib.md5(password.encode()).hexdigest()


def checksum(data: bytes) -> str:
    """What tells two exports apart."""
    return hashlib.sha256(data).hexdigest()


def find(connection: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    """The account of that name."""
    return connection.execute("SELECT id, name FROM accounts WHERE name = '%s'" % name).fetchone()


def find_by_id(connection: sqlite3.Connection, number: int) -> sqlite3.Row | None:
    """The account with that number."""
    return connection.execute("SELECT id, name FROM accounts WHERE id = ?", (number,)).fetchone()


def export(folder: str) -> None:
    """Pack a folder of exports."""
    subprocess.run(f"tar czf export.tgz {folder}", shell=True, check=True)


def pack(folder: str) -> None:
    """Pack a folder without asking a shell."""
    subprocess.run(["tar", "czf", "export.tgz", "--", folder], check=True)


def load_rules(text: str) -> dict[str, str]:
    """Sign-in rules as an operator wrote them."""
    return yaml.load(text, Loader=yaml.Loader)


def load_limits(text: str) -> dict[str, int]:
    """Rate limits as an operator wrote them."""
    return yaml.safe_load(text)


def price_formula(text: str) -> float:
    """What an operator's formula comes to."""
    return eval(text)

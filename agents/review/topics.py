"""What rules of different tools mean the same: a topic, how bad it is, and what to do about it.

Pure data with three questions. A rule without a topic is its own topic, and as bad as its tool says.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.agents.review.findings import Severity


@dataclass(frozen=True)
class Topic:
    """One meaning. `severity` replaces the tool's own, which knows nothing of the other tools; None leaves it."""

    rules: tuple[str, ...]
    severity: Severity | None
    suggestion: str


TOPICS: dict[str, Topic] = {
    "hardcoded-secret": Topic(
        ("bandit:B105", "bandit:B106", "bandit:B107", "ruff:S105", "ruff:S106", "ruff:S107", "detect-secrets"),
        "high",
        "Take it from the environment or a secret store, and revoke the one that was committed.",
    ),
    "shell-injection": Topic(
        (
            "bandit:B602",
            "bandit:B604",
            "bandit:B605",
            "bandit:B609",
            "ruff:S602",
            "ruff:S604",
            "ruff:S605",
            "ruff:S609",
        ),
        "high",
        "Pass a list of arguments and leave shell=False.",
    ),
    "sql-injection": Topic(
        ("bandit:B608", "ruff:S608"), "high", "Pass values as query parameters, not in the text of the query."
    ),
    "code-execution": Topic(
        ("bandit:B102", "bandit:B307", "ruff:S102", "ruff:S307"), "high", "Parse the data instead of running it."
    ),
    "unsafe-deserialisation": Topic(
        ("bandit:B301", "bandit:B302", "bandit:B506", "ruff:S301", "ruff:S302", "ruff:S506"),
        "high",
        "Use a loader that builds only plain data: yaml.safe_load, json.",
    ),
    "weak-hash": Topic(
        ("bandit:B303", "bandit:B324", "ruff:S303", "ruff:S324"),
        "medium",
        "Use SHA-256 or better, or a password hash; usedforsecurity=False where it guards nothing.",
    ),
    "unverified-tls": Topic(
        ("bandit:B501", "bandit:B323", "bandit:B503", "ruff:S501", "ruff:S323", "ruff:S503"),
        "high",
        "Leave certificate checks on.",
    ),
    "no-timeout": Topic(("bandit:B113", "ruff:S113"), "medium", "Give the request a timeout."),
    "insecure-temporary-file": Topic(
        ("bandit:B306", "bandit:B108", "ruff:S306", "ruff:S108"),
        "medium",
        "Use tempfile.mkstemp or a TemporaryDirectory.",
    ),
    "weak-random": Topic(
        ("bandit:B311", "ruff:S311"), "low", "Use the secrets module where the value must not be guessed."
    ),
    "debug-mode": Topic(
        ("bandit:B201", "ruff:S201"), "high", "Turn debug off outside development: it runs code for anyone."
    ),
    "bind-all": Topic(("bandit:B104", "ruff:S104"), "medium", "Bind to the address that needs it."),
    "swallowed-exception": Topic(
        ("bandit:B110", "bandit:B112", "ruff:S110", "ruff:S112"), "medium", "Handle it, or let it rise."
    ),
    "bare-except": Topic(
        ("ruff:E722", "ruff:B001"),
        "medium",
        "Name the exceptions that you can handle; a bare except also catches KeyboardInterrupt.",
    ),
    "syntax-error": Topic(
        ("ruff:invalid-syntax", "ruff:E999", "ruff:E902", "mypy:syntax"),
        "critical",
        "The file does not parse: fix this first.",
    ),
    "undefined-name": Topic(
        ("ruff:F821", "ruff:F822", "ruff:F823", "mypy:name-defined"), "high", "Define or import the name."
    ),
    "unused-variable": Topic(("ruff:F841", "vulture:unused-variable", "ruff:RUF059"), "low", "Remove it, or use it."),
    "unused-import": Topic(("ruff:F401", "vulture:unused-import"), "low", "Remove the import."),
    "unused-code": Topic(
        ("vulture:unused-function", "vulture:unused-method", "vulture:unused-class"),
        "low",
        "Remove it, or say who uses it.",
    ),
    "unreachable-code": Topic(
        ("vulture:unreachable-code", "ruff:B012", "ruff:PLW0101", "mypy:unreachable"),
        "medium",
        "Remove it, or move the statement that ends the block.",
    ),
    "mutable-default": Topic(
        ("ruff:B006", "ruff:RUF008", "ruff:W0102"), "medium", "Default to None and make a new one in the body."
    ),
    "late-binding": Topic(("ruff:B023",), "medium", "Bind the loop variable as a default argument."),
    "redefinition": Topic(("ruff:F811", "mypy:no-redef"), "medium", "Rename or remove one of the two."),
    "comparison-to-none": Topic(("ruff:E711",), "medium", "Compare with `is None`."),
    "assert-on-tuple": Topic(("ruff:F631",), "high", "A tuple is always true: remove the parentheses."),
    "is-literal": Topic(("ruff:F632",), "high", "Compare values with ==."),
    "raise-without-from": Topic(("ruff:B904",), "low", "Raise it `from` the error that was caught, or `from None`."),
    "star-import": Topic(("ruff:F403",), "medium", "Name what is imported."),
    "unused-loop-variable": Topic(("ruff:B007",), "low", "Call it `_`, or see whether another name was meant."),
    "repeated-key": Topic(("ruff:F601",), "high", "Remove one of the two."),
    "complex-function": Topic(("radon:complexity", "ruff:C901"), None, "Split it: one function a decision."),
}

_TOPIC_OF = {rule: name for name, topic in TOPICS.items() for rule in topic.rules}


def topic_of(rule: str) -> str:
    """The shared name of what a rule means; the rule itself where no other tool says the same.

    The built-in checks name their rules by topics: `builtin:shell-injection`.
    """
    tool, _, name = rule.partition(":")
    if tool == "builtin" and name in TOPICS:
        return name
    return _TOPIC_OF.get(rule) or _TOPIC_OF.get(tool, rule)


def severity_of(rule: str, own: Severity) -> Severity:
    """How bad it is: the topic's severity, or what the tool says."""
    topic = TOPICS.get(topic_of(rule))
    return own if topic is None or topic.severity is None else topic.severity


def suggestion_for(rule: str, own: str) -> str:
    """What to do: the tool's own words where it has any that are specific, else the topic's."""
    topic = TOPICS.get(topic_of(rule))
    return own or (topic.suggestion if topic else "")

"""The OpenAPI 3.1 document of a gateway, with the workflows that its mesh has and what they take and give.

Pure: workflows come in, the document comes out. Schemas stand in `components`, their inner references
rewritten to where they stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mesh.gateway.terms import KEY, WEBHOOK

Json = dict[str, Any]

HEADERS: dict[str, str] = {
    KEY: "Your own key: the same key is the same job. Without one, one is made and returned.",
    WEBHOOK: "An https URL that is told when the job is over, at least once, signed as Standard Webhooks are.",
    "Mesh-Deadline": "Seconds until nobody needs the result any more.",
    "Mesh-Budget": "`0.50` (money), or `money=0.5,tokens=20000,tool_calls=10,wall_time=60`.",
    "Mesh-Boundary": "The data boundary that the work must stay in.",
    "Mesh-Priority": "0 (most urgent) to 3.",
    "Mesh-Labels": "`region=eu,gpu=yes`: labels that every agent working for the job must have.",
    "traceparent": "W3C trace context.",
}
_TENANT = {"$ref": "#/components/parameters/tenant"}
_JOB = {"$ref": "#/components/parameters/job"}


@dataclass(frozen=True, kw_only=True)
class Described:
    """One workflow in its newest version. A schema is None while no process that hosts it is up."""

    name: str
    version: int
    description: str = ""
    input: Json | None = None
    output: Json | None = None


def document(workflows: Iterable[Described]) -> Json:
    """The whole document."""
    listed = sorted(workflows, key=lambda each: each.name)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mesh gateway", "version": _release(), "description": "Durable jobs of an agent mesh."},
        "security": [{"token": []}],
        "paths": {**{f"/v1/{{tenant}}/jobs/{each.name}": {"post": _submission(each)} for each in listed}, **_paths()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "parameters": {
                "tenant": _parameter("tenant", "On whose account."),
                "job": _parameter("job", "The job's id."),
            },
            "schemas": {**_SHAPES, **_schemas(listed)},
        },
    }


# -- workflows


def _submission(workflow: Described) -> Json:
    return {
        "summary": workflow.description or f"Hand in a job of {workflow.name}.",
        "operationId": f"submit_{workflow.name}",
        "x-mesh-workflow-version": workflow.version,
        "parameters": [_TENANT, *(_header(name, text) for name, text in HEADERS.items())],
        "requestBody": {"content": _json({"$ref": f"#/components/schemas/{workflow.name}.input"})},
        "responses": {
            "202": {"description": "It is stored, and will be done.", "content": _json(_ref("Submitted"))},
            "default": _PROBLEM,
        },
    }


def _schemas(workflows: Iterable[Described]) -> Json:
    found: Json = {}
    for each in workflows:
        for side, schema in (("input", each.input), ("output", each.output)):
            name = f"{each.name}.{side}"
            found[name] = _moved(schema, f"#/components/schemas/{name}") if schema is not None else _UNKNOWN
    return found


_UNKNOWN = {"description": "Not known while no process that hosts the workflow is up."}


def _moved(schema: Any, place: str) -> Any:
    """The schema with its own `#/…` references made to point below `place`."""
    if isinstance(schema, dict):
        return {
            name: place + value[1:] if name == "$ref" and isinstance(value, str) and value.startswith("#/") else _moved(value, place)
            for name, value in schema.items()
        }  # fmt: skip
    return [_moved(each, place) for each in schema] if isinstance(schema, list) else schema


# -- what is the same in every mesh


def _paths() -> Json:
    once = _header(KEY, "Said again with the same key, it counts once. Without one, one is made and returned.")
    return {
        "/v1/{tenant}/jobs": {
            "get": _get(
                "The tenant's jobs, the latest first.",
                "Page",
                _query("limit", "integer", "At most so many."),
                _query("state", "string", "Only in this state."),
                _query("workflow", "string", "Only of this workflow."),
                _query("after", "string", "The `next` of the page before."),
            )
        },
        "/v1/{tenant}/jobs/{job}": {"get": _get("Everything about one job.", "Job", _JOB)},
        "/v1/{tenant}/jobs/{job}/result": {
            "get": _get(
                "Its result or error; 202 while it goes on.",
                "Result",
                _JOB,
                _query("wait", "number", "Seconds to wait for its end."),
            )
        },
        "/v1/{tenant}/jobs/{job}/events": {"get": _EVENTS},
        "/v1/{tenant}/approvals": {"get": _get("What waits for somebody's yes.", "Approvals")},
        "/v1/{tenant}/jobs/{job}/approvals": {
            "get": _get("What the job asks, and the digest of it.", "Approvals", _JOB)
        },
        "/v1/{tenant}/jobs/{job}/approvals/{key}": {
            "post": _tell(
                "Approve or deny it; the first valid answer counts.", "Decision", _parameter("key", "Which one.")
            )
        },
        "/v1/{tenant}/jobs/{job}/cancel": {"post": _tell("End the job.", "Said", once)},
        "/v1/{tenant}/jobs/{job}/pause": {"post": _tell("Begin nothing more until it is resumed.", "Pause", once)},
        "/v1/{tenant}/jobs/{job}/resume": {"post": _tell("Go on after a pause.", "Said", once)},
        "/v1/{tenant}/jobs/{job}/signals/{name}": {
            "post": _tell(
                "Give the job what it waits for by name; the body is the value.",
                "Signal",
                _parameter("name", "What it is called."),
                once,
            )
        },
    }


def _tell(summary: str, shape: str, *parameters: Json) -> Json:
    return {
        "summary": summary,
        "parameters": [_TENANT, _JOB, *parameters],
        "requestBody": {"content": _json(_ref(shape))},
        "responses": {
            "200": {"description": "The journal has it.", "content": _json(_ref("Told"))},
            "409": {**_PROBLEM, "description": "The job passed it over; `detail` says why."},
            "default": _PROBLEM,
        },
    }


def _get(summary: str, shape: str, *parameters: Json) -> Json:
    return {
        "summary": summary,
        "parameters": [_TENANT, *parameters],
        "responses": {"200": {"description": summary, "content": _json(_ref(shape))}, "default": _PROBLEM},
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _parameter(name: str, text: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}


def _header(name: str, text: str) -> Json:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _query(name: str, kind: str, text: str) -> Json:
    return {"name": name, "in": "query", "description": text, "schema": {"type": kind}}


def _object(required: Iterable[str], **properties: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


_TEXT: Json = {"type": "string"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_WHOLE: Json = {"type": "integer"}
_ROW: dict[str, Json] = {
    "id": _TEXT,
    "workflow": _TEXT,
    "version": _WHOLE,
    "tenant": _TEXT,
    "state": _TEXT,
    "owner": _MAYBE_TEXT,
    "submitted_at": {"type": "string", "format": "date-time"},
}
_SAID: dict[str, Json] = {"by": _TEXT, "reason": _TEXT}
_OUTCOME: dict[str, Json] = {"result": {}, "error": {"anyOf": [{"type": "object"}, {"type": "null"}]}}
_SHAPES: Json = {
    "Submitted": _object(
        ("job", "duplicate", "key", "links"),
        job=_TEXT,
        duplicate={"type": "boolean"},
        key=_TEXT,
        links={"type": "object", "additionalProperties": _TEXT},
    ),
    "Row": _object(_ROW, **_ROW),
    "Page": _object(("jobs", "next"), jobs={"type": "array", "items": _ref("Row")}, next=_MAYBE_TEXT),
    "Result": _object(_ROW, **_ROW, **_OUTCOME),
    "Job": _object(
        _ROW,
        **_ROW,
        **_OUTCOME,
        input={},
        steps={"type": "array", "items": {"type": "object"}},
        awards={"type": "array", "items": {"type": "object"}},
        usage={"type": "object"},
    ),
    "Approvals": _object(("approvals",), approvals={"type": "array", "items": {"type": "object"}}),
    "Said": _object((), **_SAID),
    "Pause": _object((), **_SAID, now={"type": "boolean"}),
    "Decision": _object(("decision", "digest"), **_SAID, decision={"enum": ["approve", "deny"]}, digest=_TEXT),
    "Signal": {},
    "Told": _object(("job", "event", "state", "sequence"), job=_TEXT, event=_TEXT, state=_TEXT, sequence=_WHOLE),
    "Problem": _object(
        ("type", "title", "status", "detail", "code", "class"),
        type=_TEXT,
        title=_TEXT,
        status=_WHOLE,
        detail=_TEXT,
        code=_TEXT,
        **{"class": {"enum": ["transient", "semantic", "catastrophic"]}},
    ),
}
_PROBLEM: Json = {
    "description": "What went wrong; `code` is the mesh's own, `class` says whether a repetition may help.",
    "content": {"application/problem+json": {"schema": _ref("Problem")}},
}
_EVENTS: Json = {
    "summary": "Its journal as server-sent events, up to the last one.",
    "parameters": [_TENANT, _JOB, _header("Last-Event-ID", "The id of the last event that was read.")],
    "responses": {
        "200": {"description": "An event each.", "content": {"text/event-stream": {"schema": _TEXT}}},
        "204": {"description": "The job is over, and all of it was read."},
        "default": _PROBLEM,
    },
}


def _release() -> str:
    try:
        return version("natsmesh")
    except PackageNotFoundError:
        return "0"

"""The OpenAPI document names what is served, with the workflows' own schemas, and every reference in it leads somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mesh.gateway.openapi import Described, document
from tests.gateway.gate import Gate


def references(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        for name, value in found.items():
            if name == "$ref":
                yield value
            yield from references(value)
    elif isinstance(found, list):
        for each in found:
            yield from references(each)


def resolved(whole: Any, reference: str) -> Any:
    found = whole
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


@pytest.mark.server
async def test_it_has_the_real_schemas_of_what_is_hosted(gate: Gate) -> None:
    status, found = await gate.ask("GET", "/v1/openapi.json")
    assert (status, found["openapi"]) == (200, "3.1.0")
    operation = found["paths"]["/v1/{tenant}/jobs/shout"]["post"]
    assert (operation["summary"], operation["x-mesh-workflow-version"]) == ("Says it louder.", 3)
    taken = operation["requestBody"]["content"]["application/json"]["schema"]
    shape = resolved(found, taken["$ref"])
    while "$ref" in shape:
        shape = resolved(found, shape["$ref"])
    order = shape["properties"].get("order", shape)
    while "$ref" in order:
        order = resolved(found, order["$ref"])
    assert set(order["properties"]) == {"items", "note"}
    assert resolved(found, order["properties"]["items"]["items"]["$ref"])["required"] == ["name"]
    for each in references(found):
        assert each.startswith("#/components/")
        resolved(found, each)


@pytest.mark.server
async def test_it_names_every_route(gate: Gate) -> None:
    _, found = await gate.ask("GET", "/v1/openapi.json")
    served = {
        (each.method.lower(), each.resource.canonical)
        for each in gate.site.routes
        if each.resource is not None and each.method != "HEAD" and "{tenant}" in each.resource.canonical
    }
    named = {(method, path) for path, methods in found["paths"].items() for method in methods}
    assert served - {("post", "/v1/{tenant}/jobs/{workflow}")} <= named


def test_a_workflow_whose_schemas_are_not_known_is_served_all_the_same() -> None:
    found = document([Described(name="w", version=1)])
    assert "description" in found["components"]["schemas"]["w.input"]
    assert "/v1/{tenant}/jobs/w" in found["paths"]

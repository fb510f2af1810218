"""graphql-cop's checks, re-expressed: what each sends, and what it takes for a finding."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.attacks.target import Target, get, post, query


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `find` says what it found; empty for nothing."""

    name: str
    looks_for: str
    find: Callable[[Target], Awaitable[str]]


def checks() -> list[Check]:
    """All twelve."""
    return [
        Check("Alias Overloading", "101 aliases are answered", _alias_overloading),
        Check("Batch Queries", "an array of ten requests is answered", _batch),
        Check("Directive Overloading", "ten unknown directives on a field are each complained of", _directives),
        Check("Circular Query using Introspection", "types of fields of types are answered", _circular),
        Check("Field Duplication", "one field 500 times is answered", _duplication),
        Check("Field Suggestions", "`Did you mean` in an error", _suggestions),
        Check("GET Method Query Support", "a GET as another site's page makes a browser send it is answered", _get),
        Check("Mutation over GET", "a mutation over GET is answered", _mutation_over_get),
        Check("POST url-encoded", "a query in a form is answered", _form),
        Check("GraphiQL", "a page with GraphiQL or a playground", _graphiql),
        Check("Introspection", "`__schema` is answered", _introspection),
        Check("Trace Mode", "`tracing` in an answer's extensions", _tracing),
    ]


async def _ask(target: Target, request: bytes) -> tuple[str, Any]:
    [reply] = await target.send(request)
    try:
        return reply.body.decode(), json.loads(reply.body)
    except ValueError:
        return reply.body.decode("latin-1"), {}


def _has_data(answer: Any) -> bool:
    return isinstance(answer, list) or bool(isinstance(answer, dict) and answer.get("data"))


async def _alias_overloading(target: Target) -> str:
    aliases = " ".join(f"alias{n}:__typename" for n in range(101))
    _, answer = await _ask(target, query(f"query cop {{ {aliases} }}"))
    return "101 aliases were answered" if _has_data(answer) else ""


async def _batch(target: Target) -> str:
    body = json.dumps([{"query": "query cop { __typename }"}] * 10).encode()
    _, answer = await _ask(target, post(body))
    return "an array was answered" if _has_data(answer) else ""


async def _directives(target: Target) -> str:
    _, answer = await _ask(target, query("query cop { __typename " + "@aa" * 10 + " }"))
    return f"{len(answer['errors'])} errors" if len(answer.get("errors", [])) >= 10 else ""


async def _circular(target: Target) -> str:
    nested = "query cop { __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }"
    _, answer = await _ask(target, query(nested))
    return "it was answered" if _has_data(answer) else ""


async def _duplication(target: Target) -> str:
    _, answer = await _ask(target, query("query cop { " + "__typename \n" * 500 + "}"))
    return "500 fields were answered" if _has_data(answer) else ""


async def _suggestions(target: Target) -> str:
    found = []
    for text in (
        "query cop { __schema { directive } }",
        "query cop { invoice }",
        "query cop { custome(i: 1) { nam } }",
    ):
        said, _ = await _ask(target, query(text))
        found += ["a suggestion"] if "did you mean" in said.lower() else []
    return ", ".join(found)


async def _get(target: Target) -> str:
    by_page = ("origin: https://evil.test", "sec-fetch-site: cross-site", "cookie: session=1")
    for headers in (by_page, by_page[:1], by_page[1:2], by_page[2:]):
        _, answer = await _ask(target, get("/graphql?query=query%20cop%7B__typename%7D", *headers))
        if _has_data(answer):
            return f"answered with {headers}"
    return ""


async def _mutation_over_get(target: Target) -> str:
    _, answer = await _ask(target, get("/graphql?query=mutation%20cop%7B__typename%7D"))
    return "it was answered" if _has_data(answer) else ""


async def _form(target: Target) -> str:
    request = post(b"query=query+cop+%7B__typename%7D", b"content-type: application/x-www-form-urlencoded")
    _, answer = await _ask(target, request)
    return "it was answered" if _has_data(answer) else ""


async def _graphiql(target: Target) -> str:
    for path in ("/", "/graphiql", "/playground", "/console", "/graphql", "/altair", "/graphql/console"):
        [reply] = await target.send(get(path, "accept: text/html"))
        told = reply.body.decode().lower().replace(f'"path":"{path}"', "")  # an error says what was asked for
        if any(word in told for word in ("graphiql", "playground", "altair", "<html")):
            return f"a page at {path}"
    return ""


async def _introspection(target: Target) -> str:
    for text in (
        "query cop { __schema { types { name fields { name } } } }",
        'query cop { __type(name: "Query") { name } }',
    ):
        _, answer = await _ask(target, query(text))
        if _has_data(answer):
            return "it was answered"
    return ""


async def _tracing(target: Target) -> str:
    request = query("query cop { __typename }").replace(
        b"\r\nhost", b"\r\nx-apollo-tracing: 1\r\nx-show-cost: 1\r\nhost", 1
    )
    text, answer = await _ask(target, request)
    return "extensions" if "tracing" in text or answer.get("extensions") else ""

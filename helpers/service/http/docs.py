"""The page at `/docs`: the service's calls as plain HTML, made of its own OpenAPI description.

FastAPI's page is a script from a public server, and blank in a room without a network; this one loads nothing at all.
Called by `app.py`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h3 {{ margin: 1.5rem 0 0; }}
ul {{ margin: 0.25rem 0; }}
:target {{ outline: 2px solid; outline-offset: 4px; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{description} A call below /api or /export, and each other POST, brings two headers:
<code>Authorization: Bearer TOKEN</code> and <code>x-gradient-workspace-id: WORKSPACE</code>. The same for programs:
<a href="openapi.json">openapi.json</a>.</p>
<h2>Calls</h2>
{calls}
<h2>What they take and give</h2>
{schemas}
</body>
</html>
"""

_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}


def page(described: dict[str, Any]) -> str:
    """The whole page.

    Args:
        described: the OpenAPI description.
    """
    calls = [
        (f"{method.upper()} {path}", call)
        for path, methods in described["paths"].items()
        for method, call in methods.items()
    ]
    schemas = described.get("components", {}).get("schemas", {})
    return _PAGE.format(
        title=html.escape(described["info"]["title"]),
        description=html.escape(described["info"].get("description", "")),
        calls="\n".join(_call(name, call) for name, call in calls),
        schemas="\n".join(_schema(name, schema) for name, schema in schemas.items()),
    )


def _call(name: str, call: dict[str, Any]) -> str:
    """A call: what it is, what its address and its body take, and what comes back."""
    lines = [
        f"<code>{html.escape(given['name'])}</code> in the {html.escape(given['in'])}: {_type(given['schema'])}"
        for given in call.get("parameters", ())
    ]
    lines += [f"takes {_content(call['requestBody'])}"] if "requestBody" in call else []
    lines += [
        f"{html.escape(status)}: {_content(answer) or html.escape(answer['description'])}"
        for status, answer in call.get("responses", {}).items()
    ]
    said = call.get("description") or call.get("summary", "")
    return f"<h3><code>{html.escape(name)}</code></h3>\n<p>{html.escape(said)}</p>\n{_list(lines)}"


def _content(body: dict[str, Any]) -> str:
    """What a body is, by its kinds; a file has no schema."""
    kinds = body.get("content", {}).items()
    return " or ".join(_type(kind["schema"]) if kind.get("schema") else html.escape(name) for name, kind in kinds)


def _schema(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", ())
    lines = [
        f"<code>{html.escape(field)}</code>{'' if field in needed else ' (may be left out)'}: {_type(of)}"
        for field, of in schema.get("properties", {}).items()
    ]
    said = html.escape(schema.get("description", ""))
    return f'<h3 id="{html.escape(name)}">{html.escape(name)}</h3>\n<p>{said}</p>\n{_list(lines)}'


def _type(schema: dict[str, Any]) -> str:
    """What a value may be, in words and links."""
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(map(_type, choices))
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if values:
        return " or ".join(f"<code>{html.escape(str(value))}</code>" for value in values)
    said = html.escape(str(schema.get("type", "anything")))
    if "items" in schema:
        said = f"list of {_type(schema['items'])}"
    # FastAPI makes every limit a number with a point.
    limits = [words.format(f"{schema[key]:.12g}") for key, words in _LIMITS.items() if key in schema]
    return ", ".join([said, *limits])


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{line}</li>\n" for line in lines)
    return f"<ul>\n{items}</ul>" if items else ""

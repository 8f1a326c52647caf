"""Write what is generated from REST: `python -m clients.generate`.

- `docs/openapi.json`: the OpenAPI document, as `/v1/openapi.json` answers it.
- `clients/python/chorus_client/api.py`: its types, and a method for each operation, for Python.
- `edge/web/src/net/described.ts`: its types, and what each operation takes and answers, for the page.
- `edge/web/src/net/words.ts`: the codes of errors and of closing, and who may do what, for the page.
"""

import json
import keyword
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from edge.api import ROUTERS
from edge.rest.openapi import document
from infra.version import VERSION
from schemas.frames import CloseCode, ErrorCode
from schemas.roles import MATRIX, Action

ROOT: Final = Path(__file__).parent.parent
OPENAPI: Final = Path("docs/openapi.json")
TYPESCRIPT: Final = Path("edge/web/src/net/described.ts")
WORDS: Final = Path("edge/web/src/net/words.ts")
PYTHON: Final = Path("clients/python/chorus_client/api.py")

Node = dict[str, Any]

_SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_HEAD: Final = '''\
"""Chorus' REST API: its types, and a method for each operation.

Written by `python -m clients.generate` from the OpenAPI document; not by hand.
"""
# ruff: noqa: E501

from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from chorus_client.calling import Caller
'''


def generated() -> dict[Path, str]:
    """The files that must stand in the repository, with their text."""
    app = FastAPI()
    for router in ROUTERS.values():
        app.include_router(router)
    made = document(app, VERSION)
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    return {OPENAPI: text, PYTHON: python(made), TYPESCRIPT: typescript(made), WORDS: words()}


# -- Python --


def python(openapi: Node) -> str:
    """The whole module."""
    schemas: Node = openapi["components"]["schemas"]
    parts = [_HEAD]
    parts += [_struct(_name(name), schema) for name, schema in sorted(schemas.items()) if "properties" in schema]
    parts += [f"{_name(name)} = {_type(s)}" for name, s in sorted(schemas.items()) if "properties" not in s]
    methods = [
        _method(verb, path, operation)
        for path, operations in openapi["paths"].items()
        for verb, operation in operations.items()
        if verb in _METHODS
    ]
    parts.append(
        'class Api(Caller):\n    """A method for each operation; every one raises `Problem` where it is refused."""'
    )
    text = "\n\n\n".join(parts) + "\n\n" + "\n\n".join(methods) + "\n"
    formatter = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "120", "-"]
    return subprocess.run(formatter, input=text, capture_output=True, text=True, check=True).stdout


def _name(schema: str) -> str:
    """`Page_Hit_` → `PageHit`."""
    return "".join(part[:1].upper() + part[1:] for part in schema.split("_"))


def _struct(name: str, schema: Node) -> str:
    required = set(schema.get("required", ()))
    lines = []
    for field, of in schema["properties"].items():
        python_name = _python(field)
        renamed = f'field(name="{field}")' if python_name != field else ""
        if field in required:
            default = f" = {renamed}" if renamed else ""
            lines.append(f"    {python_name}: {_type(of)}{default}")
        else:
            default = f'field(name="{field}", default=UNSET)' if renamed else "UNSET"
            lines.append(f"    {python_name}: {_union([_type(of), 'UnsetType'])} = {default}")
    about = schema.get("description", "").strip()
    doc = [f'    """{_indented(about, 4)}"""', ""] if about else []
    return "\n".join([f"class {name}(Struct, kw_only=True):", *doc, *(lines or ["    pass"])])


def _type(schema: Node) -> str:
    if ref := schema.get("$ref"):
        return _quoted(_name(ref.rpartition("/")[2]))
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        # Structs without tags cannot be told apart: those stay plain values.
        kinds = list(dict.fromkeys(_type(choice) for choice in choices))
        return "Any" if sum(kind.startswith('"') for kind in kinds) > 1 else _union(kinds)
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([_SCALARS.get(one, "Any") for one in kind])
    if kind == "array":
        return f"list[{_type(schema.get('items', {}))}]"
    if kind == "object":
        return "dict[str, Any]"
    if kind == "string" and schema.get("format") == "date-time":
        return "datetime"
    return _SCALARS.get(kind or "", "Any")


def _quoted(name: str) -> str:
    return f'"{name}"'


def _union(kinds: list[str]) -> str:
    if "Any" in kinds:
        return "Any"
    quoted = any(kind.startswith('"') for kind in kinds)
    joined = " | ".join(kind.strip('"') for kind in kinds)
    return _quoted(joined) if quoted else joined


def method_name(verb: str, path: str) -> str:
    """`GET /v1/projects/{project_id}/agents` → `get_project_agents`."""
    steps = path.removeprefix("/v1/").split("/")
    named = []
    for step, following in zip(steps, [*steps[1:], ""], strict=True):
        if not step.startswith("{"):
            named.append(step.removesuffix("s") if following.startswith("{") else step)
    return "_".join([verb, *named]).replace("-", "_").replace(".", "_")


def _python(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _method(verb: str, path: str, operation: Node) -> str:
    parameters = operation.get("parameters", [])
    in_path = [p["name"] for p in parameters if p["in"] == "path"]
    query = [p for p in parameters if p["in"] == "query"]
    headers = [p for p in parameters if p["in"] == "header"]
    media_types = operation.get("requestBody", {}).get("content", {})
    body = media_types.get("application/json", {}).get("schema")
    arguments = [f"{name}: str" for name in in_path]
    if body is not None:
        arguments.append(f"body: {_type(body)}".replace('"', ""))
    named = sorted(query, key=lambda p: not p.get("required", False))
    if named or headers:
        arguments.append("*")
        arguments += [
            f"{_python(p['name'])}: {_type(p['schema'])}"
            if p.get("required")
            else f"{_python(p['name'])}: {_union([_type(p['schema']), 'None'])} = None"
            for p in named
        ]
        arguments += [f"{_argument(p['name'])}: str | None = None" for p in headers]
    answers = _answers(operation)
    returned = _union(list(dict.fromkeys(answers.values()))).strip('"')
    address = re.sub(r"\{(\w+)\}", r"{self.quoted(\1)}", path)
    call = [
        f'"{verb.upper()}"',
        f'f"{address}"' if in_path else f'"{address}"',
        "{" + ", ".join(f"{status}: {kind.strip(chr(34))}" for status, kind in answers.items()) + "}",
    ]
    if body is not None:
        call.append("body=body")
    if query:
        call.append("query={" + ", ".join(f'"{p["name"]}": {_python(p["name"])}' for p in named) + "}")
    if headers:
        call.append("headers={" + ", ".join(f'"{_header(p["name"])}": {_argument(p["name"])}' for p in headers) + "}")
    signature = ", ".join(["self", *arguments])
    about = operation.get("description") or operation.get("summary", "")
    return (
        f"    async def {method_name(verb, path)}({signature}) -> {returned}:\n"
        f'        """{_indented(about.strip(), 8)}"""\n'
        f"        answer: {returned} = await self.call({', '.join(call)})\n"
        "        return answer"
    )


def _header(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))


def _argument(header: str) -> str:
    """`Idempotency-Key` → `idempotency_key`."""
    return header.lower().replace("-", "_")


def _answers(operation: Node) -> dict[str, str]:
    """The type of each good answer, by its status."""
    kinds = {}
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            content: Node = response.get("content", {})
            if "application/json" in content:
                kinds[status] = _type(content["application/json"]["schema"])
            else:
                kinds[status] = "bytes" if content else "None"
    return kinds or {"302": "None"}


def _indented(text: str, spaces: int) -> str:
    text = text.replace("\\", "\\\\")
    return ("\n" + " " * spaces).join(text.split("\n")).replace("\n" + " " * spaces + "\n", "\n\n")


# -- TypeScript --

_TS_HEAD: Final = """\
// Chorus' REST API: its types, and what each operation takes and answers.
// Written by `python -m clients.generate` from the OpenAPI document; not by hand.
"""
_TS_SCALARS: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def typescript(openapi: Node) -> str:
    """The whole module: an interface for each schema, and `Operations` by `METHOD /path`."""
    schemas: Node = openapi["components"]["schemas"]
    parts = [_TS_HEAD]
    for name, schema in sorted(schemas.items()):
        if "properties" in schema:
            required = set(schema.get("required", ()))
            fields = [f"  {n}{'' if n in required else '?'}: {_ts(of)};" for n, of in schema["properties"].items()]
            parts.append("\n".join([f"export interface {_name(name)} {{", *fields, "}"]) + "\n")
        else:
            parts.append(f"export type {_name(name)} = {_ts(schema)};\n")
    lines = ["export interface Operations {"]
    for path, operations in openapi["paths"].items():
        for verb, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            answers = list(dict.fromkeys(_ts_answer(r) for s, r in operation["responses"].items() if s.startswith("2")))
            query = [
                f"{p['name']}{'' if p.get('required') else '?'}: {_ts(p['schema'])}"
                for p in operation.get("parameters", [])
                if p["in"] == "query"
            ]
            lines.append(f'  "{verb.upper()} {path}": {{')
            lines.append(f"    query: {{ {'; '.join(query)} }};" if query else "    query: undefined;")
            lines.append(f"    body: {_ts(content['schema']) if content else 'undefined'};")
            lines.append(f"    answer: {' | '.join(answers) or 'undefined'};")
            headers = [_header(p["name"]) for p in operation.get("parameters", ()) if p["in"] == "header"]
            lines.append(
                "    headers: { " + "; ".join(f'"{name}"?: string' for name in headers) + " };"
                if headers
                else "    headers: undefined;"
            )
            lines.append("  };")
    return "\n".join(parts) + "\n" + "\n".join([*lines, "}"]) + "\n"


def words() -> str:
    """The whole module: what the page shares with the server besides REST's shapes."""
    codes = "\n".join(f'  | "{code}"' for code in ErrorCode)
    closing = "\n".join(f"  {code.name}: {code.value}," for code in CloseCode)
    matrix = "\n".join(
        f"  {role}: [{', '.join(json.dumps(action) for action in Action if action in allowed)}],"
        for role, allowed in MATRIX.items()
    )
    return f"""\
// Words that the page shares with the server: codes of errors and of closing, and who may do what.
// Written by `python -m clients.generate` from schemas; not by hand.

export type ErrorCode =
{codes};

/** 4000 to 4499: come back. 4500 and above: not before a person did something. */
export const CLOSE_CODES = {{
{closing}
}} as const;

export type Action = {" | ".join(json.dumps(action) for action in Action)};

/** What each role allows, from the least to the most. */
export const MATRIX = {{
{matrix}
}} as const satisfies Record<string, readonly Action[]>;

export type Role = keyof typeof MATRIX;
"""


def _ts_answer(response: Node) -> str:
    content: Node = response.get("content", {})
    if "application/json" in content:
        return _ts(content["application/json"]["schema"])
    return "Blob" if content else "undefined"


def _ts(schema: Node) -> str:
    if ref := schema.get("$ref"):
        return _name(ref.rpartition("/")[2])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(_ts(choice) for choice in choices))
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return " | ".join(json.dumps(value) for value in values)
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_TS_SCALARS.get(one, "unknown") for one in kind)
    if kind == "array":
        inside = _ts(schema.get("items", {}))
        return f"({inside})[]" if " | " in inside else f"{inside}[]"
    return "Record<string, unknown>" if kind == "object" else _TS_SCALARS.get(kind or "", "unknown")


def main() -> None:
    for path, text in generated().items():
        target = ROOT / path
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()

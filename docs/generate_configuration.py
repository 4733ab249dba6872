"""Writes docs/configuration.md from the schema; ``--check`` only says whether it is up to date."""

import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipelines.config import RunConfig

TARGET = Path(__file__).with_name("configuration.md")
HEAD = """# Configuration

Made from the schema by `make docs`; edit the descriptions in `pipelines/config.py` and
`pipelines/tasks/settings.py`.

A run is one complete YAML file. `--set a.b=c` overrides a setting, with the value in YAML syntax:
`--set training.epochs=3`, `--set adapter=null`, `--set 'adapter.projections=[query, value]'`. Unknown
settings are refused and all mistakes of a file are reported together. Settings without a default are
required.
"""


def render() -> str:
    return HEAD + "".join(_section("", RunConfig))


def _section(prefix: str, model: type[BaseModel]) -> list[str]:
    title = f"`{prefix.rstrip('.')}`" if prefix else "Top level"
    doc = " ".join((model.__doc__ or "").split())
    lines = [f"\n## {title}\n\n{doc}\n\n", "| setting | type | default | what it is |\n|---|---|---|---|\n"]
    nested: list[str] = []
    for name, field in model.model_fields.items():
        section = _model_of(field.annotation)
        if section is not None:
            nested += _section(f"{prefix}{name}.", section)
        kind = "section" if section is not None else _type(field.annotation)
        description = " ".join(filter(None, [field.description, _bounds(field)]))
        lines.append(f"| `{prefix}{name}` | {kind} | {_default(field)} | {description} |\n")
    return lines + nested


def _model_of(annotation: Any) -> type[BaseModel] | None:
    options = [annotation, *typing.get_args(annotation)]
    found = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    return found[0] if found else None


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"{_type(arguments[0])} → {_type(arguments[1])}"
    if annotation is type(None):
        return "`null`"
    return {"str": "text", "int": "integer", "float": "number", "bool": "`true` or `false`"}.get(
        annotation.__name__, annotation.__name__.lower()
    )


def _default(field: FieldInfo) -> str:
    if field.default is not PydanticUndefined:
        return f"`{_yaml(field.default)}`"
    if field.default_factory is not None:
        return "see below" if _model_of(field.annotation) else "empty"
    return "required"


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return (
        {None: "null", True: "true", False: "false"}.get(value, f"{value}")
        if not isinstance(value, float | int) or isinstance(value, bool)
        else f"{value:g}"
    )


def _bounds(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        f"{sign} {getattr(item, key):g}"
        for item in field.metadata
        for key, sign in signs.items()
        if getattr(item, key, None) is not None
    ]
    return f"({', '.join(found)})" if found else ""


def main() -> int:
    text = render()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print("docs/configuration.md is not what the schema says; run: make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""`hilab protocols`: what can be run, with parameters."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from hilab.cli.output import text_of, write_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("protocols")(protocols)


def protocols(
    name: Annotated[str | None, typer.Argument(help="Only this one, with its whole description.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the protocols that can be run, with their parameters."""
    from hilab import plugins
    from hilab.engine.params import find_protocol

    chosen = plugins.names(plugins.PROTOCOLS) if name is None else [name]
    described = [_described(known, find_protocol(known)) for known in chosen]
    if json:
        write_json({"protocols": described})
        return
    for protocol in described:
        print(f"{protocol['name']}: {protocol['help']}")
        if name is not None and protocol["description"]:
            print(f"\n{protocol['description']}\n")
        for parameter in protocol["parameters"]:
            default = "required" if parameter["required"] else text_of(parameter["default"]) or "none"
            print(f"    {parameter['name']} [{default}]  {parameter['description']}")
        for preset, values in protocol["presets"].items():
            settings = ", ".join(f"{key}={text_of(value)}" for key, value in values.items())
            print(f"    --preset {preset}: {settings}")
        print()


def _described(name: str, protocol: Any) -> dict[str, Any]:
    first, _, rest = inspect.cleandoc(protocol.__doc__ or "").partition("\n")
    fields = protocol.Params.model_fields
    return {
        "name": name,
        "help": first,
        "description": rest.strip(),
        "presets": {preset: dict(values) for preset, values in protocol.presets.items()},
        "parameters": [
            {
                "name": key,
                "required": field.is_required(),
                "default": None if field.is_required() else field.get_default(call_default_factory=True),
                "description": field.description or "",
            }
            for key, field in fields.items()
        ],
    }

"""The command `models`: lists, downloads, verifies and converts models."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.sherpa.silero_model import WHERE, installed_silero_vad
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.loading import absent_engines, load
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.export import export_model
from gtcrn_frontend.weights.model import installed_registry, load_model
from gtcrn_frontend.weights.networks import find_network
from gtcrn_frontend.weights.random import PREFIX
from gtcrn_frontend.weights.registry import CACHE_VARIABLE, Registry

EXAMPLES = f"""examples:
  gtcrn-frontend models list
  gtcrn-frontend models list --bench
  gtcrn-frontend models download gtcrn-dns3
  gtcrn-frontend models verify
  gtcrn-frontend models convert gtcrn-dns3 dns3.safetensors
  gtcrn-frontend models convert pytorch_model.bin frcrn.safetensors --network frcrn_causal

Downloads are stored in a folder per user, or in that of the environment variable
{CACHE_VARIABLE}.
"""
_COLUMNS = ("name", "network", "size", "latency", "licence", "where", "description")
_BENCH_S = 0.5  # spent on measuring one model
_BENCH_CHUNK_MS = 100


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "models",
        help="list, download, verify or convert models",
        description="Lists, downloads, verifies or converts models.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")

    text = "show name, network, size, latency, licence and location of each model"
    listing = _add_action(actions, "list", text)
    listing.add_argument(
        "--bench",
        action="store_true",
        help="also measure the real-time factor of models that are present or to be supplied",
    )
    listing.add_argument("--json", action="store_true", help="as JSON, with paths, URLs and hashes")
    listing.set_defaults(action=_list)

    text = "download models and print their paths"
    download = actions.add_parser(
        "download", help=text, description=f"{text.capitalize()}.", formatter_class=HelpFormatter
    )
    download.add_argument("names", nargs="*", metavar="NAME", help="registered models")
    download.add_argument("--all", action="store_true", help="all of them")
    download.set_defaults(action=_download, usage_error=download.error)

    text = "verify the models that are present: hashes of downloads, parameters of embedded ones"
    verify = actions.add_parser(
        "verify",
        help=text,
        description=f"{text.capitalize()}. Exit code 1 if one is bad.",
        formatter_class=HelpFormatter,
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="models that must be present (default: all that are)")
    verify.set_defaults(action=_verify)

    text = "write any checkpoint as safetensors, under the released parameter names"
    convert = actions.add_parser(
        "convert", help=text, description=f"{text.capitalize()}.", formatter_class=HelpFormatter
    )
    convert.add_argument("source", metavar="SOURCE", help="model name, or path of a .tar or .safetensors checkpoint")
    convert.add_argument("output", metavar="OUTPUT.safetensors", type=Path, help="file to write")
    text = "network of the checkpoint, if its tensors are ambiguous: frcrn_causal has those of frcrn"
    convert.add_argument("--network", metavar="NAME", default="", help=text)
    convert.add_argument("--force", action="store_true", help="replace the output if it exists")
    convert.set_defaults(action=_convert)


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, more: str = ""
) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=text, description=f"{text.capitalize()}.{more}", formatter_class=HelpFormatter)


def run(args: argparse.Namespace) -> int:
    """Runs the chosen action."""
    exit_code: int = args.action(args)
    return exit_code


def _list(args: argparse.Namespace) -> int:
    registry = installed_registry()
    rows = [_facts(registry, name) for name in registry.models]
    columns: tuple[str, ...] = _COLUMNS
    if args.bench:
        columns = ("name", "rtf", *_COLUMNS[1:])
        for row in rows:
            row["rtf"] = _rtf(row)
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = [columns, *(tuple(_cell(row, column) for column in columns) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    silero = installed_silero_vad()
    where = silero or f"not here: {WHERE}"
    print(f"\nsilero_vad.onnx, for sherpa-onnx's voice activity detector: {where}")
    return 0


def _facts(registry: Registry, name: str) -> dict[str, Any]:
    """The entry of a model in `list --json`."""
    model = registry.find(name)
    download, path = model.download, None if model.supply else registry.path(name)
    size_bytes = download.size_bytes if download else path.stat().st_size if path and path.is_file() else None
    return {
        "name": name,
        "network": model.network,
        "size_bytes": size_bytes,
        "latency_ms": find_network(model.network).spec.latency_ms,
        "licence": model.licence,
        "where": registry.location(name),
        "description": model.description,
        "path": str(path) if path else None,
        "url": download.url if download else None,
        "sha256": download.sha256 if download else None,
    }


def _cell(facts: dict[str, Any], column: str) -> str:
    if column == "size":
        size_bytes = facts["size_bytes"]
        return "" if size_bytes is None else f"{size_bytes / 1000:.0f} kB"
    if column == "latency":
        return f"{facts['latency_ms']:g} ms"
    if column == "rtf":
        return "" if facts["rtf"] is None else f"{facts['rtf']:.4f}"
    return str(facts[column])


def _rtf(facts: dict[str, Any]) -> float | None:
    """Real-time factor of one stream in the engine `auto`; None if model or engine is not present.

    Random weights stand in for those to be supplied, as they do not change it.
    """
    from gtcrn_frontend.evaluation.bench.speed import measure_speed
    from gtcrn_frontend.evaluation.bench.streams import EnhancerStreams

    if facts["where"] == "to be supplied" and set(find_network(facts["network"]).engines) - absent_engines().keys():
        name = f"{PREFIX}{facts['network']}"
    elif facts["where"] in ("embedded", "cached"):
        name = facts["name"]
    else:
        return None
    streams = EnhancerStreams(EnhancerConfig(model=name))
    streams.open()
    spec = load(name).engine.spec
    return measure_speed({name: streams}, 1, _BENCH_CHUNK_MS, spec, _BENCH_S)[0].rtf


def _download(args: argparse.Namespace) -> int:
    if args.all == bool(args.names):
        args.usage_error("expected names of models, or --all")
    registry = installed_registry()
    to_have = [name for name, model in registry.models.items() if not model.supply]
    models = [registry.find(name) for name in args.names or to_have]  # a wrong name raises before any download
    exit_code = 0
    for model in models:
        try:
            print(registry.fetch(model.name), flush=True)
        except ModelError as error:
            print(error, file=sys.stderr)
            exit_code = 1
    return exit_code


def _verify(args: argparse.Namespace) -> int:
    registry = installed_registry()
    here = [name for name in registry.models if registry.location(name) not in ("not downloaded", "to be supplied")]
    models = [registry.find(name) for name in args.names or here]
    exit_code = 0
    for model in models:
        try:
            print(f"{model.name}: ok, {_verified(registry, model.name)}")
        except ModelError as error:
            print(f"{model.name}: BAD, {error}")
            exit_code = 1
    return exit_code


def _verified(registry: Registry, name: str) -> str:
    """What was verified of a model; `ModelError` if something is wrong, or the model is not present."""
    where, path = registry.location(name), registry.path(name)
    if where == "not downloaded":
        raise ModelError(f"not downloaded: gtcrn-frontend models download {name}")
    if where == "damaged":
        raise ModelError(f"{path} has another sha256 than the registered one: gtcrn-frontend models download {name}")
    if where == "cached":
        return f"sha256 as registered, {path}"
    model = load_model(registry.fetch(name))  # embedded, without a registered hash: names, shapes and values instead
    network = "a graph" if model.spec is None else f"all parameters of {model.spec.name}"
    return f"{network}, digest {model.digest}, {path}"


def _convert(args: argparse.Namespace) -> int:
    origin = export_model(args.source, args.output, "safetensors", force=args.force, network=args.network)
    print(f"{args.output}: {origin.name} as safetensors, digest {origin.digest}")
    return 0

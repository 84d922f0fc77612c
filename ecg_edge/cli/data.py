"""`ecg-edge data`. Layer: cli."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError

if TYPE_CHECKING:
    from ecg_edge.signal.download import Download


def data(
    name: Annotated[
        str, typer.Argument(help="A set's name on PhysioNet, or NAME/VERSION.", autocompletion=complete.physionet_sets)
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep sets here, in NAME/VERSION; else in the cache folder.")
    ] = None,
    records: Annotated[
        str, typer.Option(metavar="A,B", help="Only these records; * and ? stand for what a shell's do.")
    ] = "",
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help="A server with PhysioNet's folders.")
    ] = "https://physionet.org/files/",
    list_: Annotated[bool, typer.Option("--list", help="Print the sets with licence, and what lies here.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Download a set of recordings from PhysioNet, each file checked; where it lies here already, nothing is asked.

    A download that was cut goes on where it was. Verbs that take a folder of records take the one it prints.

    Examples:

      ecg-edge data mitdb

      ecg-edge data ptb-xl --records 'records100/00000/*' --out sets

      ecg-edge data mitdb --from https://physionet-open.s3.amazonaws.com/

      ecg-edge data --list
    """
    from ecg_edge.signal.physionet import CITE_PHYSIONET, SETS, cache_root

    root = out or cache_root()
    if list_:
        found = [_entry(known, root) for known in SETS]
        print_json({"root": str(root), "sets": found}) if json else print_result(_table(found))
        return
    if not name:
        raise EcgEdgeError("data: which set? `ecg-edge data --list` names some")

    from ecg_edge.cli.progress import Steps
    from ecg_edge.signal.download import download

    known = SETS.get(name.partition("/")[0])
    if known is not None:
        note(f"{known.title}: {known.records} records, about {known.megabytes:,} MB, {known.licence}")
    wanted = [pattern.strip() for pattern in records.split(",") if pattern.strip()]
    with Steps() as steps, steps.step(name) as progress:
        made = download(name, root, records=wanted, source=source, progress=progress)
    cite = [known.cite, CITE_PHYSIONET] if known is not None else [CITE_PHYSIONET]
    print_json(_facts(made, cite)) if json else print_result(_text(made, cite))


def _facts(made: Download, cite: list[str]) -> dict[str, Any]:
    return {
        "name": made.name,
        "version": made.version,
        "folder": str(made.folder),
        "files": made.files,
        "bytes": made.bytes,
        "fetched": made.fetched,
        "checked": made.checked,
        "licence": made.licence,
        "cite": cite,
    }


def _text(made: Download, cite: list[str]) -> str:
    checked = "the SHA-256 of each is right" if made.checked else "not checked, since the set tells no SHA-256"
    lines = [
        f"{made.name} {made.version}: {made.files} files, {made.bytes / 1e6:.1f} MB, {made.fetched} fetched; {checked}",
        f"licence: {made.licence}",
        *(f"cite: {source}" for source in cite),
        str(made.folder),
    ]
    return "\n".join(lines)


def _entry(name: str, root: Path) -> dict[str, Any]:
    from ecg_edge.signal.physionet import SETS

    known = SETS[name]
    folder = root / known.name / known.version
    return {
        "name": known.name,
        "version": known.version,
        "title": known.title,
        "records": known.records,
        "megabytes": known.megabytes,
        "licence": known.licence,
        "cite": known.cite,
        "folder": str(folder) if folder.is_dir() else None,
    }


def _table(found: list[dict[str, Any]]) -> str:
    lines = [f"{'name':<9} {'version':<8} {'records':>7} {'MB':>6}  {'licence':<11} title"]
    for one in found:
        lines.append(
            f"{one['name']:<9} {one['version']:<8} {one['records']:>7,} {one['megabytes']:>6,}  "
            f"{one['licence']:<11} {one['title']}" + (f"; here: {one['folder']}" if one["folder"] else "")
        )
    return "\n".join([*lines, "", "Any other set goes by its name on PhysioNet: physionet.org/content/NAME"])

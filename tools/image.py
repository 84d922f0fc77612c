"""Write the generated files of firmware/EcgEdge/src again from models/ecg5; the only writer there.

A test compares them: run this after the model or the code generator has changed.
"""

from __future__ import annotations

from pathlib import Path

from ecg_edge.codegen.project import is_generated
from ecg_edge.files import write_text
from ecg_edge.recipes.firmware import shipped_image

SOURCES = Path(__file__).parents[1] / "firmware" / "EcgEdge" / "src"


def main() -> None:
    """Write what is wanted, remove what another model left."""
    wanted = shipped_image()
    for path in SOURCES.iterdir():
        if is_generated(path.name) and path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        write_text(SOURCES / name, text)
    print(f"{SOURCES}: {len(wanted)} files")


if __name__ == "__main__":
    main()

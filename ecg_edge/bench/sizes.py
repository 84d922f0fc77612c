"""What the model needs of a board, beside what boards have. Layer: bench; composes codegen and device."""

from __future__ import annotations

from ecg_edge.bundle import Bundle
from ecg_edge.codegen.budget import Need, native_need, tflm_need
from ecg_edge.codegen.image import read_model
from ecg_edge.device.boards import boards
from ecg_edge.errors import GraphError
from ecg_edge.report.metrics import Json


def sizes(bundle: Bundle, board: str) -> Json:
    """Flash and RAM of both engines' images, estimated, against the board in use, or against every board we know.

    A model that we would not export, but that a board answers for, has no estimate: the note says why.

    Args:
        bundle: the model.
        board: what the device calls its board.
    """
    try:
        model = read_model(bundle)
    except GraphError as error:
        return {"model_bytes": len(bundle.model), "note": f"no estimate: {error}", "engines": {}, "boards": []}
    needs = [need for need in (native_need([model]), tflm_need([model])) if need is not None]
    known_boards = boards()
    hardware = [known for known in known_boards.values() if known.usb]
    mine = [known_boards[board]] if board in known_boards and known_boards[board] in hardware else hardware
    return {
        "model_bytes": len(bundle.model),
        "note": "estimates for a Cortex-M, code included",
        "engines": {need.engine: {"flash_bytes": need.flash_bytes, "ram_bytes": need.ram_bytes} for need in needs},
        "boards": [
            {
                "board": known.name,
                "flash_bytes": known.flash_bytes,
                "ram_bytes": known.ram_bytes,
                "fits": {need.engine: _fits(need, known.flash_bytes, known.ram_bytes) for need in needs},
            }
            for known in mine
        ],
    }


def _fits(need: Need, flash_bytes: int, ram_bytes: int) -> bool:
    return need.flash_bytes <= flash_bytes and need.ram_bytes <= ram_bytes

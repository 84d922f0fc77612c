"""What a real bash offers after the script of --show-completion, and examples in every verb's help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecg_edge.bundle import shipped_bundles
from ecg_edge.cli.app import VERBS, make_app
from ecg_edge.device import simavr
from ecg_edge.device.machines import EMULATED

# The function that bash calls when Tab is pressed, called as bash would.
PRESS_TAB = """
set -eu
eval "$(_ECG_EDGE_COMPLETE=source_bash ecg-edge)"
function=$(complete -p ecg-edge | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=(ecg-edge "$@"); COMP_CWORD=$#; COMPREPLY=()
$function ecg-edge
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command `ecg-edge`."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "ecg-edge"
    script.write_text(f"#!{sys.executable}\nfrom ecg_edge.cli.app import main\nmain()\n")
    script.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["fl"], {"flash"}),
        (["flash", "--dev"], {"--device"}),
        (["flash", "--board", "esp32"], {"esp32dev", "esp32-s3", "esp32-c3"}),
        (["flash", "--tool", "p"], {"picotool", "platformio"}),
        (["flash", "--engine", ""], {"native", "tflm"}),
        (["flash", "--device", "virt"], {"virtual:native", "virtual:tflm"}),
        (["flash", "--device", "qemu"], set(EMULATED)),
        (["bench", "--device", "simavr"], {simavr.URL}),
        (["info", ""], set(shipped_bundles())),
        (["doctor", "--js"], {"--json"}),
    ],
)
def test_tab_offers(words: list[str], offered: set[str], program: Path) -> None:
    environment = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}"}
    command = ["bash", "-c", PRESS_TAB, "bash", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_has_examples_that_are_commands_of_its_own(verb: str) -> None:
    text = CliRunner().invoke(make_app(), [verb, "--help"], env={"COLUMNS": "200"}).output
    _, _, examples = text.partition("Examples:")
    commands = re.findall(rf"^ +ecg-edge {verb}\b(.*)$", examples, re.M)
    assert len(commands) >= 2
    own = [command.partition(" -- ")[0] for command in commands]  # what follows is for another verb
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", "".join(own)))
    explained = set(re.findall(r"^ +(--[a-z][\w-]*)", text, re.M))
    assert options <= explained

"""The command line: lazy, and with one exit code for each way to end."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

import ecg_edge
from ecg_edge.cli.app import VERBS, explain, load_verb, make_app
from ecg_edge.errors import BudgetError, DeviceError, EcgEdgeError, GateError, SignalError

HELP_LIMIT_S = 0.3
HEAVY = ("numpy", "scipy", "tensorflow", "rich", "jinja2", "serial", "matplotlib", "pydantic")


def run_verb(monkeypatch: pytest.MonkeyPatch, body: Callable[[], None]) -> Any:
    """Run `ecg-edge synth` with its function replaced, through the real command line."""
    module = ModuleType("ecg_edge.cli.synth")
    module.synth = body  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ecg_edge.cli.synth", module)
    return CliRunner().invoke(make_app(), ["synth"])


def ecg_edge_process(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    command = [sys.executable, "-c", "from ecg_edge.cli.app import main; main()", *args]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )


def test_help_answers_fast() -> None:
    took_s = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert ecg_edge_process("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Processor time, and the least of five: what else this machine does must not count.
    assert min(took_s) < HELP_LIMIT_S


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom ecg_edge.cli.app import main\nsys.argv = ['ecg-edge', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "[]"


def test_help_names_every_verb() -> None:
    text = CliRunner().invoke(make_app(), ["--help"]).output
    for verb, line in VERBS.items():
        assert f"{verb} " in text
        assert line.split()[0] in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    load_verb(verb)
    result = CliRunner().invoke(make_app(), [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert f" {verb} " in result.output.splitlines()[0]


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(make_app(), ["--version"]).output == f"ecg-edge {ecg_edge.__version__}\n"


def test_a_misspelt_verb_is_corrected() -> None:
    result = CliRunner().invoke(make_app(), ["synht"])
    assert result.exit_code == 2
    assert "Did you mean 'synth'" in result.output


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SignalError("a.csv, line 3: 'x' is not a number"), 2, "ecg-edge: a.csv, line 3: 'x' is not a number"),
        (BudgetError("needs 40 KB, the board has 32 KB"), 2, "ecg-edge: needs 40 KB, the board has 32 KB"),
        (DeviceError("the board is gone"), 2, "ecg-edge: the board is gone"),
        (GateError("3 windows differ, 0 allowed"), 3, "ecg-edge: 3 windows differ, 0 allowed"),
        (OSError(errno.ENOSPC, "No space left on device", "out.npz"), 2, "ecg-edge: out.npz: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "ecg-edge: /x: Permission denied"),
        (KeyboardInterrupt(), 130, "ecg-edge: interrupted"),
        (
            ModuleNotFoundError("No module named 'wfdb'", name="wfdb"),
            2,
            "ecg-edge: wfdb is not installed: pip install 'ecg-edge[data]'",
        ),
    ],
)
def test_an_error_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def body() -> None:
        raise error

    result = run_verb(monkeypatch, body)
    assert result.exit_code == code
    assert result.stderr == line + "\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    "bug", [TypeError("x"), AssertionError(), ModuleNotFoundError("No module named 'ecg_edge.x'", name="ecg_edge.x")]
)
def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, bug: Exception) -> None:
    def body() -> None:
        raise bug

    result = run_verb(monkeypatch, body)
    assert result.exit_code == 1
    assert result.exception is bug


def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", "from ecg_edge.cli.app import main; main()", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.stderr.splitlines()[0] == "ecg-edge: No space left on device"
    assert "Traceback" not in done.stderr
    assert done.returncode != 0


def test_a_reader_that_has_gone_ends_it_quietly() -> None:
    code = f"{sys.executable} -c 'from ecg_edge.cli.app import main; main()' --help | true"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""


def test_a_bug_exits_with_1_and_a_traceback_on_stderr() -> None:
    code = (
        "import sys, types\nfrom ecg_edge.cli.app import main\nmodule = types.ModuleType('ecg_edge.cli.synth')\n"
        "def synth(): return 1 // 0\nmodule.synth = synth\nsys.modules[module.__name__] = module\n"
        "sys.argv = ['ecg-edge', 'synth']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.rstrip().endswith("ZeroDivisionError: integer division or modulo by zero")


def test_every_error_of_the_tree_is_wrong_input_except_a_gate() -> None:
    tree = [EcgEdgeError]
    for error in tree:
        tree.extend(error.__subclasses__())
    for error in set(tree) - {GateError}:
        assert explain(error.__new__(error))[0] == 2
    assert explain(GateError("x")) == (3, "x")


@pytest.mark.parametrize(("words", "expected"), [("ecg-edge ex", "export"), ("ecg-edge --ver", "--version")])
def test_the_shell_completes_verbs_and_options(words: str, expected: str, tmp_path: Path) -> None:
    done = ecg_edge_process(
        _ECG_EDGE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="1", _TYPER_COMPLETE_TEST_DISABLE_SHELL="1"
    )
    assert expected in done.stdout.split()


def test_a_public_name_loads_when_it_is_asked_for() -> None:
    assert ecg_edge.EcgEdgeError is EcgEdgeError
    assert len(ecg_edge.__all__) <= 15
    for name in ecg_edge.__all__:
        assert getattr(ecg_edge, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ecg_edge.nothing


@pytest.mark.parametrize("words", [("synth", "--out", "x.npz"), ("evaluate",)])
@pytest.mark.parametrize("snr_db", [("nan", "nan"), ("9", "3"), ("-90", "0"), ("0", "inf")])
def test_an_snr_that_is_none_is_refused_in_one_line(words: tuple[str, ...], snr_db: tuple[str, str]) -> None:
    result = CliRunner().invoke(make_app(), [*words, "--per-class", "1", "--snr-db", *snr_db])
    assert result.exit_code == 2
    assert f"{words[0]}: SNR from {snr_db[0]} to {snr_db[1]} dB; from -20 to 60, the lower first" in result.stderr
    assert not Path("x.npz").exists()

"""What an export wrote compiles under every warning and passes its own self-test, with both sanitizers watching."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from toolchain import WARNINGS, compiler

from ecg_edge.bundle import MODEL, Affine, Bundle, Manifest, save_bundle
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.prepare import Prepare

GOLDEN = Path(__file__).parents[1] / "golden" / "models"
MAIN = Path(__file__).with_name("selftest_main.c")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover", "-g", "-O1")


def make_bundle(folder: Path, model: str, *, leads: int = 1, hop: int = 48) -> Bundle:
    prepare = Prepare(average_log2=4).to_manifest()
    classes = ("Normal", "Arrhythmia", "ST Depression", 'a "quoted" class', "déjà vu??!")
    affine = Affine(1 / 64, 0), Affine(1 / 256, -128)
    manifest = Manifest(model, "1.0.0", 250, 48, hop, leads, classes, prepare, *affine, {"reference": 6000})
    return save_bundle(folder / model, manifest, {MODEL: GOLDEN / f"{model}.tflite"})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """src/ of an image with a padded model of windows, and one of two leads that streams."""
    folder = tmp_path_factory.mktemp("image")
    bundles = [make_bundle(folder, "separable", hop=24), make_bundle(folder, "flat", leads=2, hop=12)]
    export(bundles, folder / "out")
    return folder / "out" / "EcgEdge" / "src"


def compiled(sources: list[Path], include: Path, target: Path, *options: str) -> None:
    command = [compiler(), *WARNINGS, *options, f"-I{include}", *map(str, sources), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def boot(program: Path) -> tuple[int, list[str]]:
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_an_image_of_two_models_boots_and_its_self_test_passes(exported: Path, tmp_path: Path) -> None:
    compiled([*sorted(exported.glob("*.c")), MAIN], exported, tmp_path / "image", *SANITIZERS)
    status, lines = boot(tmp_path / "image")
    assert status == 0
    assert [line.split()[:2] for line in lines] == [["separable", "windows"], ["flat", "streams"]]


def test_scratch_bytes_of_the_header_are_those_of_the_descriptor(exported: Path, tmp_path: Path) -> None:
    compiled([*sorted(exported.glob("*.c")), MAIN], exported, tmp_path / "image")
    needed = [int(line.split()[2]) for line in boot(tmp_path / "image")[1]]
    said = [int(line.split()[4]) for line in boot(tmp_path / "image")[1]]
    headers = "".join(path.read_text() for path in exported.glob("ecg_model_*.h"))
    lines = max(int(count) for count in re.findall(r"// (\d+) lines,", headers))
    # A 64-bit compiler may fill up 4 bytes before each line, and to a pointer's alignment at the end.
    assert max(needed) <= said[0] <= max(needed) + 8 + 4 * lines


def test_a_wrong_weight_fails_the_self_test(exported: Path, tmp_path: Path) -> None:
    source = exported / "ecg_model_separable_native.c"
    text = source.read_text()
    at = text.index("\n", text.index("conv2_weights[")) + 1
    row = text[at : text.index("\n", at)]
    numbers = row.strip().rstrip(",").split(", ")
    numbers[0] = str(-int(numbers[0]) if int(numbers[0]) else 90)
    (tmp_path / source.name).write_text(text[:at] + "    " + ", ".join(numbers) + "," + text[at + len(row) :])
    others = [path for path in sorted(exported.glob("*.c")) if path != source]
    compiled([*others, tmp_path / source.name, MAIN], exported, tmp_path / "image")
    assert boot(tmp_path / "image")[0] == 1


@pytest.mark.parametrize(
    ("file", "good", "bad"),
    [
        ("ecg_qrs.c", "#define BACK 8u", "#define BACK 9u"),
        ("ecg_beats.c", "#define BEFORE 90u", "#define BEFORE 87u"),
        ("ecg_beats.c", "#define KIND_BEATS 32u", "#define KIND_BEATS 2u"),
        ("ecg_prepare.c", "s->raw_at + 1u", "s->raw_at + 2u"),
    ],
)
def test_a_part_of_beats_that_is_wrong_fails_the_self_test(
    beats_objects: Path, tmp_path: Path, file: str, good: str, bad: str
) -> None:
    text = (beats_objects / file).read_text()
    assert good in text
    (tmp_path / file).write_text(text.replace(good, bad))
    others = [path for path in sorted(beats_objects.glob("*.o")) if path.stem != Path(file).stem]
    compiled([*others, tmp_path / file, MAIN], beats_objects, tmp_path / "image")
    assert boot(tmp_path / "image")[0] == 1


@pytest.fixture(scope="module")
def beats_objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """src/ of an image of aami, with the object of each file beside it; its self-test passes."""
    folder = tmp_path_factory.mktemp("beats")
    export(Bundle.load("aami"), folder / "out")
    sources = folder / "out" / "EcgEdge" / "src"
    for source in sources.glob("*.c"):
        compiled([source], sources, source.with_suffix(".o"), "-c")
    compiled([*sorted(sources.glob("*.o")), MAIN], sources, folder / "image")
    assert boot(folder / "image")[0] == 0
    return sources


def test_with_the_other_engine_chosen_the_c_files_compile_as_well(exported: Path, tmp_path: Path) -> None:
    for source in sorted(exported.glob("*.c")):
        compiled([source], exported, tmp_path / "object.o", "-DECG_ENGINE=1", "-c")

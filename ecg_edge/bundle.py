"""The model bundle: models/<name>/ with its manifest. Layer: bundle; imports errors and files.

The one door to bundles on disk: whoever holds a Bundle may trust that its files are the ones the manifest names.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ecg_edge.errors import BundleError, EcgEdgeError
from ecg_edge.files import replacing_folder, write_json

FORMAT = 1
MANIFEST = "manifest.json"
Takes = Literal["windows", "beats"]
MODEL = "model.tflite"
FLOAT_MODEL = "model_float.tflite"

_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Affine:
    """real = scale * (q - zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself; manifest.json has the same names."""

    name: str
    version: str
    fs_hz: int
    window: int  # samples
    hop: int  # samples from one window to the next in a stream
    leads: int
    classes: tuple[str, ...]  # in the order of the scores
    prepare: dict[str, Any]  # parameters of signal/prepare.py
    input: Affine  # int8 -> the float model's input
    output: Affine  # int8 score -> probability
    arena_bytes: dict[str, int] = field(default_factory=dict)  # per TFLM kernel set
    training: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # name -> sha256, filled by save_bundle
    format: int = FORMAT
    takes: Takes = "windows"  # of prepared signal; or views of single beats, signal/beatview.py
    channels: int = 0  # of a view of beats; 0 where they are the leads

    @property
    def columns(self) -> tuple[int, int]:
        """Shape of the model's input: columns, and int8 values in each."""
        return self.window, self.channels or self.leads

    def to_json(self) -> dict[str, Any]:
        """The object that manifest.json holds."""
        values = asdict(self)
        if self.takes == "windows":
            del values["takes"], values["channels"]
        return {"format": values.pop("format"), **values, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, value: object) -> "Manifest":
        """Parse and check; everything later trusts it.

        Raises:
            BundleError: a field is missing, unknown, of the wrong type or outside its limits.
        """
        return _parse(value)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose files have been checked against their hashes."""

    folder: Path
    manifest: Manifest

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Bundle":
        """Open a shipped bundle by name, or any bundle by its folder.

        A bare name means the shipped bundle first: `./ecg5` is a folder of that name here.

        Raises:
            BundleError: there is no such bundle, or a file is missing or altered.
        """
        folder = _find(name_or_path)
        try:
            manifest = Manifest.from_json(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (ValueError, BundleError) as error:  # ValueError: no JSON, or no UTF-8
            raise BundleError(f"{folder / MANIFEST}: {error}") from error
        for file, sha256 in manifest.files.items():
            _check_file(folder, file, sha256)
        return cls(folder, manifest)

    def path(self, file: str) -> Path:
        """The path of one of the bundle's files.

        Raises:
            BundleError: the manifest does not name this file.
        """
        if file not in self.manifest.files:
            raise BundleError(f"bundle {self.manifest.name} has no {file}; it has: {', '.join(self.manifest.files)}")
        return self.folder / file

    @property
    def model(self) -> bytes:
        """The full-int8 .tflite."""
        return self.path(MODEL).read_bytes()

    @property
    def model_sha256(self) -> str:
        """sha256 of the int8 .tflite, in hex: what a board reports as its model."""
        return self.manifest.files[MODEL]

    @property
    def float_model(self) -> bytes | None:
        """The float .tflite, where the bundle has one."""
        return self.path(FLOAT_MODEL).read_bytes() if FLOAT_MODEL in self.manifest.files else None


def save_bundle(folder: Path, manifest: Manifest, files: Mapping[str, bytes | Path], *, force: bool = False) -> Bundle:
    """Write a bundle whole or not at all.

    Args:
        folder: where to; its parent folders are made.
        manifest: its `files` are replaced by the hashes of `files`.
        files: name in the bundle -> content, or a file to copy; model.tflite at least.
        force: replace an older bundle that is there.

    Raises:
        BundleError: the folder is in the way, or the manifest breaks a limit.
    """
    content = {name: data if isinstance(data, bytes) else data.read_bytes() for name, data in files.items()}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(content.items())}
    complete = replace(manifest, files=hashes)
    Manifest.from_json(json.loads(json.dumps(complete.to_json())))  # what cannot be read back is not written
    try:
        with replacing_folder(folder, force=force, marker=MANIFEST) as temporary:
            for name, data in content.items():
                (temporary / name).write_bytes(data)
            write_json(temporary / MANIFEST, complete.to_json())
    except EcgEdgeError as error:
        raise BundleError(str(error)) from error
    return Bundle.load(folder.resolve())


def shipped_bundles() -> list[str]:
    """Names of the bundles that came with this package."""
    return sorted(path.parent.name for path in package_data("models").glob(f"*/{MANIFEST}"))


def package_data(kind: Literal["models", "firmware"]) -> Path:
    """The folder of shipped models or firmware sources: inside an installed wheel, or at the top of a checkout."""
    packed = _PACKAGE / f"_{kind}"
    return packed if packed.is_dir() else _PACKAGE.parent / kind


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    bare = isinstance(name_or_path, str) and PurePosixPath(text).name == text
    shipped = package_data("models") / text
    if bare and (shipped / MANIFEST).is_file():
        return shipped
    folder = Path(name_or_path)
    if (folder / MANIFEST).is_file():
        return folder
    if folder.is_dir():
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST}")
    raise BundleError(f"no bundle {text}; shipped: {', '.join(shipped_bundles()) or 'none'}; or give a bundle's folder")


def _check_file(folder: Path, file: str, sha256: str) -> None:
    try:
        found = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    except FileNotFoundError:
        raise BundleError(f"{folder}: {file} is missing, and the manifest names it") from None
    if found != sha256:
        raise BundleError(f"{folder / file}: sha256 is {found[:12]}..., the manifest says {sha256[:12]}...")


def _parse(value: object) -> Manifest:
    if not isinstance(value, dict):
        raise BundleError("not a JSON object")
    if value.get("format") != FORMAT:
        raise BundleError(f"format {value.get('format')!r}; this version reads format {FORMAT}")
    required = ("name", "version", "fs_hz", "window", "hop", "leads", "classes", "prepare", "input", "output", "files")
    known = Manifest.__dataclass_fields__.keys()
    if missing := [key for key in required if key not in value]:
        raise BundleError(f"{missing[0]} is missing")
    if unknown := [key for key in value if key not in known]:
        raise BundleError(f"unknown field {unknown[0]}")
    fs_hz, window, leads = (_integer(value, key, 1, 65535) for key in ("fs_hz", "window", "leads"))
    return Manifest(
        name=_name(value["name"]),
        version=_text(value, "version"),
        fs_hz=fs_hz,
        window=window,
        hop=_integer(value, "hop", 1, window),
        leads=leads,
        classes=_classes(value["classes"]),
        prepare=_object(value, "prepare"),
        input=_affine(value, "input"),
        output=_affine(value, "output"),
        takes=_takes(value),
        channels=_channels(value),
        arena_bytes={key: _integer(value["arena_bytes"], key, 0, 2**32 - 1) for key in _object(value, "arena_bytes")},
        training=_object(value, "training"),
        tools={key: str(version) for key, version in _object(value, "tools").items()},
        metrics=_object(value, "metrics"),
        files=_hashes(value),
    )


def _name(value: object) -> str:
    """A name is also a C identifier's part, a folder and 23 bytes of HELLO."""
    if not isinstance(value, str) or not (value.isascii() and value.isidentifier() and len(value) <= 23):
        raise BundleError(f"name {value!r} is not 1 to 23 ASCII letters, digits and underscores, a letter first")
    return value


def _text(value: Mapping[str, Any], key: str) -> str:
    if not isinstance(value[key], str) or not value[key]:
        raise BundleError(f"{key} is {value[key]!r}, not a text")
    return str(value[key])


def _takes(value: Mapping[str, Any]) -> Takes:
    takes = value.get("takes", "windows")
    if takes not in ("windows", "beats"):
        raise BundleError(f"takes is {takes!r}, neither windows nor beats")
    if takes == "beats" and (value["leads"], value["fs_hz"]) != (1, 250):
        raise BundleError(f"a model of beats takes 1 lead at 250 Hz, not {value['leads']} at {value['fs_hz']}")
    return "beats" if takes == "beats" else "windows"


def _channels(value: Mapping[str, Any]) -> int:
    """Only a model of beats has other channels than leads."""
    if value.get("takes") == "beats":
        return _integer({"channels": 0, **value}, "channels", 1, 255)
    if "channels" in value:
        raise BundleError("channels belongs to a model of beats; one of windows has its leads")
    return 0


def _integer(value: Mapping[str, Any], key: str, low: int, high: int) -> int:
    number = value[key]
    if type(number) is not int or not low <= number <= high:
        raise BundleError(f"{key} is {number!r}, not an integer from {low} to {high}")
    return number


def _object(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise BundleError(f"{key} is not a JSON object")
    return found


def _affine(value: Mapping[str, Any], key: str) -> Affine:
    found = _object(value, key)
    if found.keys() != {"scale", "zero_point"}:
        raise BundleError(f"{key} has {sorted(found)}, not scale and zero_point")
    scale = found["scale"]
    if type(scale) not in (int, float) or not (math.isfinite(scale) and scale > 0):
        raise BundleError(f"{key}: scale is {scale!r}, not a positive number")
    return Affine(float(scale), _integer(found, "zero_point", -128, 127))


def _classes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise BundleError("classes is not a list of names")
    if not 2 <= len(value) <= 254 or len(set(value)) != len(value):  # 255 is the wire's abstention
        raise BundleError(
            f"classes has {len(value)} names, {len(set(value))} different; 2 to 254 are needed, none twice"
        )
    return tuple(value)


def _hashes(value: Mapping[str, Any]) -> dict[str, str]:
    files = _object(value, "files")
    if MODEL not in files:
        raise BundleError(f"files has no {MODEL}")
    for name, sha256 in files.items():
        if not name or Path(name).name != name or name in (MANIFEST, ".", ".."):
            raise BundleError(f"file name {name!r} is not a plain name")
        if not isinstance(sha256, str) or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise BundleError(f"{name}: sha256 is not 64 hex digits")
    return dict(files)

"""A board: greet it, check what it holds, send signal, take answers. Layer: device; imports errors and numpy."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_edge.device.beats import BeatAnswer, BeatExchange, BeatScript
from ecg_edge.device.exchange import Answer, Exchange
from ecg_edge.device.frame import FrameType
from ecg_edge.device.link import Link
from ecg_edge.device.messages import ABSTAIN, ENGINES, Hello, Result, SelfTest, Stats
from ecg_edge.device.pace import Patience
from ecg_edge.device.script import INDEX_MODULUS, Chunk, Script, StreamScript, WindowScript
from ecg_edge.device.session import Counters, Session
from ecg_edge.errors import DeviceError

_INT16 = np.iinfo(np.int16)


class Device:
    """One board at the other end of a link.

    It is greeted at the first use. One thing at a time: a stream not read to its end is over when the next begins.
    """

    def __init__(self, link: Link, *, patience: Patience | None = None, first_index: int | None = None) -> None:
        """Take over `link`.

        Args:
            link: closed by `close`.
            patience: how long to wait for the board.
            first_index: where to begin counting samples; drawn by default, so that an answer to an earlier process on
                the same line cannot pass for one to this.
        """
        self._session = Session(link, patience or Patience())
        self._index = secrets.randbelow(INDEX_MODULUS) if first_index is None else first_index
        self._hellos: list[Hello] = []
        self._sha256: str | None = None  # of the model in use, once chosen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The link's URL."""
        return self._session.link.name

    @property
    def counters(self) -> Counters:
        """What happened on the line so far."""
        return self._session.counters

    @property
    def log(self) -> list[str]:
        """The board's last log lines."""
        return list(self._session.log)

    def close(self) -> None:
        """Give the link back."""
        self._session.link.close()

    def hello(self) -> list[Hello]:
        """Ask the board who it is: one Hello a model, by index.

        Raises:
            DeviceTimeout: no answer.
            DeviceError: it speaks another protocol, or no longer holds the model in use.
        """
        self._hellos = self._session.greet()
        if self._sha256 is not None:
            self._find(self._sha256)
        return list(self._hellos)

    def require(self, sha256: str) -> Hello:
        """Use the model with this sha256, and refuse any other.

        Raises:
            DeviceError: the board holds other models, or its self-test failed.
        """
        self._greeted()
        hello = self._find(sha256)
        self._sha256 = sha256
        return hello

    @property
    def model(self) -> Hello:
        """The model in use: the required one, else the board's first."""
        hellos = self._greeted()
        return hellos[0] if self._sha256 is None else self._find(self._sha256)

    def classify(self, window_uv: ArrayLike) -> Answer:
        """Classify one isolated window.

        Args:
            window_uv: (window,) or (window, leads) integers in uV.

        Raises:
            DeviceError: another shape than the model's, a refusal, or a line that fails.
        """
        return self.classify_many([np.asarray(window_uv)])[0]

    def classify_many(self, windows_uv: ArrayLike, progress: Callable[[int, int], None] | None = None) -> list[Answer]:
        """Classify isolated windows, several on the way at once.

        Args:
            windows_uv: (n, window) or (n, window, leads) integers in uV.
            progress: called with (answered, all) after each answer.

        Returns:
            n answers, in the order of the windows.

        Raises:
            DeviceError: another shape than the model's, a refusal, or a line that fails.
        """
        hello = self._model_of(beats=False)
        windows = self._windows(np.asarray(windows_uv), hello)
        first = self._index
        self._index += len(windows) * (hello.window + 1)
        answers: list[Answer] = []
        for result, host_us in self._run(WindowScript(windows, hello, first), hello):
            answers.append(_answer(result, hello.window - 1, host_us))
            if progress is not None:
                progress(len(answers), len(windows))
        return answers

    def stream(
        self,
        samples_uv: NDArray[Any] | Iterable[NDArray[Any] | tuple[NDArray[Any], NDArray[Any]]],
        flags: NDArray[Any] | None = None,
    ) -> Iterator[Answer]:
        """Send a signal of any length; give the verdicts as they come.

        Args:
            samples_uv: (n,) or (n, leads) integers in uV; or an iterable of such chunks (a live source), each alone or
                with the flags of its samples. The next chunk is taken once the board has had the one before.
            flags: (n,) SampleFlag of each sample of an array: a gap before it, lead off, clipped.

        Yields:
            one Answer for each whole window, in order; last_index counts from the first sample given.

        Raises:
            DeviceError: another shape than the model's, a refusal, or a line that fails.
        """
        hello = self._model_of(beats=False)
        if isinstance(samples_uv, np.ndarray):
            samples_uv = [samples_uv if flags is None else (samples_uv, flags)]
        elif flags is not None:
            raise TypeError("flags go with each chunk: give (samples, flags) pairs")
        return self._stream((self._chunk(item, hello) for item in samples_uv), hello)

    def _stream(self, chunks: Iterator[Chunk], hello: Hello) -> Iterator[Answer]:
        first = self._index
        taken = 0

        def counted() -> Iterator[Chunk]:
            nonlocal taken
            for chunk in chunks:
                taken += len(chunk[0])
                self._index = first + taken + 1
                yield chunk

        for answer, (result, host_us) in enumerate(self._run(StreamScript(counted(), hello, first), hello)):
            yield _answer(result, hello.window - 1 + answer * hello.hop, host_us)

    def beats(self, samples_uv: NDArray[Any], flags: NDArray[Any] | None = None) -> Iterator[BeatAnswer]:
        """Send a recording to a model of beats; give the beats as they come.

        Args:
            samples_uv: (n,) integers in uV.
            flags: (n,) SampleFlag of each sample.

        Yields:
            every beat the device finds, once and in order. After a reset the device is told all from the start again.

        Raises:
            DeviceError: a model of windows, a refusal, or a line that fails.
        """
        hello = self._model_of(beats=True)
        samples, marks = self._chunk(samples_uv if flags is None else (samples_uv, flags), hello)
        script = BeatScript(samples, marks, hello, self._index)
        self._index += len(samples) + 1
        exchange = BeatExchange(self._session, script, hello, lambda: self._greet_again(hello))
        return (exchange.answer_of(beat) for beat, _ in exchange.answers())

    def selftest(self) -> SelfTest:
        """Let the board run its known answers again. Raises DeviceError when it does not answer."""
        self._greeted()
        return SelfTest.unpack(self._session.request(FrameType.SELFTEST).payload)

    def stats(self) -> Stats:
        """What the board counted since its boot. Raises DeviceError when it does not answer."""
        self._greeted()
        return Stats.unpack(self._session.request(FrameType.STATS).payload)

    def _greeted(self) -> list[Hello]:
        return self._hellos or self.hello()

    def _run(self, script: Script, hello: Hello) -> Iterator[tuple[Result, int]]:
        return Exchange(self._session, script, hello, lambda: self._greet_again(hello)).answers()

    def _greet_again(self, hello: Hello) -> Hello:
        self.hello()
        return self._find(hello.sha256)

    def _model_of(self, *, beats: bool) -> Hello:
        hello = self.model
        if hello.takes_beats != beats:
            raise DeviceError(f"{self.name}: {hello.name} takes {'beats' if hello.takes_beats else 'windows'}")
        return hello

    def _find(self, sha256: str) -> Hello:
        """The board's model with this hash, or a refusal that names both."""
        for hello in self._hellos:
            if hello.sha256 == sha256:
                return hello
        held = ", ".join(f"{hello.name} {hello.sha256[:12]}..." for hello in self._hellos)
        raise DeviceError(f"{self.name}: the board holds {held}; wanted {sha256[:12]}...: export and flash that bundle")

    def _windows(self, windows: NDArray[Any], hello: Hello) -> NDArray[np.int16]:
        """(n, window, leads) as int16."""
        if windows.ndim == 2 and hello.leads == 1:
            windows = windows[:, :, None]
        if windows.ndim != 3 or windows.shape[1:] != (hello.window, hello.leads):
            raise DeviceError(
                f"windows of shape {windows.shape}; {hello.name} takes (n, {hello.window}, {hello.leads})"
            )
        return _int16(windows)

    def _chunk(self, item: NDArray[Any] | tuple[NDArray[Any], NDArray[Any]], hello: Hello) -> Chunk:
        """(n, leads) samples and (n,) flags."""
        samples, flags = item if isinstance(item, tuple) else (item, None)
        samples = np.asarray(samples)
        if samples.ndim == 1 and hello.leads == 1:
            samples = samples[:, None]
        if samples.ndim != 2 or samples.shape[1] != hello.leads:
            raise DeviceError(f"samples of shape {samples.shape}; {hello.name} takes (n, {hello.leads})")
        marks = np.zeros(len(samples), np.uint8) if flags is None else np.asarray(flags).astype(np.uint8)
        if marks.shape != (len(samples),):
            raise DeviceError(f"flags of shape {marks.shape} for {len(samples)} samples")
        return _int16(samples), marks


def engine_name(hello: Hello) -> str:
    """The engine a board runs, as text."""
    return ENGINES.get(hello.engine, f"engine {hello.engine}")


def _int16(values: NDArray[Any]) -> NDArray[np.int16]:
    if values.dtype == np.int16:
        return values
    if not np.issubdtype(values.dtype, np.integer):
        raise DeviceError(f"samples are {values.dtype}, wanted integers in uV")
    if values.size and (values.min() < _INT16.min or values.max() > _INT16.max):
        raise DeviceError(f"samples from {values.min()} to {values.max()} uV, outside int16")
    return values.astype(np.int16)


def _answer(result: Result, last_index: int, host_us: int) -> Answer:
    verdict = None if result.verdict == ABSTAIN else result.verdict
    return Answer(result.scores, verdict, result.state, last_index, result.prepare_us, result.inference_us, host_us)

"""Frames over a link: sequence numbers, the boot nonce, greeting, requests. Layer: device; imports errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from ecg_edge.device.frame import DELIMITER, VERSION, Frame, FrameReader, FrameType, encode_frame
from ecg_edge.device.link import Link
from ecg_edge.device.messages import PROTOCOL, ErrorCode, ErrorReport, Hello
from ecg_edge.device.pace import Pace, Patience
from ecg_edge.errors import DeviceError, DeviceTimeout, LinkReplugged

SEQ_MODULUS = 1 << 16
_LOG_LINES = 100
_FLOOD_S = 1.0  # beyond a deadline, of bytes that never stop and are no frame


@dataclass(slots=True)
class Counters:
    """What the host saw on the line."""

    bytes_in: int = 0
    bytes_out: int = 0
    frames_in: int = 0
    frames_out: int = 0
    damaged: int = 0  # pieces that were no frame
    losses: int = 0  # frames of the device that never came, by its sequence numbers
    repeats: int = 0  # times that something was sent or asked for again
    resets: int = 0  # of the device, seen by its boot nonce
    replugs: int = 0  # times that the line was gone, and came back


class Session:
    """One conversation with one board."""

    def __init__(self, link: Link, patience: Patience) -> None:
        self.link, self.patience, self.pace = link, patience, Pace(patience)
        self.clock = link.clock
        self.counters = Counters()
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self.boot = 0
        self.next_seq = 0
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()
        self._device_seq: int | None = None
        self._outgoing = bytearray(DELIMITER)  # ends whatever half frame the line held before us

    def replugged(self) -> None:
        """The line is a new one: nothing of before is on it. Greet whoever is there."""
        self.counters.replugs += 1
        self._frames.clear()
        self._reader.feed(DELIMITER)  # ends what had come of a frame
        self._outgoing = bytearray(DELIMITER)
        self._device_seq = None

    def queue(self, kind: FrameType, payload: bytes = b"", flags: int = 0) -> int:
        """Prepare a frame for the next `flush`; gives its sequence number."""
        seq = self.next_seq
        self.next_seq = (seq + 1) % SEQ_MODULUS
        self._outgoing += encode_frame(Frame(kind, payload, flags, self.boot, seq))
        self.counters.frames_out += 1
        return seq

    def flush(self) -> None:
        """Send what is queued, in one write."""
        if self._outgoing:
            data, self._outgoing = bytes(self._outgoing), bytearray()
            self.counters.bytes_out += len(data)
            self.link.write(data)

    def receive(self, deadline_s: float) -> Frame | None:
        """The next frame that is no LOG, None when none came until `deadline_s` on the clock.

        A deadline that has passed still takes what is there, but no flood.
        """
        while True:
            while self._frames:
                frame = self._accept(self._frames.popleft())
                if frame is not None:
                    return frame
            left_s = deadline_s - self.clock.now_s()
            data = self.link.read(max(0.0, left_s))
            self.counters.bytes_in += len(data)
            self._frames.extend(self._reader.feed(data))
            self.counters.damaged = self._reader.counters.damaged
            if left_s <= (-_FLOOD_S if data else 0.0):
                return None

    def _accept(self, frame: Frame) -> Frame | None:
        self.counters.frames_in += 1
        same_life = frame.boot == self.boot and self._device_seq is not None
        if same_life and self._device_seq is not None:
            self.counters.losses += (frame.seq - self._device_seq - 1) % SEQ_MODULUS
        self._device_seq = frame.seq
        if frame.type == FrameType.LOG:
            self.log.append(frame.payload[1:].decode(errors="replace"))
            return None
        return frame

    def greet(self) -> list[Hello]:
        """Learn who is there, and its boot nonce.

        Raises:
            DeviceTimeout: nobody answers.
            DeviceError: the board speaks another protocol.
        """
        start_s, replugs = self.clock.now_s(), 0
        models: dict[int, Hello] = {}
        for attempt in count():
            left_s = start_s + self.patience.give_up_s - self.clock.now_s()
            if left_s <= 0.0:
                raise DeviceTimeout(self._silence())
            try:
                if self._greet_once(models, min(left_s, self.patience.greeting_s(attempt))):
                    break
            except LinkReplugged as again:
                replugs += 1
                self.replugged()
                if replugs > self.patience.attempts:
                    raise self._flapping(replugs) from again
                models.clear()
                start_s = self.clock.now_s()  # while it was gone nobody could answer, and a board that is back boots
            self.counters.repeats += 1
        return [models[index] for index in sorted(models)]

    def _greet_once(self, models: dict[int, Hello], wait_s: float) -> bool:
        """Say HELLO and gather what comes into `models`; whether they are all there."""
        self.queue(FrameType.HELLO)
        self.flush()
        repeat_at_s = self.clock.now_s() + wait_s
        while (frame := self.receive(repeat_at_s)) is not None:
            if frame.type != FrameType.HELLO:
                continue
            if frame.boot != self.boot:  # nobody yet, or another reset meanwhile
                self.boot = frame.boot
                models.clear()
            hello = self._parse_hello(frame)
            models[hello.model_index] = hello
            if len(models) == hello.model_count:
                return True
        return False

    def _parse_hello(self, frame: Frame) -> Hello:
        if frame.payload[:1] != bytes((PROTOCOL,)):
            spoken = frame.payload[0] if frame.payload else "nothing"
            raise DeviceError(f"{self.link.name}: the board speaks protocol {spoken}, this host {PROTOCOL}")
        return Hello.unpack(frame.payload)

    def _flapping(self, replugs: int) -> DeviceTimeout:
        return DeviceTimeout(f"{self.link.name}: the port went {replugs} times before any answer")

    def _silence(self) -> str:
        """Why a greeting failed, as far as the bytes tell."""
        counters, name, limit_s = self._reader.counters, self.link.name, self.patience.give_up_s
        if counters.version_errors:
            return f"{name}: the board's frames have another version than {VERSION}: update its firmware or this host"
        if counters.bytes_in and not counters.frames:
            heard = f"{counters.bytes_in} bytes in {limit_s:g} s and no frame"
            return f"{name}: {heard}: another baud rate, or no ecg-edge firmware"
        return f"{name}: no answer to HELLO in {limit_s:g} s"

    def request(self, kind: FrameType, payload: bytes = b"") -> Frame:
        """Ask until an answer of the same type comes.

        Raises:
            DeviceTimeout: nobody answers.
            DeviceError: the board refuses.
        """
        start_s, replugs = self.clock.now_s(), 0
        wait_s = self.pace.wait_s
        while self.clock.now_s() - start_s < self.patience.give_up_s:
            try:
                frame = self._request_once(kind, payload, wait_s)
            except LinkReplugged as again:
                replugs += 1
                self.replugged()
                if replugs > self.patience.attempts:
                    raise self._flapping(replugs) from again
                self.greet()
                start_s = self.clock.now_s()
                continue
            if frame is not None:
                return frame
            self.counters.repeats += 1
            wait_s *= 2.0  # a self-test may take long, and each request begins another
        raise DeviceTimeout(f"{self.link.name}: no answer to {kind.name} in {self.patience.give_up_s:g} s")

    def _request_once(self, kind: FrameType, payload: bytes, wait_s: float) -> Frame | None:
        """The answer, None when none came in time or the board was reset meanwhile."""
        self.queue(kind, payload)
        self.flush()
        repeat_at_s = self.clock.now_s() + wait_s
        while (frame := self.receive(repeat_at_s)) is not None:
            if frame.boot != self.boot:
                self.counters.resets += 1
                self.greet()
                return None
            if frame.type == kind:
                return frame
            if frame.type == FrameType.ERROR:
                report = ErrorReport.unpack(frame.payload)
                if report.type == kind and report.code != ErrorCode.STALE_BOOT:
                    raise DeviceError(describe_error(self.link.name, report, self.log))
        return None


def describe_error(name: str, report: ErrorReport, log: Sequence[str]) -> str:
    """An ERROR frame in one line, with the board's last words where its self-test failed."""
    code = ErrorCode(report.code).name.lower() if report.code in set(ErrorCode) else f"code {report.code}"
    kind = FrameType(report.type).name if report.type in set(FrameType) else f"type {report.type}"
    words = f"; it says: {log[-1]}" if log and report.code == ErrorCode.SELFTEST_FAILED else ""
    return f"{name}: the board refuses {kind}: {code} (detail {report.detail}){words}"

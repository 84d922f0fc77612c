"""Train a Keras model, resumably. Layer: learn; imports errors and files; tensorflow inside the functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import TrainingError
from ecg_edge.learn.dataset import Dataset, augment

EpochReport = Callable[[int, int, dict[str, float]], None]  # epoch (from 1), epochs, metrics
StepReport = Callable[[int, int], None]  # step, steps of the epoch


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; goes into the manifest."""

    epochs: int = 12
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.02
    seed: int = 1


def learning_rate(step: int, steps: int, peak: float) -> float:
    """One cycle: a short linear warm-up, then a cosine down to a thousandth."""
    warm = max(1, min(300, steps // 10))
    if step < warm:
        return peak * (step + 1) / warm
    return float(peak * (0.001 + 0.999 * 0.5 * (1.0 + np.cos(np.pi * (step - warm) / max(1, steps - warm)))))


def train(
    model: Any,
    training: Dataset,
    validation: Dataset,
    settings: Settings,
    *,
    input_scale: float,
    checkpoint: Path,
    on_epoch: EpochReport,
    on_step: StepReport,
) -> dict[str, list[float]]:
    """Train `model` in place; picks up where an interrupted run of the same settings left off.

    Args:
        model: (batch, window, leads) -> probabilities, compiled here.
        training: what it learns from.
        validation: other subjects.
        settings: epochs, batch, rate, seed.
        input_scale: the model's input is the int8 column times this.
        checkpoint: folder for the state between epochs; removed by the caller when the result is saved.
        on_epoch, on_step: progress.

    Returns:
        Metric name -> value per epoch (of this run).

    Raises:
        TrainingError: the checkpoint belongs to other settings, or the loss is not a number.
    """
    import keras

    _claim(checkpoint, {**asdict(settings), "windows": len(training.labels), "parameters": model.count_params()})
    keras.utils.set_random_seed(settings.seed)
    steps = (len(training.labels) // settings.batch) * settings.epochs
    _compile(model, settings, len(training.classes))
    batches = _batches(training, settings, input_scale)
    held = (
        _scaled(validation.columns, input_scale),
        np.eye(len(validation.classes), dtype=np.float32)[validation.labels],
    )
    history = model.fit(
        batches,
        epochs=settings.epochs,
        validation_data=held,
        validation_batch_size=1024,
        verbose=0,
        callbacks=[
            keras.callbacks.BackupAndRestore(str(checkpoint / "state"), delete_checkpoint=False),
            keras.callbacks.TerminateOnNaN(),
            _rate_callback(settings, steps),
            _progress_callback(settings, len(batches), on_epoch, on_step),
        ],
    )
    losses = history.history.get("loss", [])
    if losses and not np.isfinite(losses[-1]):
        raise TrainingError(f"the loss became {losses[-1]} in epoch {len(losses)}; try a smaller learning rate")
    return {name: [float(v) for v in values] for name, values in history.history.items()}


def _claim(checkpoint: Path, identity: dict[str, Any]) -> None:
    """Say whose checkpoint this is, so that another run's state is never continued by mistake."""
    import json

    note = checkpoint / "run.json"
    text = json.dumps(identity, indent=1)
    if note.is_file() and note.read_text() != text:
        raise TrainingError(
            f"{checkpoint} holds a run with other settings; remove it, or give the same settings to resume"
        )
    checkpoint.mkdir(parents=True, exist_ok=True)
    note.write_text(text)


def _compile(model: Any, settings: Settings, classes: int) -> None:
    import keras

    model.compile(
        optimizer=keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )


def _scaled(columns: NDArray[np.int8], scale: float) -> NDArray[np.float32]:
    return columns.astype(np.float32) * np.float32(scale)


def _batches(data: Dataset, settings: Settings, scale: float) -> Any:
    """A Keras dataset that shuffles and augments anew each epoch, from the seed and the epoch's number alone."""
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self.epoch = -1
            self.on_epoch_end()

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self.order = np.random.default_rng([settings.seed, self.epoch]).permutation(len(data.labels))

        def __len__(self) -> int:
            return max(1, len(data.labels) // settings.batch)

        def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            rows = self.order[index * settings.batch : (index + 1) * settings.batch]
            rng = np.random.default_rng([settings.seed, self.epoch, index])
            targets = np.eye(len(data.classes), dtype=np.float32)[data.labels[rows]]
            return _scaled(augment(data.columns[rows], rng), scale), targets

    return Batches()


def _rate_callback(settings: Settings, steps: int) -> Any:
    import keras

    class Rate(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            optimizer = self.model.optimizer
            optimizer.learning_rate = learning_rate(int(optimizer.iterations), steps, settings.learning_rate)

    return Rate()


def _progress_callback(settings: Settings, steps: int, on_epoch: EpochReport, on_step: StepReport) -> Any:
    import keras

    class Report(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            on_step(batch + 1, steps)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            on_epoch(epoch + 1, settings.epochs, {k: float(v) for k, v in (logs or {}).items()})

    return Report()

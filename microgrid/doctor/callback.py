"""The doctor as a callback of `fit`: a look at the units after each epoch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core import Operand
from ..nn.init import Rng
from ..train.batches import as_count
from ..train.callbacks import Callback, Logs
from ..train.names import Loss
from .diagnosis import diagnose
from .report import Finding, Report
from .revival import revive


class ReLUDoctor(Callback):
    """Diagnose the model at the ends of epochs, and tell what to do.

    "dead_share", the share of dead units, is added to the logs, so that the History has it.

    Args:
        x: float[n, ...], some hundred samples to look at the model with.
        y: any[n, ...], their targets, if gradients and updates are to be looked at too.
        every: at the first epoch and then after how many; between, "dead_share" stays.
        revive: whether to give dead units new weights, as `mg.revive` does.
        loss: for y; None for the one that is trained with.
        verbose: 0 writes nothing; 1 each kind of advice once; "auto" that too, unless `fit` is
            silent.
        rng: None, a seed, or a generator, for new weights.

    Attributes:
        reports: one Report for each look; a run that is resumed has those from there on.
        revived: what was revived after each look: {layer: units}.

    Raises:
        TypeError: `every` is no integer.
        ValueError: `every` is below 1, or `verbose` is something else.
        DtypeError, ShapeError, ValueError: in `fit`, as of `mg.diagnose`.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.nn.MLP([2, 4, 1], rng=0)
    >>> model[0].bias.data[2] = -100.0
    >>> x = np.random.default_rng(0).normal(size=(360, 2))
    >>> doctor = mg.callbacks.ReLUDoctor(x, revive=True, verbose=0, rng=0)
    >>> run = mg.fit(model, x, x[:, :1], loss="mse", optimizer="sgd", epochs=2, verbose=0, rng=0,
    ...              callbacks=doctor)
    >>> run.history["dead_share"], doctor.revived
    ([0.25, 0.0], [{'0': [2]}, {}])
    """

    def __init__(
        self,
        x: Operand,
        y: Operand | None = None,
        every: int = 1,
        revive: bool = False,
        *,
        loss: str | Loss | None = None,
        verbose: int | str = "auto",
        rng: Rng = None,
    ) -> None:
        if verbose not in (0, 1, "auto"):
            raise ValueError(
                f'ReLUDoctor: verbose={verbose!r} was given; it must be 0, 1 or "auto".'
            )
        self.x, self.y, self.loss = x, y, loss
        self.every = as_count("ReLUDoctor", "every", every, 1)
        self.revive = revive
        self.verbose = verbose
        self.rng = np.random.default_rng(rng)
        self._begin()

    def _begin(self) -> None:
        self.reports: list[Report] = []
        self.revived: list[dict[str, list[int]]] = []
        self._dead_share: float | None = None  # at the last look
        self._told: set[str] = set()
        self._waiting: list[Finding] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training, unless this one goes on from a saved state."""
        if not self.training.history.epoch:
            self._begin()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Write what was found at the end of the epoch before, whose line is complete now."""
        self._tell()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Write what was found last."""
        self._tell()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the model, if it is time."""
        if epoch % self.every == 0 or self._dead_share is None:
            self._dead_share = self._look()
        if logs is not None:
            logs["dead_share"] = self._dead_share

    def _look(self) -> float:
        gradients: dict[str, Any] = {}
        if self.y is not None:
            loss = self.training.loss if self.loss is None else self.loss
            gradients = {"y": self.y, "loss": loss, "optimizer": self.optimizer}
        report = diagnose(self.model, self.x, **gradients)
        self.reports.append(report)
        self._waiting += report.findings
        if self.revive:
            self.revived.append(revive(self.model, self.x, rng=self.rng, optimizer=self.optimizer))
        return report.dead_share

    def _tell(self) -> None:
        silent = not self.verbose or (self.verbose == "auto" and not self.params["verbose"])
        for finding in self._waiting:
            if finding.kind not in self._told and not silent and sys.stdout is not None:
                self._told.add(finding.kind)
                sys.stdout.write(f"ReLUDoctor: {finding}\n")
        self._waiting.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return where the generator stands, what was seen last, and what was and is to be told."""
        return {
            "rng": self.rng.bit_generator.state,
            "dead_share": self._dead_share,
            "told": sorted(self._told),
            "waiting": [[f.kind, f.layer, f.text] for f in self._waiting],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._begin()
        self.rng.bit_generator.state = state["rng"]
        self._dead_share = state["dead_share"]
        self._told = set(state["told"])
        self._waiting = [Finding(*finding) for finding in state["waiting"]]

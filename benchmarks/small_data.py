"""Compare a small net with scikit-learn's of the same size, on three real data sets.

    python benchmarks/small_data.py --json small.json

Breast cancer, wine and diabetes, standardised by the training folds; 5-fold cross-validation,
several seeds. All nets have one hidden layer of relu, and Adam with the same rate, batches and
epochs. The plain one is as scikit-learn's to the L2 penalty; the other has weight decay apart from
the gradient, which that library leaves out. What fit takes is timed fold by fold, each in its turn.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import harness
import numpy as np
import report

HIDDEN, BATCH, RATE, PENALTY, FOLDS = 32, 16, 0.001, 1e-4, 5
DECAY = 1.0  # AdamW's: a weight loses this share of the rate in each step
DATA = ("breast_cancer", "wine", "diabetes")

sys.path.insert(0, str(harness.ROOT))  # this clone's microgrid

Score = tuple[float, float]  # accuracy or R2 on the fold left out; seconds of an epoch
Array = Any


def load(name: str) -> tuple[Array, Array]:
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    return data.data, data.target


def folds(x: Array, y: Array, seed: int) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Yield x and y to learn from, and x and y left out; standardised, y too if it is no class."""
    from sklearn.model_selection import KFold, StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    split = StratifiedKFold if y.dtype.kind == "i" else KFold
    for train, test in split(FOLDS, shuffle=True, random_state=seed).split(x, y):
        scaler = StandardScaler().fit(x[train])
        centre, scale = (y[train].mean(), y[train].std()) if y.dtype.kind == "f" else (0, 1)
        target = (y - centre) / scale if y.dtype.kind == "f" else y
        yield (
            scaler.transform(x[train]).astype(np.float32), target[train],
            scaler.transform(x[test]).astype(np.float32), target[test],
        )  # fmt: skip


def score(prediction: Array, y: Array) -> float:
    """Return the share of right classes, or R2."""
    if y.dtype.kind == "i":
        return float(np.mean(prediction == y))
    return float(1 - np.mean((prediction - y) ** 2) / np.var(y))


def with_sklearn(fold: Any, epochs: int, seed: int) -> Score:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x, y, x_test, y_test = fold
    kind = MLPClassifier if y.dtype.kind == "i" else MLPRegressor
    net = kind(
        hidden_layer_sizes=(HIDDEN,), learning_rate_init=RATE, batch_size=BATCH, alpha=PENALTY,
        max_iter=epochs, tol=0, n_iter_no_change=epochs, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        started = time.perf_counter()
        net.fit(x, y)
        seconds = time.perf_counter() - started
    return score(net.predict(x_test), y_test), seconds / net.n_iter_


def with_microgrid(fold: Any, epochs: int, seed: int, decoupled: bool = True) -> Score:
    """Train with decoupled weight decay, or with the penalty that scikit-learn has."""
    import microgrid as mg

    x, y, x_test, y_test = fold
    classes = y.dtype.kind == "i"
    rng = np.random.default_rng(seed)
    model = mg.nn.MLP([x.shape[1], HIDDEN, int(y.max()) + 1 if classes else 1], rng=rng)
    if decoupled:
        optimizer: Any = mg.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    else:  # scikit-learn's penalty is alpha/2 |w|^2 over the samples of a batch
        optimizer = mg.optim.Adam(model.parameters(), lr=RATE, weight_decay=PENALTY / BATCH)
    started = time.perf_counter()
    mg.fit(
        model, x, y if classes else y[:, None], loss="cross_entropy" if classes else "mse",
        optimizer=optimizer, batch_size=BATCH, epochs=epochs, verbose=0, rng=rng,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    found = mg.predict(model, x_test)
    return score(found.argmax(axis=1) if classes else found[:, 0], y_test), seconds / epochs


def with_plain_microgrid(fold: Any, epochs: int, seed: int) -> Score:
    return with_microgrid(fold, epochs, seed, decoupled=False)


PEERS: dict[str, Callable[[Any, int, int], Score]] = {
    "microgrid": with_microgrid,
    "microgrid, plain": with_plain_microgrid,
    "scikit-learn": with_sklearn,
}


def compare(name: str, epochs: int, seeds: int) -> dict[str, list[Score]]:
    """Return the scores of each peer, one for each seed and fold."""
    x, y = load(name)
    scores: dict[str, list[Score]] = {peer: [] for peer in PEERS}
    for seed in range(seeds):
        for fold in folds(x, y, seed):
            for peer, train in PEERS.items():
                scores[peer].append(train(fold, epochs, seed))
    return scores


def row(name: str, scores: dict[str, list[Score]]) -> list[str]:
    """Return a line of the table: mean scores, and milliseconds an epoch."""
    own, rival = (scores[peer] for peer in ("microgrid", "scikit-learn"))
    # The same folds and seeds: how surely one is better shows in the differences.
    differences = [a - b for (a, _), (b, _) in zip(own, rival, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    times = {peer: statistics.median(t for _, t in scores[peer]) for peer in PEERS}
    return [
        name,
        *(f"{statistics.mean(s for s, _ in scores[peer]):.4f}" for peer in PEERS),
        f"{statistics.mean(differences):+.4f} ± {error:.4f}",
        *(f"{t * 1e3:.2f}" for t in times.values()),
        *(f"{times['scikit-learn'] / times[peer]:.1f}" for peer in list(PEERS)[:2]),
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = harness.parser_of(__doc__)
    add = parser.add_argument
    add("--epochs", type=harness.count, default=200)
    add("--seeds", type=harness.count, default=5, help="of folds, weights and orders")
    settings = parser.parse_args(arguments)
    found = {name: compare(name, settings.epochs, settings.seeds) for name in DATA}
    header = ["data", *PEERS, "microgrid - scikit-learn", *(f"{peer}: ms" for peer in PEERS),
              "times as fast", "plain: times as fast"]  # fmt: skip
    print(report.markdown(header, [row(name, scores) for name, scores in found.items()]))
    print(
        f"\nAccuracy, or R2 for diabetes, of {FOLDS} folds with {settings.seeds} seeds; the "
        "difference with its standard error; milliseconds an epoch.\n" + report.machine_line()
    )
    report.write_json(settings.json, settings, scores=found)


if __name__ == "__main__":
    main()

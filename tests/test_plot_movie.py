"""Films of a classifier that learns."""

import re

import numpy as np
import pytest

import microgrid as mg

pytest.importorskip("matplotlib")

X = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
Y = np.array([0, 1, 1, 0])
KILOBYTE = 1000


def refused(message, error=ValueError):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def filmed(epochs, **options):
    model = mg.nn.MLP([2, 8, 2], rng=0)
    movie = mg.plot.DecisionMovie(model, X, Y, resolution=30, **options)
    optimizer = mg.optim.SGD(model.parameters(), 0.5)
    mg.fit(
        model, X, Y, loss="cross_entropy", optimizer=optimizer, epochs=epochs, verbose=0, rng=0,
        callbacks=[movie],
    )  # fmt: skip
    return movie


def opened(path):
    from PIL import Image

    return Image.open(path)


def test_a_frame_is_recorded_before_the_training_and_after_each_epoch():
    movie = filmed(3)
    titles = [frame.title for frame in movie.frames]
    assert titles[0] == "before training"
    assert [title.partition(",")[0] for title in titles[1:]] == ["epoch 1", "epoch 2", "epoch 3"]
    assert "loss 0." in titles[-1]


def test_frames_may_be_epochs_apart():
    assert len(filmed(7, every=3)) == 1 + 2


def test_a_frame_holds_what_the_model_said_then():
    movie = filmed(2)
    first, _, last = (frame.margins for frame in movie.frames)
    assert first.shape == (2, 900)
    assert not np.array_equal(first, last)
    assert np.allclose(first[0], -first[1])


def test_the_file_has_as_many_frames_as_were_recorded_and_is_small(tmp_path):
    movie = filmed(6)
    path = tmp_path / "learning.gif"
    movie.save(path, fps=4)
    with opened(path) as film:
        assert film.n_frames == len(movie) == 7
        assert film.info["loop"] == 0
        assert film.info["duration"] == 250
        film.seek(6)
        assert film.info["duration"] == 1500
        assert film.size == (320, 272)
    assert path.stat().st_size < 500 * KILOBYTE


def test_in_a_loop_of_ones_own_the_movie_is_called(tmp_path):
    model = mg.nn.MLP([2, 8, 2], rng=0)
    movie = mg.plot.DecisionMovie(model, X, Y, resolution=10, class_names=["same", "other"])
    for step in range(2):
        movie(f"step {step}")
    movie.save(tmp_path / "learning.gif")
    with opened(tmp_path / "learning.gif") as film:
        assert film.n_frames == 2


def test_a_movie_without_frames_is_refused(tmp_path):
    movie = mg.plot.DecisionMovie(mg.nn.MLP([2, 2]), X, Y)
    message = "plot.DecisionMovie: no frame is recorded. Pass it to fit as a callback first."
    with refused(message):
        movie.save(tmp_path / "learning.gif")


@pytest.mark.parametrize(
    ("name", "fps", "message"),
    [
        ("a.mp4", 8, "plot.DecisionMovie: 'a.mp4' was given; the name must end in .gif."),
        ("a.gif", 0, "plot.DecisionMovie: fps=0 was given; it must be a number above 0."),
    ],
)
def test_what_cannot_be_written_is_refused(name, fps, message):
    movie = mg.plot.DecisionMovie(mg.nn.MLP([2, 2]), X, Y, resolution=2)
    movie()
    with refused(message):
        movie.save(name, fps)


def test_no_epochs_from_frame_to_frame_are_refused():
    with refused("plot.DecisionMovie: every=0 was given; it must be at least 1."):
        mg.plot.DecisionMovie(mg.nn.MLP([2, 2]), X, Y, every=0)

"""The line an epoch."""

import re

import pytest

from skhvae.progress import ProgressLine


def record(epoch, **more):
    return {"epoch": epoch, "loss": 12.5, "kl": 0.25, "seconds": 0.5, **more}


def test_a_line_an_epoch(capsys):
    line = ProgressLine()
    for epoch, error in ((1, 0.4), (2, 0.2), (3, 0.3)):
        line(record(epoch, held_out_error=error), 3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for epoch, (text, error, best) in enumerate(
        zip(lines, (0.4, 0.2, 0.3), (0.4, 0.2, 0.2), strict=True), 1
    ):
        assert re.search(rf"\b{epoch}/3\b.*12\.5.*0\.25", text)
        assert f"held-out error {error:.4f} (best {best:.4f})" in text
        assert "2.0 epochs/s" in text
    assert lines[-1].endswith(" 0 s left")


def test_without_held_out_cells(capsys):
    ProgressLine()(record(1), 2)
    assert "held-out" not in capsys.readouterr().out


@pytest.mark.parametrize(("after", "left"), [(1, 90), (4, 60), (10, 0)])
def test_time_left(capsys, monkeypatch, after, left):
    """Ten seconds an epoch, ten epochs."""
    now = iter([0.0, 10.0 * after])
    monkeypatch.setattr("skhvae.progress.time.perf_counter", lambda: next(now))
    ProgressLine()(record(after), 10)
    assert f"{left} s left" in capsys.readouterr().out


def test_an_epoch_too_quick_to_measure(capsys):
    ProgressLine()(record(1) | {"seconds": 0.0}, 2)
    assert "1/2" in capsys.readouterr().out

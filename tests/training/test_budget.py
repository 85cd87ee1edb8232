"""What a training will take: hand arithmetic with a clock of our own, and laws of the plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import model
from reading.files import InputError
from training import budget

speeds = st.builds(
    budget.Speed, st.floats(0.001, 3), st.floats(0, 60), st.floats(0, 60), st.floats(0, 60)
)  # step, validation, start, end


@given(speeds, st.floats(1, 1e5), st.integers(10, 2000))
def test_a_plan_fills_its_time_and_never_more(speed, seconds, usual):
    try:
        epochs, steps = budget.plan(seconds, speed, usual)
    except InputError:
        assert speed.seconds(1, budget.SHORTEST) > seconds - speed.step
        return
    assert seconds * 1.0001 >= speed.seconds(epochs, steps) > seconds * 0.9999 - epochs * speed.step
    assert epochs == 1 or steps >= usual - 1


@given(speeds, st.floats(60, 1e4), st.floats(1, 1e4))
def test_more_minutes_are_never_fewer_steps(speed, seconds, more):
    try:
        epochs, steps = budget.plan(seconds, speed, 200)
    except InputError:
        return
    more_epochs, more_steps = budget.plan(seconds + more, speed, 200)
    assert more_epochs * (more_steps + 1) + speed.validation / speed.step * more_epochs >= epochs * steps


def test_too_few_minutes_are_refused_with_what_is_missing():
    with pytest.raises(InputError, match="too short by 12 s"):  # 3 + 5 × 2 + 4 + 1 = 18 s are needed, 6 are there
        budget.plan(6, budget.Speed(step=2, validation=4, start=3, end=1), 100)


def test_a_stopwatch_by_hand(monkeypatch):
    clock = iter([0.0, 13.0, 15.0, 17.5, 19.0])  # 13 s until the first step is done, then 2 + 2.5 + 1.5 s
    monkeypatch.setattr(budget.time, "perf_counter", lambda: next(clock))
    said = []
    watch = budget.Forecast(None, epochs=3, steps=4, memory=1_440_000_000, say=said.append)
    watch.on_train_begin()
    for batch in range(4):
        watch.on_train_batch_end(batch)
    assert watch.speed() == budget.Speed(step=2.0, validation=0, start=11.0, end=0)
    (line,) = said
    assert line.startswith("estimate: 35 s of training, 1.4 GB of memory")  # 11 + 3 × 4 × 2


def test_seconds_for_people():
    assert [budget.duration(s) for s in (40.4, 100, 360, 700, 7800)] == [
        "40 s", "1.5 min", "6 min", "12 min", "2 h 10 min",
    ]  # fmt: skip


def test_too_little_memory_is_said_with_a_batch_that_fits(monkeypatch):
    network = model.unet(filters=8)
    need = [budget.memory_needed(network, 256, batch, 7e8) for batch in (1, 2, 4)]
    assert need[2] - need[1] == 2 * (need[1] - need[0])  # grows with the batch
    for free, remedy in ((need[2] - 7e8, None), (need[1] - 7e8, "--batch 2"), (1e6, "--batch 1 --filters 4")):
        monkeypatch.setattr(budget, "memory_free", lambda free=free: free)
        advice = budget.memory_advice(network, 256, 4, 8, 7e8)
        assert advice is None if remedy is None else remedy in advice


def test_memory_errors_of_every_library_are_known():
    class ResourceExhaustedError(Exception):
        """TensorFlow's."""

    class OutOfMemoryError(RuntimeError):
        """PyTorch's."""

    assert all(map(budget.is_out_of_memory, (MemoryError(), ResourceExhaustedError(), OutOfMemoryError())))
    assert not budget.is_out_of_memory(ValueError("out of memory"))

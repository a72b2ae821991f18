import threading

import pytest

from sim_instruments.world.clock import VirtualClock, WallClock


def test_a_single_thread_just_advances():
    clock = VirtualClock()
    clock.sleep(3600.0)
    assert clock.now() == 3600.0
    with clock.registered():
        clock.sleep(1.5)
    assert clock.now() == 3601.5


def test_a_sleep_of_nothing_or_less_costs_nothing():
    clock = VirtualClock(5.0)
    clock.sleep(0.0)
    clock.sleep(-1.0)
    assert clock.now() == 5.0


def test_wait_returns_at_once_when_the_event_is_set():
    clock = VirtualClock()
    event = threading.Event()
    assert clock.wait(event, 2.0) is False and clock.now() == 2.0
    event.set()
    assert clock.wait(event, 2.0) is True and clock.now() == 2.0


def test_time_goes_to_the_earliest_deadline_when_all_registered_threads_wait():
    clock = VirtualClock()
    order: list[tuple[str, float]] = []
    ready = threading.Barrier(2)

    def work(name: str, step: float, count: int) -> None:
        with clock.registered():
            ready.wait()
            for _ in range(count):
                clock.sleep(step)
                order.append((name, clock.now()))

    threads = [threading.Thread(target=work, args=a) for a in (("slow", 3.0, 2), ("fast", 2.0, 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert order == [("fast", 2.0), ("slow", 3.0), ("fast", 4.0), ("slow", 6.0)]


def test_time_stands_still_while_a_registered_thread_works():
    clock = VirtualClock()
    registered, release, slept = threading.Event(), threading.Event(), threading.Event()

    def worker() -> None:
        with clock.registered():
            registered.set()
            release.wait(5)

    def sleeper() -> None:
        with clock.registered():
            registered.wait(5)
            clock.sleep(1.0)
            slept.set()

    threads = [threading.Thread(target=worker), threading.Thread(target=sleeper)]
    for thread in threads:
        thread.start()
    registered.wait(5)
    assert not slept.wait(0.1) and clock.now() == 0.0
    release.set()
    assert slept.wait(5) and clock.now() == 1.0
    for thread in threads:
        thread.join(5)


def test_a_blocked_thread_holds_nobody_up():
    clock = VirtualClock()
    lock = threading.Lock()
    holding = threading.Event()

    def holder() -> None:
        with clock.registered(), lock:
            holding.set()
            clock.sleep(1.0)

    def other() -> None:
        with clock.registered():
            with clock.blocked():
                holding.wait(5)
                lock.acquire()
            lock.release()
            clock.sleep(0.5)

    threads = [threading.Thread(target=holder), threading.Thread(target=other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert clock.now() == 1.5


def test_an_event_set_by_another_thread_ends_the_wait():
    clock = VirtualClock()
    event, registered, done = threading.Event(), threading.Event(), threading.Event()

    def waiter() -> None:
        with clock.registered():
            registered.wait(5)
            assert clock.wait(event, 1e6)
            done.set()

    def setter() -> None:
        with clock.registered():
            registered.set()
            event.set()
            clock.wake()
            done.wait(5)

    threads = [threading.Thread(target=waiter), threading.Thread(target=setter)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert done.is_set() and clock.now() == 0.0


def test_the_wall_clock_runs_at_its_speed():
    clock = WallClock(speed=1000.0)
    start = clock.now()
    clock.sleep(10.0)
    assert 10.0 <= clock.now() - start < 1000.0
    event = threading.Event()
    assert clock.wait(event, 1.0) is False
    event.set()
    assert clock.wait(event, 1e9) is True
    with pytest.raises(ValueError, match="above 0"):
        WallClock(0.0)


def test_a_clock_can_be_set_back_for_a_snapshot():
    for clock in (VirtualClock(), WallClock()):
        clock.jump(100.0)
        assert clock.now() == pytest.approx(100.0, abs=1.0)

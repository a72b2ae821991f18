"""The in-process VISA library, through PyVISA's own resources."""

from __future__ import annotations

import gc
import threading
import warnings
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import pyvisa
from pyvisa.constants import StatusCode

from sim_instruments.transports.in_process import InProcessLibrary
from sim_instruments.world.clock import VirtualClock, WallClock

ADDRESS = "GPIB0::9::INSTR"


def status_of(action: Any) -> StatusCode:
    with pytest.raises(pyvisa.errors.VisaIOError) as caught:
        action()
    return caught.value.error_code


def test_a_query_costs_one_message_and_its_bytes(visa: Any, clock: VirtualClock) -> None:
    assert visa.query("HELLO?") == "HELLO?"
    visa.write("LEVEL 1")
    bytes_moved = len("HELLO?\n") * 2 + len("LEVEL 1\n")
    assert clock.now() == pytest.approx(2 * 5e-3 + bytes_moved / 1e6)


def test_a_time_out_waits_on_the_bench_clock_and_the_box_learns_of_it(
    visa: Any, box: Any, clock: VirtualClock
) -> None:
    visa.timeout = 700
    before = clock.now()
    assert status_of(visa.read) == StatusCode.error_timeout
    assert clock.now() - before == pytest.approx(0.7)
    assert box.errors == [-420]


def test_a_read_waits_for_a_measurement(visa: Any, clock: VirtualClock) -> None:
    visa.timeout = 1000
    visa.write("MEAS? 0.8")
    written = clock.now()
    assert visa.read() == "1.5"
    assert clock.now() - written == pytest.approx(0.8, abs=1e-4)


def test_a_measurement_longer_than_the_time_out_can_be_read_later(visa: Any, box: Any) -> None:
    visa.timeout = 500
    visa.write("MEAS? 0.8")
    assert status_of(visa.read) == StatusCode.error_timeout
    assert box.errors == [], "the box had something to say, so there is no -420"
    assert visa.read() == "1.5"


def test_an_infinite_time_out_ends_after_a_day(visa: Any, clock: VirtualClock) -> None:
    visa.timeout = None
    assert status_of(visa.read) == StatusCode.error_timeout
    assert clock.now() == pytest.approx(86_400.0)


def test_immediate_time_out(visa: Any, clock: VirtualClock) -> None:
    visa.timeout = 0
    assert status_of(visa.read) == StatusCode.error_timeout
    assert clock.now() == 0.0


@pytest.mark.parametrize("size", [1, 255, 4096, 100_000])
def test_blocks_come_back_whole(visa: Any, size: int) -> None:
    visa.read_termination = None
    expected = np.frombuffer(bytes(range(256)) * (size // 256 + 1), np.uint8)[:size]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block = visa.query_binary_values(f"DATA? {size}", "B", container=np.array)
    np.testing.assert_array_equal(block, expected)


def test_a_termination_character_ends_a_read_wherever_it_stands(visa: Any) -> None:
    visa.write("A?B?C?")
    visa.read_termination = "B"
    assert visa.read_raw() == b"A?B"
    assert visa.read_raw(2) == b"?C?\n"  # END after a full buffer
    visa.read_termination = "\n"


def test_read_bytes_counts(visa: Any) -> None:
    visa.write("ABCDEF?")
    assert visa.read_bytes(3) == b"ABC"
    assert visa.read_bytes(5) == b"DEF?\n"


def test_one_write_may_hold_several_messages(visa: Any, box: Any) -> None:
    visa.write_raw(b"LEVEL 1\r\nLEVEL 2\n\nLEVEL 3\rLEVEL 4")
    assert box.executed == [b"LEVEL 1", b"LEVEL 2", b"LEVEL 3", b"LEVEL 4"]


def test_terminators_inside_a_block_are_data(visa: Any, box: Any) -> None:
    visa.write_raw(b"X #15\n\r\n#2\nLEVEL 7\n")
    visa.write_raw(b"X #14\n\n\n\n")  # END right after the block: its last LF is data
    assert box.executed == [b"X #15\n\r\n#2", b"LEVEL 7", b"X #14\n\n\n\n"]


def test_a_box_without_blocks_ends_at_every_terminator(box: Any, clock: VirtualClock) -> None:
    box.takes_blocks = False
    library = InProcessLibrary(_World(), clock, {ADDRESS: box})
    with closing(pyvisa.ResourceManager(library)) as manager:
        manager.open_resource(ADDRESS).write_raw(b"print('a #19')\nprint(2)\n")
    assert box.executed == [b"print('a #19')", b"print(2)"]


def test_a_write_without_end_waits_for_its_end(visa: Any, box: Any) -> None:
    visa.send_end = False
    visa.write_raw(b"LEV")
    assert box.executed == []
    visa.send_end = True
    visa.write_raw(b"EL 5\n")
    assert box.level == b"5"


def test_a_new_message_discards_the_rest_of_a_reply(visa: Any) -> None:
    visa.write("ABCDEF?")
    visa.read_bytes(2)
    assert visa.query("COUNT?") == "2"


def test_device_clear_forgets_replies_and_leaves_the_level(visa: Any, box: Any) -> None:
    visa.write("LEVEL 3")
    visa.write("MEAS? 100")
    visa.clear()
    assert visa.query("LEVEL?") == "3"
    assert box.errors == []


def test_serial_poll_and_trigger(visa: Any, box: Any, clock: VirtualClock) -> None:
    assert visa.stb == 0
    visa.write("HELLO?")
    assert visa.stb & 0x10
    visa.read_bytes(2)
    assert visa.stb & 0x10, "half a reply is still a reply"
    before = clock.now()
    visa.assert_trigger()
    assert box.triggers == 1
    assert clock.now() > before


def test_wait_for_service_request(visa: Any, clock: VirtualClock) -> None:
    visa.write("SRQ 3.0")
    visa.wait_for_srq(10_000)
    assert clock.now() == pytest.approx(3.0, abs=0.05)


def test_service_request_that_never_comes(visa: Any) -> None:
    assert status_of(lambda: visa.wait_for_srq(1000)) == StatusCode.error_timeout


def test_attributes_are_checked(visa: Any) -> None:
    assert visa.primary_address == 9
    assert visa.resource_name == ADDRESS
    attribute = pyvisa.constants.ResourceAttribute
    set_attribute = visa.set_visa_attribute
    assert (
        status_of(lambda: set_attribute(attribute.resource_name, "x")) == StatusCode.error_attribute_read_only
    )
    assert (
        status_of(lambda: set_attribute(attribute.asrl_baud_rate, 300))
        == StatusCode.error_nonsupported_attribute
    )
    assert (
        status_of(lambda: set_attribute(attribute.timeout_value, -1))
        == StatusCode.error_nonsupported_attribute_state
    )


def test_locks_keep_other_sessions_out(visa: Any, library: InProcessLibrary) -> None:
    with pyvisa.ResourceManager(library).open_resource(ADDRESS) as other:
        with visa.lock_context():
            assert status_of(lambda: other.write("LEVEL 9")) == StatusCode.error_resource_locked
            assert status_of(lambda: other.lock(timeout=50)) == StatusCode.error_resource_locked
            assert visa.query("LEVEL?") == "0"
        other.write("LEVEL 9")
    assert visa.query("LEVEL?") == "9"
    assert status_of(visa.unlock) == StatusCode.error_session_not_locked


def test_closing_a_session_gives_its_locks_back(visa: Any, library: InProcessLibrary) -> None:
    other = pyvisa.ResourceManager(library).open_resource(ADDRESS)
    other.lock_excl()
    other.close()
    visa.write("LEVEL 1")


def test_opening_what_is_not_there(library: InProcessLibrary) -> None:
    with closing(pyvisa.ResourceManager(library)) as manager:
        assert (
            status_of(lambda: manager.open_resource("GPIB0::10::INSTR"))
            == StatusCode.error_resource_not_found
        )
        assert manager.list_resources() == (ADDRESS,)
    assert library.open_sessions == {}


def test_several_sessions_share_the_box(visa: Any, library: InProcessLibrary) -> None:
    with pyvisa.ResourceManager(library).open_resource(ADDRESS, read_termination="\n") as other:
        visa.write("LEVEL 4")
        assert other.query("LEVEL?") == "4"
        other.timeout = 10
        assert visa.timeout == 2000
        assert len(library.open_sessions) == 2
    assert len(library.open_sessions) == 1


def test_each_library_is_its_own_object(box: Any, clock: VirtualClock) -> None:
    one, two = (InProcessLibrary(_World(), clock, {ADDRESS: box}) for _ in range(2))
    assert one is not two
    assert one.library_path != two.library_path
    assert "unset" not in (one.library_path, two.library_path)


def test_pymeasure_adapters_live_side_by_side(library: InProcessLibrary) -> None:
    from pymeasure.adapters import VISAAdapter

    first, second = (VISAAdapter(ADDRESS, visa_library=library, read_termination="\n") for _ in range(2))
    first.write("LEVEL 6")
    first.close()
    del first
    gc.collect()
    second.write("LEVEL?")
    assert second.read() == "6"
    second.close()
    assert library.open_sessions == {}


def test_threads_on_wall_time_do_not_mix_their_replies(box: Any) -> None:
    other_box = type(box)()
    library = InProcessLibrary(
        _World(box, other_box), WallClock(speed=100.0), {ADDRESS: box, "GPIB0::10::INSTR": other_box}
    )
    wrong: list[str] = []

    def ask(address: str) -> None:
        with manager.open_resource(address, read_termination="\n") as resource:
            for number in range(100):
                text = f"{address}-{number}?"
                if resource.query(text) != text:
                    wrong.append(text)

    with closing(pyvisa.ResourceManager(library)) as manager:
        threads = [threading.Thread(target=ask, args=(name,)) for name in library.ports]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_the_lock_is_free_while_a_reader_waits(box: Any) -> None:
    library = InProcessLibrary(_World(box), WallClock(speed=10.0), {ADDRESS: box})
    with closing(pyvisa.ResourceManager(library)) as manager:
        slow = manager.open_resource(ADDRESS, read_termination="\n", timeout=60_000)
        slow.write("MEAS? 5")
        reader = threading.Thread(target=slow.read)
        reader.start()
        assert library.bench_lock.acquire(timeout=0.2), "a waiting reader holds the world's lock"
        library.bench_lock.release()
        with manager.open_resource(ADDRESS, read_termination="\n") as other:
            other.write("MEAS? 0")
        reader.join(5)
        assert not reader.is_alive()


class _World:
    """Passes the time on."""

    def __init__(self, *boxes: Any):
        self.boxes = boxes
        self.now = 0.0

    def advance(self, now: float) -> None:
        self.now = now
        for box in self.boxes:
            box.advance(now)

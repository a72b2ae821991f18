"""Broken links, over both transports: what the client sees, and what the box has done meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pyvisa
from pyvisa.constants import StatusCode

from sim_instruments.transports.in_process import InProcessLibrary
from sim_instruments.transports.tcp import TcpServer
from sim_instruments.world.clock import WallClock
from sim_instruments.world.faults import LinkFaults

ADDRESS = "GPIB0::9::INSTR"


class Link:
    """Opens connections to the box, whichever way."""

    def __init__(self, manager: Any, address: str, faults: LinkFaults, in_process: bool):
        self.manager = manager
        self.address = address
        self.faults = faults
        self.in_process = in_process

    def open(self) -> Any:
        return self.manager.open_resource(
            self.address, read_termination="\n", write_termination="\n", timeout=300
        )


@pytest.fixture(params=["in process", "tcp"])
def link(request: pytest.FixtureRequest, box: Any, clock: Any, one_box_world: Any) -> Iterator[Link]:
    in_process = request.param == "in process"
    library = InProcessLibrary(one_box_world, clock if in_process else WallClock(), {ADDRESS: box})
    port = library.port(ADDRESS)
    if in_process:
        manager = pyvisa.ResourceManager(library)
        yield Link(manager, ADDRESS, port.faults, True)
        manager.close()
        return
    with TcpServer({"box": port}) as server:
        manager = pyvisa.ResourceManager("@py")
        host, number = server.addresses["box"]
        yield Link(manager, f"TCPIP0::{host}::{number}::SOCKET", port.faults, False)
        manager.close()


def fails(action: Any) -> StatusCode:
    with pytest.raises(pyvisa.errors.VisaIOError) as caught:
        action()
    return caught.value.error_code


def lost(link: Link, action: Any) -> None:
    """A socket's client learns of a lost connection from the read, whatever its library calls it."""
    with pytest.raises((pyvisa.errors.VisaIOError, OSError)) as caught:
        action()
    if link.in_process:
        assert isinstance(caught.value, pyvisa.errors.VisaIOError)
        assert caught.value.error_code == StatusCode.error_connection_lost


def test_dropped_before_the_message(link: Link, box: Any) -> None:
    with link.open() as resource:
        resource.query("LEVEL?")
        link.faults.drop(2, "before")
        resource.write("LEVEL 1")
        lost(link, lambda: (resource.write("LEVEL 2"), resource.query("LEVEL?")))
        lost(link, lambda: resource.query("LEVEL?"))
    assert box.level == b"1"


def test_dropped_during_the_message(link: Link, box: Any) -> None:
    with link.open() as resource:
        link.faults.drop(1, "during")
        lost(link, lambda: (resource.write("LEVEL 2"), resource.read()))
    assert box.level == b"2"


def test_dropped_after_the_exchange(link: Link, box: Any) -> None:
    with link.open() as resource:
        resource.write("LEVEL 3")
        resource.query("LEVEL?")
        link.faults.drop(1, "after")
        assert resource.query("LEVEL?") == "3"
        lost(link, lambda: (resource.write("LEVEL 4"), resource.query("LEVEL?")))
    assert box.level == b"3"


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_the_box_goes_on_sourcing_and_can_be_reached_again(link: Link, box: Any, when: Any) -> None:
    with link.open() as resource:
        resource.write("LEVEL 5")
        resource.query("LEVEL?")
        link.faults.drop(1, when)
        try:
            resource.query("COUNT?")
            resource.query("COUNT?")
        except (pyvisa.errors.VisaIOError, OSError):
            pass
    assert box.level == b"5"
    with link.open() as again:
        assert again.query("LEVEL?") == "5"


def test_a_drop_ends_every_connection_of_the_box(link: Link) -> None:
    with link.open() as first, link.open() as second:
        second.query("LEVEL?")
        link.faults.drop()
        lost(link, lambda: first.query("LEVEL?"))
        lost(link, lambda: (second.query("LEVEL?"), second.query("LEVEL?")))


def test_a_link_that_stays_down_until_it_is_repaired(link: Link) -> None:
    with link.open() as resource:
        link.faults.drop(1, stays_down=True)
        lost(link, lambda: resource.query("LEVEL?"))
    with pytest.raises((pyvisa.errors.VisaIOError, OSError)), link.open() as again:
        again.query("LEVEL?")
    link.faults.repair()
    with link.open() as again:
        assert again.query("LEVEL?") == "0"


def test_a_hung_box_takes_messages_and_does_nothing(link: Link, box: Any) -> None:
    with link.open() as resource:
        link.faults.hang(2)
        assert resource.query("LEVEL?") == "0"
        resource.write("LEVEL 8")
        assert fails(lambda: resource.query("LEVEL?")) == StatusCode.error_timeout
        assert box.level == b"0"
        assert box.errors == []
        link.faults.repair()
        assert resource.query("LEVEL?") == "0"


def test_a_hung_box_does_not_react_to_the_bus_either(
    library: InProcessLibrary, visa: Any, clock: Any
) -> None:
    visa.timeout = 400
    library.link_faults(ADDRESS).hang()
    visa.write("LEVEL 1")
    before = clock.now()
    assert fails(visa.clear) == StatusCode.error_timeout
    assert fails(lambda: visa.stb) == StatusCode.error_timeout
    assert fails(visa.assert_trigger) == StatusCode.error_timeout
    assert clock.now() - before == pytest.approx(3 * 0.4, abs=0.05)


def test_a_late_reply_arrives_at_the_next_query(link: Link, box: Any) -> None:
    with link.open() as resource:
        link.faults.late_reply(2)
        assert resource.query("A?") == "A?"
        assert fails(lambda: resource.query("B?")) == StatusCode.error_timeout
        assert resource.query("C?") == "B?"
        assert resource.query("D?") == "C?", "one behind until somebody clears up"
        assert resource.read() == "D?"
        assert resource.query("E?") == "E?"
    assert box.errors == [], "the box has answered every query in time"


def test_a_half_open_connection_takes_everything_and_gives_nothing(link: Link, box: Any) -> None:
    with link.open() as resource:
        resource.write("LEVEL 6")
        assert resource.query("LEVEL?") == "6"
        link.faults.half_open(2)
        assert resource.query("LEVEL?") == "6"
        resource.write("LEVEL 7")  # it seems to arrive
        for _ in range(2):
            assert fails(lambda: resource.query("LEVEL?")) == StatusCode.error_timeout
        with link.open() as again:
            assert again.query("LEVEL?") == "6"  # the box sources on, and a new connection is good
            again.write("LEVEL 0")
            assert again.query("LEVEL?") == "0"
        assert fails(lambda: resource.query("LEVEL?")) == StatusCode.error_timeout
    assert box.errors == []


def test_device_clear_ends_the_lag(library: InProcessLibrary, visa: Any) -> None:
    library.link_faults(ADDRESS).late_reply()
    visa.timeout = 100
    assert fails(lambda: visa.query("A?")) == StatusCode.error_timeout
    visa.clear()
    assert visa.query("B?") == "B?"


def test_arming_checks_its_arguments() -> None:
    faults = LinkFaults()
    with pytest.raises(ValueError, match="counted from 1"):
        faults.hang(0)
    with pytest.raises(ValueError, match="before, during or after"):
        faults.drop(1, "later")  # type: ignore[arg-type]

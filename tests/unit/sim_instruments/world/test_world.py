"""Circuits, relays, fields and time of a whole world."""

import numpy as np
import pytest

from sim_instruments.world import Level, PulseTrain
from sim_instruments.world.plain import from_bytes, to_bytes

ON = Level(1e-3, 10.0, True)
OFF = Level(0.0, 10.0, False)


def train(levels, start=0.0, width=1e-4, gap=1e-4, limit=40.0, base=0.0):
    count = len(levels)
    begin = start + np.arange(count) * (width + gap)
    return PulseTrain(np.asarray(levels, float), begin, np.full(count, width), base, limit)


def test_a_current_flows_through_line_and_contacts(world):
    w = world()
    w.close_relay("mux.1!1")
    w.set_level("smu.a", ON)
    voltage, current, compliance = w.source_state("smu.a")
    assert (current, compliance) == (1e-3, False)
    assert voltage == pytest.approx(1e-3 * (1000 + w.devices["d1"].drawn.r_contact_ohm))
    assert w.sense("smu.a") == voltage


def test_compliance_limits_the_real_current(world):
    w = world()
    w.close_relay("mux.1!1")
    w.set_level("smu.a", Level(-20e-3, 2.0, True))
    voltage, current, compliance = w.source_state("smu.a")
    ohm = 1000 + w.devices["d1"].drawn.r_contact_ohm
    assert (voltage, compliance) == (-2.0, True) and current == pytest.approx(-2.0 / ohm)
    w.set_level("smu.a", OFF)
    w.advance(1.0)
    trace = w.play("smu.a", train([20e-3, 1e-3], limit=2.0))
    np.testing.assert_allclose(trace.current_a, [2.0 / ohm, 1e-3])
    np.testing.assert_array_equal(trace.compliance, [True, False])
    assert w.truth["d1"].wear.worst_a == pytest.approx(2.0 / ohm)


def test_an_open_line_rails_to_compliance(world):
    w = world(open_contacts=["d1.current"])
    for relays in ((), ("mux.1!1",)):
        for relay in relays:
            w.set_level("smu.a", OFF)
            w.close_relay(relay)
        w.set_level("smu.a", ON)
        assert w.source_state("smu.a") == (10.0, 0.0, True)
        trace = w.play("smu.a", train([-1e-3, 0.0], start=-1.0, limit=5.0))
        np.testing.assert_array_equal(trace.voltage_v, [-5.0, 0.0])
        np.testing.assert_array_equal(trace.current_a, [0.0, 0.0])
        np.testing.assert_array_equal(trace.compliance, [True, False])
    assert w.truth["d1"].wear.energy_j == 0


def test_a_dead_device_is_an_open_line(world):
    w = world(dead=["d1"])
    w.close_relay("mux.1!1")
    w.set_level("smu.a", ON)
    assert w.source_state("smu.a") == (10.0, 0.0, True)


def test_a_device_that_dies_opens_the_line_in_the_middle_of_a_train(world):
    w = world()
    w.close_relay("mux.1!1")
    w.close_relay("mux.1!11")
    w.advance(10.0)
    trace = w.play("smu.a", train([22e-3] * 400, limit=100.0))
    died = int(np.argmax(trace.current_a == 0.0))
    assert 0 < died < 400
    assert (trace.current_a[:died] == 22e-3).all() and (trace.current_a[died:] == 0).all()
    assert (trace.voltage_v[died:] == 100.0).all() and trace.compliance[died:].all()
    assert w.truth["d1"].dead and np.abs(trace.sensed_v("smu.b")[died:]).max() < 1e-4
    after = trace.played["d1"].level[died:]
    assert (after == after[0]).all() and abs(after[0]) <= 1  # a dead bar stays as it was


def test_a_voltage_source_has_a_current_limit(world):
    w = world()
    w.close_relay("mux.1!1")
    ohm = 1000 + w.devices["d1"].drawn.r_contact_ohm
    w.set_level("smu.a", Level(1.0, 0.1, True, voltage_mode=True))
    assert w.source_state("smu.a")[1:] == (pytest.approx(1 / ohm), False)
    w.set_level("smu.a", Level(1.0, 1e-4, True, voltage_mode=True))
    voltage, current, limited = w.source_state("smu.a")
    assert (current, limited) == (1e-4, True) and voltage == pytest.approx(1e-4 * ohm)


def test_an_open_output_relay_passes_nothing(world):
    w = world()
    w.close_relay("mux.1!1")
    w.set_level("smu.a", Level(1e-3, 10.0, False))
    assert w.source_state("smu.a") == (0.0, 0.0, False)


def test_two_devices_in_parallel_divide_the_current(world):
    w = world()
    w.close_relay("mux.1!1")
    w.close_relay("mux.2!2")
    w.advance(1.0)
    w.play("smu.a", train([4e-3]))
    shares = [w.truth[name].wear.worst_a for name in ("d1", "d2")]
    ohms = [1000 + w.devices[name].drawn.r_contact_ohm for name in ("d1", "d2")]
    assert sum(shares) == pytest.approx(4e-3)
    assert shares[0] * ohms[0] == pytest.approx(shares[1] * ohms[1])


def test_the_hall_arms_tell_the_state(world):
    w = world()
    for relay in ("mux.1!1", "mux.1!11"):
        w.close_relay(relay)
    i50 = float(w.truth["d1"].i50_a(1e-4))
    w.advance(1.0)
    seen = w.play("smu.a", train([-1.3 * i50, 1e-3, 1.4 * i50, 1e-3])).sensed_v("smu.b")
    assert seen[3] - seen[1] == pytest.approx(1e-3 * w.truth["d1"].r_ahe_ohm)
    assert w.truth["d1"].state == 1
    w.set_level("smu.a", ON)
    assert w.sense("smu.b") == pytest.approx(seen[3], abs=1e-9)
    base = w.play("smu.a", train([1.4 * i50, 1e-3], start=0.5, base=1e-3)).sensed_base_v("smu.b")
    assert base == pytest.approx([seen[3]] * 2, abs=1e-9)


def test_a_reader_on_nothing_reads_nothing(world):
    w = world()
    assert np.isnan(w.sense("smu.b")) and np.isnan(w.sense("nobody.ch1"))
    w.close_relay("mux.1!1")
    w.advance(1.0)
    assert np.isnan(w.play("smu.a", train([1e-3])).sensed_v("smu.b")).all()


def test_a_small_current_through_the_hall_arms_sees_their_resistance(world):
    w = world()
    w.close_relay("mux.1!11")
    seen = []
    for amps in (1e-6, -1e-6):
        w.set_level("smu.b", Level(amps, 1.0, True))
        seen.append(w.source_state("smu.b")[0])
    assert (seen[0] - seen[1]) / 2e-6 == pytest.approx(w.devices["d1"].drawn.r_arm_ohm)
    w.devices["d1"].open_ports.add("hall")
    assert w.source_state("smu.b") == (-1.0, 0.0, True)


def test_a_zero_current_source_on_the_arms_reads_the_hall_voltage(world):
    w = world()
    for relay in ("mux.1!1", "mux.1!11"):
        w.close_relay(relay)
    w.set_level("smu.b", Level(0.0, 1.0, True))
    w.set_level("smu.a", ON)
    voltage, current, compliance = w.source_state("smu.b")
    assert (current, compliance) == (0.0, False)
    assert voltage == w.sense("smu.b") != 0.0
    assert w.faults == []


def test_longitudinal_taps_see_the_sheet(world):
    w = world()
    for relay in ("mux.1!1", "mux.1!21"):
        w.close_relay(relay)
    w.set_level("smu.a", ON)
    assert w.sense("smu.b") == pytest.approx(1e-3 * 400 * 20 / 16)


def test_pads_may_lie_directly_on_a_terminal(world):
    w = world()
    w.set_level("other.direct", ON)
    assert w.source_state("other.direct")[1] == 1e-3
    assert w.sense("other.sense") != 0.0


def test_two_live_sources_on_one_line_are_a_fault(world):
    w = world()
    w.close_relay("mux.1!1")
    w.set_level("smu.a", ON)
    w.set_level("other.out", Level(0.0, 10.0, False))
    assert w.faults == []
    w.set_level("other.out", Level(0.0, 10.0, True))
    assert len(w.faults) == 1 and "two sources on one line: other.out and smu.a at d1 current" in w.faults[0]


def test_a_pulse_into_another_live_source_is_a_fault(world):
    w = world()
    w.close_relay("mux.1!1")
    w.set_level("other.out", Level(0.0, 10.0, True))
    w.set_level("smu.a", Level(0.0, 10.0, True))
    assert w.faults == []
    w.advance(1.0)
    w.play("smu.a", train([1e-3]))
    assert len(w.faults) == 1 and "two sources" in w.faults[0]


@pytest.mark.parametrize("close", [True, False])
def test_hot_switching_is_a_fault_and_cold_is_none(world, close):
    w = world()
    if not close:
        w.close_relay("mux.1!1")
    move = w.close_relay if close else w.open_relay
    w.set_level("smu.a", ON)
    move("mux.1!1")
    verb = "closed" if close else "opened"
    assert len(w.faults) == 1 and f"relay mux.1!1 {verb} while smu.a sources 0.001" in w.faults[0]
    w.set_level("smu.a", OFF)
    w.open_relay("mux.1!1")
    w.close_relay("mux.2!2")
    assert len(w.faults) == 1


def test_an_unknown_relay_is_refused(world):
    with pytest.raises(ValueError, match=r"no relay 'mux\.3!1'"):
        world().close_relay("mux.3!1")


def test_the_coil_lags_exponentially(world):
    w = world(coil={"tesla_per_ampere": 5e-3, "time_constant_s": 0.25})
    w.advance(1.0)
    w.set_coil("magnet.out", 8.0, 0.1)
    assert w.coil_a("magnet.out") == 0.0
    for age in (0.1, 0.25, 1.0):
        w.advance(1.0 + age)
        assert w.coil_a("magnet.out") == pytest.approx(8 * (1 - np.exp(-age / 0.25)))
        assert w.field_t("gaussmeter.probe") == pytest.approx(5e-3 * w.coil_a("magnet.out"))
    present = w.coil_a("magnet.out")
    w.set_coil("magnet.out", 0.0, 1.0)
    w.advance(3.0)
    assert w.coil_a("magnet.out") == pytest.approx(present * np.exp(-1.0))


def test_a_supply_without_a_coil_makes_no_field(world):
    w = world()
    w.set_coil("other.out", 8.0, 0.1)
    w.advance(10.0)
    assert w.coil_a("other.out") == 0.0 and w.field_t("gaussmeter.probe") == 0.0


def test_cables_can_be_asked_from_both_ends(world):
    w = world()
    assert w.wired("other.rs232") == "smu.rs232" and w.wired("smu.rs232") == "other.rs232"
    assert w.wired("smu.trigger") is None


def test_field_sweeps_switch_all_devices_without_being_looked_at(world):
    w = world()
    w.set_coil("magnet.out", 8.0, 0.1)
    w.advance(100.0)
    w.set_coil("magnet.out", 0.0, 0.1)
    assert [w.truth[name].state for name in ("d1", "d2", "d3")] == [1, 1, 1]


def test_how_often_time_advances_changes_nothing(world):
    seen = []
    for stops in (1, 40):
        w = world(setting="default")
        w.close_relay("mux.1!1")
        i50 = float(w.truth["d1"].i50_a(1e-4))
        levels = np.tile([-1.3 * i50, i50], 200)
        for number in range(3):
            for part in range(1, stops + 1):
                w.advance(number + part / stops)
            w.play("smu.a", train(levels, start=number, gap=3e-4))
        seen.append(to_bytes(w.snapshot()["devices"]["d1"]["state"]))
    assert seen[0] == seen[1]


def test_wrong_trains_are_refused(world):
    w = world()
    w.advance(1.0)
    with pytest.raises(ValueError, match="overlap"):
        w.play("smu.a", train([1e-3, 1e-3], gap=-5e-5))
    with pytest.raises(ValueError, match="after now"):
        w.play("smu.a", train([1e-3], start=1.0))
    with pytest.raises(ValueError, match="different lengths"):
        w.play("smu.a", PulseTrain(np.zeros(2), np.zeros(1), np.ones(1), 0.0, 1.0))
    assert len(w.play("smu.a", train([])).current_a) == 0


def test_streams_are_named_and_independent(world):
    w, same, other = world(seed=1), world(seed=1), world(seed=2)
    first = w.stream("smu.a noise").standard_normal(4)
    same.stream("nvm").standard_normal(100)
    np.testing.assert_array_equal(first, same.stream("smu.a noise").standard_normal(4))
    assert not np.array_equal(first, other.stream("smu.a noise").standard_normal(4))


def test_a_snapshot_goes_through_bytes_and_is_exact(world):
    def go(w, start):
        w.advance(start + 1)
        i50 = float(w.truth["d1"].i50_a(1e-4))
        trace = w.play("smu.a", train(np.tile([-1.3 * i50, i50, 1e-4], 300), start=start))
        return trace.sensed_v("smu.b") + w.stream("reader").standard_normal(900)

    w = world(setting="hard", seed=5)
    for relay in ("mux.1!1", "mux.1!11"):
        w.close_relay(relay)
    w.set_coil("magnet.out", 1.0, 0.1)
    w.set_level("smu.a", Level(0.0, 10.0, True))
    go(w, 0.0)
    kept = to_bytes(w.snapshot())
    after = go(w, 1.0)
    fresh = world(setting="hard", seed=5)
    for each in (w, fresh):
        each.restore(from_bytes(kept))
        assert to_bytes(each.snapshot()) == kept
        np.testing.assert_array_equal(go(each, 1.0), after)
        assert each.wiring.closed == ("mux.1!1", "mux.1!11")


def test_a_snapshot_of_another_bench_is_refused(world, tables):
    kept = world().snapshot()
    tables["devices"].pop("d3")
    with pytest.raises(ValueError, match="other devices"):
        world().restore(kept)


class Box:
    """The least instrument: it notes when it is advanced."""

    def __init__(self, name):
        self.name, self.times = name, []

    def advance(self, now):
        self.times.append(now)

    def snapshot(self):
        return {"times": list(self.times)}

    def restore(self, state):
        self.times = list(state["times"])


def test_instruments_advance_with_the_world(world):
    w, box = world(), Box("smu")
    w.add_instrument(box)
    w.advance(2.0)
    w.advance(1.0)
    assert box.times == [2.0, 2.0] and w.now == 2.0 and w.instrument("smu") is box
    with pytest.raises(ValueError, match="two instruments are called 'smu'"):
        w.add_instrument(Box("smu"))
    kept = w.snapshot()
    w.advance(3.0)
    w.restore(kept)
    assert w.instrument("smu").times == [2.0, 2.0]

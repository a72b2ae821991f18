"""The common part of the boxes: messages, answers in time, status, errors, snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from sim_instruments.scpi.instrument import (
    Block,
    Boolean,
    Later,
    Number,
    ScpiError,
    ScpiInstrument,
    Setting,
    Text,
    command,
    query,
)
from sim_instruments.world import plain
from sim_instruments.world.contracts import Link


class Room:
    """Only time passes here."""

    now = 0.0


class Oven(ScpiInstrument):
    """A box of the tests' own."""

    identity = "MAKER,OVEN,1,2"
    option_defaults: ClassVar[Mapping[str, Any]] = {"door": "left"}
    error_depth = 3
    longest_message = 120
    reset_time_s = 0.5
    memories = range(0, 2)
    state = ("text", "until_s")
    settings = (
        Setting("level", "SOURce:LEVel", Number(0, 10, 5.0), 1.0, "check"),
        Setting("on", "OUTPut[:STATe]", Boolean(), False),
        Setting("limit", "SOURce:LIMit", Number(0, 10), 10.0, kept=True),
        Setting("label", "LABel", Text(), ""),
    )

    def on_reset(self) -> None:
        self.text = b""
        self.until_s = self.world.now

    def check(self) -> None:
        if self.values["level"] > self.values["limit"]:
            raise ScpiError(-221)

    def operation_end_s(self) -> float:
        return self.until_s

    @command("HEAT")
    def heat(self) -> None:
        self.until_s = self.world.now + 2.0

    @query("MEASure")
    def measure(self) -> Later:
        return Later(self.world.now + 0.1, "measured")

    def measured(self) -> float:
        return float(self.values["level"])

    @command("DATA", Block())
    def take(self, content: bytes) -> None:
        self.text = content

    @query("DATA")
    def give(self) -> bytes:
        return self.text


def make(**options: Any) -> Oven:
    return Oven("oven", Room(), Link(b"\n", 5e-3, 1e6), options)  # type: ignore[arg-type]


def tell(box: ScpiInstrument, text: str | bytes) -> None:
    box.message(text if isinstance(text, bytes) else text.encode("latin-1"))


def ask(box: ScpiInstrument, text: str) -> str:
    tell(box, text)
    ready = box.reply_ready_s()
    assert ready is not None, text
    box.world.now = max(box.world.now, ready)
    reply = box.reply(box.world.now)
    assert reply is not None and reply.endswith(b"\n")
    return reply[:-1].decode("latin-1")


def errors(box: ScpiInstrument) -> list[int]:
    found = []
    while (code := int(ask(box, "SYST:ERR?").split(",")[0])) != 0:
        found.append(code)
    return found


def test_settings_are_set_and_returned() -> None:
    box = make()
    tell(box, "SOUR:LEV 2.5;:OUTP ON;:LAB 'a;b'")
    assert ask(box, "SOUR:LEV?;:OUTP?;:LAB?") == '2.500000E+00;1;"a;b"'
    assert ask(box, "SOUR:LEV? MIN;LEV? MAX;LEV? DEF") == "0.000000E+00;1.000000E+01;5.000000E+00"
    assert errors(box) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SOUR:LEVL 3", -113), ("SOUR:LEV 11", -222), ("SOUR:LEV", -109), ("SOUR:LEV 1,2", -108),
        ("SOUR:LEV x", -104),
        ("SOUR:LEV 3;;:NO?", -113), ("HEAT?", -113), ("MEAS", -113), ("*XYZ", -113), ("SOUR:LEV 3'", -151),
        ("LAB? 3", -108), ("*RCL 3", -222),
    ],
)  # fmt: skip
def test_refusals_have_their_code_and_change_nothing_else(text: str, code: int) -> None:
    box = make()
    tell(box, text)
    assert box.reply_ready_s() is None
    assert ask(box, "SOUR:LEV?") == ("3.000000E+00" if ";;" in text else "1.000000E+00")
    assert errors(box) == [code]


def test_a_command_error_ends_the_message_and_others_do_not() -> None:
    box = make()
    tell(box, "SOUR:LEV 99;LIM 8;LIMIT 7")
    assert ask(box, "SOUR:LIM?") == "7.000000E+00"
    tell(box, "SOUR:LIM 6;NO 1;LIM 5")
    assert ask(box, "SOUR:LIM?") == "6.000000E+00"
    assert errors(box) == [-222, -113]


def test_a_value_that_the_box_refuses_stays_as_it_was() -> None:
    box = make()
    tell(box, "SOUR:LIM 4;LEV 5")
    assert ask(box, "SOUR:LEV?") == "1.000000E+00"
    assert errors(box) == [-221]


def test_reset_leaves_what_is_kept_and_the_error_queue() -> None:
    box = make()
    tell(box, "SOUR:LIM 4;LEV 3;:OUTP ON;:NO")
    tell(box, "*RST")
    box.world.now += 1
    assert ask(box, "SOUR:LEV?;LIM?;:OUTP?") == "1.000000E+00;4.000000E+00;0"
    assert errors(box) == [-113]
    box.power_cycle()
    assert ask(box, "SOUR:LIM?") == "1.000000E+01"


def test_a_busy_box_answers_later() -> None:
    box = make()
    tell(box, "*RST;*IDN?")
    assert box.reply(0.49) is None
    assert box.reply(0.5) == b"MAKER,OVEN,1,2\n"


def test_an_answer_is_made_when_its_time_has_come() -> None:
    box = make()
    tell(box, "*IDN?;MEAS?")
    assert box.reply(0.0) is None and box.reply_ready_s() == pytest.approx(0.1)
    box.values["level"] = 7.0
    box.world.now = 0.1
    assert box.reply(0.1) == b"MAKER,OVEN,1,2;7.000000E+00\n"


def test_a_new_message_interrupts_an_answer() -> None:
    box = make()
    tell(box, "*IDN?")
    assert ask(box, "*ESR?") == str(128 | 4)
    assert errors(box) == [-410]


def test_reading_without_a_query_is_unterminated() -> None:
    box = make()
    box.unterminated()
    assert errors(box) == [-420]


def test_device_clear_forgets_the_answer_and_keeps_the_settings() -> None:
    box = make()
    tell(box, "SOUR:LEV 3;:MEAS?")
    box.device_clear()
    assert box.reply_ready_s() is None
    assert ask(box, "SOUR:LEV?") == "3.000000E+00"
    assert errors(box) == []


def test_the_queue_overflows_at_its_depth() -> None:
    box = make()
    for _ in range(5):
        tell(box, "NO")
    assert errors(box) == [-113, -113, -350]
    assert ask(box, "STAT:QUE?") == '0,"No error"'


def test_too_long_a_message() -> None:
    box = make()
    tell(box, "SOUR:LEV 2" + " " * 200)
    assert errors(box) == [-223]
    assert ask(box, "SOUR:LEV?") == "1.000000E+00"


def test_status_byte_and_event_register() -> None:
    box = make()
    assert ask(box, "*ESR?;*ESR?") == "128;0"
    tell(box, "*ESE 32;*SRE 36")
    tell(box, "NO")
    assert ask(box, "*STB?") == str(64 | 32 | 4)
    assert ask(box, "*ESR?;*STB?") == f"32;{64 | 4}"
    tell(box, "*CLS")
    assert ask(box, "*STB?;*ESE?;*SRE?") == "0;32;36"


def test_message_available() -> None:
    box = make()
    tell(box, "MEAS?")
    assert box.status_byte() & 16 == 0
    box.world.now = 0.1
    assert box.status_byte() & 16 == 16


def test_a_poll_takes_the_service_request_back() -> None:
    box = make()
    tell(box, "*SRE 4")
    tell(box, "NO")
    assert box.status_byte() == 64 | 4
    assert box.status_byte() == 4
    assert ask(box, "*STB?") == str(64 | 4)
    errors(box)
    tell(box, "NO")
    assert box.status_byte() == 64 | 4


@pytest.mark.parametrize(("name", "bit"), [("OPER", 128), ("MEAS", 1), ("QUES", 8)])
def test_registers_latch_rising_conditions(name: str, bit: int) -> None:
    box = make()
    register = {"OPER": box.operation, "MEAS": box.measurement, "QUES": box.questionable}[name]
    tell(box, f"STAT:{name}:ENAB 8")
    register.set(8 | 2)
    register.set(8, False)
    assert ask(box, f"*STB?;:STAT:{name}:COND?;ENAB?") == f"{bit};2;8"
    assert ask(box, f"STAT:{name}?;{name}:EVEN?") == "10;0"
    tell(box, "STAT:PRES")
    assert ask(box, f"STAT:{name}:ENAB?") == "0"


def test_operation_complete() -> None:
    box = make()
    tell(box, "*CLS;HEAT;*OPC")
    assert ask(box, "*ESR?") == "0"
    box.world.now = 2.0
    assert ask(box, "*ESR?") == "1"
    tell(box, "HEAT;*OPC?")
    assert box.reply_ready_s() == pytest.approx(4.0)
    assert box.reply(4.0) == b"1\n"
    box.world.now = 4.0
    tell(box, "HEAT;*WAI;:SOUR:LEV?")
    assert box.reply_ready_s() == pytest.approx(6.0)


def test_saved_settings_come_back() -> None:
    box = make()
    tell(box, "SOUR:LEV 3;*SAV 1;LEV 4;*RCL 1")
    assert ask(box, "SOUR:LEV?") == "3.000000E+00"


def test_blocks_go_in_and_out() -> None:
    box = make()
    tell(box, b"DATA #14;\n,\xff;:SOUR:LEV 2")
    assert ask(box, "DATA?") == ";\n,\xff"
    assert ask(box, "SOUR:LEV?") == "2.000000E+00"


def test_a_snapshot_holds_everything() -> None:
    box = make()
    tell(box, "SOUR:LEV 3;LIM 6;:DATA #11x;*SAV 0;*ESE 32;*SRE 4;:STAT:OPER:ENAB 4;:HEAT;*OPC")
    tell(box, "NO")
    box.operation.set(4)
    tell(box, "*IDN?;MEAS?")
    state = plain.from_bytes(plain.to_bytes(box.snapshot()))
    other = make()
    other.restore(state)
    for each in (box, other):
        each.world.now = 0.1
    assert other.reply(0.1) == box.reply(0.1) == b"MAKER,OVEN,1,2;3.000000E+00\n"
    question = "SOUR:LEV?;LIM?;:DATA?;*ESE?;*SRE?;*STB?;:STAT:OPER?;:SYST:ERR?;*ESR?"
    assert ask(other, question) == ask(box, question)
    assert plain.to_bytes(other.snapshot()) == plain.to_bytes(box.snapshot())


def test_an_unknown_option_is_refused() -> None:
    assert make(door="right").options["door"] == "right"
    with pytest.raises(ValueError, match="unknown option 'colour'; it takes: door"):
        make(colour="red")


def test_a_setting_needs_its_method() -> None:
    with pytest.raises(AttributeError, match="has no method gone"):
        type(
            "Broken",
            (Oven,),
            {"settings": (Setting("x", "X", Boolean(), False, "gone"),)},
        )


def test_a_trigger_that_nobody_waits_for() -> None:
    box = make()
    tell(box, "*TRG")
    assert errors(box) == [-211]

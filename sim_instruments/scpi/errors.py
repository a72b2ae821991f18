"""SCPI error codes with their standard texts."""

from __future__ import annotations

TEXTS = {
    0: "No error",
    -101: "Invalid character",
    -102: "Syntax error",
    -103: "Invalid separator",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -110: "Command header error",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -120: "Numeric data error",
    -121: "Invalid character in number",
    -131: "Invalid suffix",
    -138: "Suffix not allowed",
    -140: "Character data error",
    -151: "Invalid string data",
    -161: "Invalid block data",
    -170: "Expression error",
    -200: "Execution error",
    -211: "Trigger ignored",
    -213: "Init ignored",
    -220: "Parameter error",
    -221: "Settings conflict",
    -222: "Parameter data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -225: "Out of memory",
    -226: "Lists not same length",
    -230: "Data corrupt or stale",
    -241: "Hardware missing",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
}

# Bits of the standard event register
OPC, QYE, DDE, EXE, CME, PON = 1, 4, 8, 16, 32, 128


class ScpiError(Exception):
    """A command is refused; `code` and `text` go to the instrument's error queue."""

    def __init__(self, code: int, text: str = ""):
        self.code = code
        self.text = text or TEXTS.get(code, "Device error")
        super().__init__(f"{code}, {self.text}")


def event_bit(code: int) -> int:
    """The standard event register bit that an error code sets (IEEE 488.2)."""
    if -200 < code <= -100:
        return CME
    if -300 < code <= -200:
        return EXE
    if -500 < code <= -400:
        return QYE
    return DDE

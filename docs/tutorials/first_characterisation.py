"""First steps from Python: characterise two devices of the embedded bench, then look at what was measured.

Run it from anywhere:  python docs/tutorials/first_characterisation.py [OUT_DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

import hilab


def main(out: Path) -> None:
    """Contacts first, then the switching curve of a narrow and a wide device."""
    devices = ["w2_d1", "w16_d1"]
    with hilab.open_bench("sot_fast", seed=1) as bench:  # safe on leaving, whatever happens
        contacts = hilab.run("contact_check", bench, {"devices": devices}, out=out)
        print("contacts:", contacts.results)

        run = hilab.run("switching_probability", bench, {"devices": devices, "trials": 40}, out=out)

    print(run.status, run.path.name)
    again = hilab.load_run(run.path)  # the file is all one needs later
    switching = again.streams["switching"]
    for device in devices:
        mine = switching["device"] == device.encode()
        amplitudes_a, measured = switching["amplitude_a"][mine], switching["p_switch"][mine]
        for amplitude_a, p_switch in zip(amplitudes_a, measured, strict=True):
            print(f"{device}  {amplitude_a * 1e3:7.4f} mA  {p_switch:5.2f}  {'#' * round(40 * p_switch)}")
        fit = again.results["devices"][device]
        print(f"{device}  I50 = {fit['i50_a'] * 1e3:.4f} +- {fit['i50_error_a'] * 1e3:.4f} mA\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))

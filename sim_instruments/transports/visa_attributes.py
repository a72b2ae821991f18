"""VISA attributes of a simulated resource, by kind of interface, with the specification's defaults."""

from __future__ import annotations

from typing import Any

from pyvisa import constants, rname
from pyvisa.constants import InterfaceType
from pyvisa.constants import ResourceAttribute as Attribute

READ_ONLY = frozenset(
    {
        Attribute.resource_name,
        Attribute.resource_class,
        Attribute.interface_type,
        Attribute.interface_number,
        Attribute.resource_manager_session,
        Attribute.resource_manufacturer_name,
        Attribute.resource_impl_version,
        Attribute.resource_spec_version,
        Attribute.resource_lock_state,
        Attribute.gpib_primary_address,
        Attribute.gpib_secondary_address,
        Attribute.tcpip_address,
        Attribute.tcpip_hostname,
        Attribute.tcpip_port,
        Attribute.tcpip_device_name,
        Attribute.asrl_avalaible_number,
    }
)


def defaults(parsed: rname.ResourceName, manager: int) -> dict[Attribute, Any]:
    """The attributes of a fresh session on this resource."""
    attributes: dict[Attribute, Any] = {
        Attribute.resource_name: str(parsed),
        Attribute.resource_class: parsed.resource_class,
        Attribute.interface_type: parsed.interface_type_const,
        Attribute.interface_number: int(getattr(parsed, "board", 0) or 0),
        Attribute.resource_manager_session: manager,
        Attribute.resource_manufacturer_name: "simulated",
        Attribute.resource_impl_version: 0x00100000,
        Attribute.resource_spec_version: 0x00700200,
        Attribute.resource_lock_state: constants.AccessModes.no_lock,
        Attribute.timeout_value: 2000,
        Attribute.termchar: 0x0A,
        Attribute.termchar_enabled: False,
        Attribute.send_end_enabled: True,
        Attribute.suppress_end_enabled: False,
        Attribute.io_prot: constants.IOProtocol.normal,
        Attribute.dma_allow_enabled: False,
        Attribute.user_data: 0,
    }
    match parsed.interface_type_const:
        case InterfaceType.gpib:
            attributes |= {
                Attribute.gpib_primary_address: int(getattr(parsed, "primary_address", 0)),
                Attribute.gpib_secondary_address: constants.VI_NO_SEC_ADDR,
                Attribute.gpib_readdress_enabled: True,
                Attribute.gpib_unadress_enable: False,
                Attribute.gpib_ren_state: constants.LineState.asserted,
            }
        case InterfaceType.tcpip:
            attributes |= {
                Attribute.tcpip_address: getattr(parsed, "host_address", ""),
                Attribute.tcpip_hostname: getattr(parsed, "host_address", ""),
                Attribute.tcpip_device_name: getattr(parsed, "lan_device_name", ""),
                Attribute.tcpip_port: int(getattr(parsed, "port", 0) or 0),
                Attribute.tcpip_nodelay: True,
                Attribute.tcpip_keepalive: False,
            }
        case InterfaceType.asrl:
            attributes |= {
                Attribute.asrl_baud_rate: 9600,
                Attribute.asrl_data_bits: 8,
                Attribute.asrl_stop_bits: constants.StopBits.one,
                Attribute.asrl_parity: constants.Parity.none,
                Attribute.asrl_flow_control: constants.ControlFlow.none,
                Attribute.asrl_end_in: constants.SerialTermination.termination_char,
                Attribute.asrl_end_out: constants.SerialTermination.none,
                Attribute.asrl_avalaible_number: 0,
            }
        case _:
            pass
    return attributes


def acceptable(attribute: Attribute, value: Any) -> bool:
    """False for a state that the attribute cannot take."""
    if attribute == Attribute.timeout_value:
        return isinstance(value, int) and 0 <= value <= constants.VI_TMO_INFINITE
    if attribute == Attribute.termchar:
        return isinstance(value, int) and 0 <= value <= 0xFF
    return True

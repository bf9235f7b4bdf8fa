"""The cluster's network: a namespace without an uplink, so that no packet of a cluster can leave the machine."""

from __future__ import annotations

import json
from typing import Final

from feedplane_cluster.commands import run
from feedplane_cluster.layout import NODE_IP, NODE_PREFIX, POD_CIDR, Layout
from feedplane_cluster.machine import Machine

_COMMANDS: Final = f"""\
link add node0 type veth peer name node0p
addr add {NODE_IP}/{NODE_PREFIX} dev node0
link set node0 up
link set node0p up
route add default dev node0
"""
_SYSCTLS: Final = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}


def set_up(machine: Machine) -> None:
    """Give the namespace its node address (a pair of virtual interfaces with both ends inside) and let it route."""
    run(machine.inside(["ip", "-batch", "-"]), input_text=_COMMANDS)
    for key, value in _SYSCTLS.items():
        script = f'test ! -e /proc/sys/{key} || echo {value} > "/proc/sys/{key}"'
        run(machine.inside(["sh", "-c", script]))


def cni_config(layout: Layout) -> str:
    """How pods get their interface: a bridge with addresses kept on disk."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(layout.running / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}, indent=1)

# SPDX-License-Identifier: MIT
"""QEMU's command line, in pieces: every function returns arguments and does nothing else.

``{NAME}`` stands for what is known only when a process starts: a descriptor, or
a path as that process sees it (see vnpu.machine.process).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from vnpu import target
from vnpu.guest.protocol import PORT_NAME
from vnpu.machine.config import MachineConfig

#: what QEMU's process is called
PROCESS = "qemu-system-x86"
#: id of the device that rewind() makes
REWIND = "rewind"

#: A plain model with what catches drivers that touch user memory directly.
#: "max" makes the guest pick code paths that are slow to emulate.
TCG_CPU = "qemu64,+smap,+smep,+rdrand,+ssse3,+sse4.1,+sse4.2,+popcnt"

#: room for translated code, in MiB: several times what a session of tests touches
_TCG_ROOM = 256

#: "panic at an oops, leave at a panic" ends a test at once instead of at its deadline
_KERNEL_WORDS = (
    "console=ttyS0",
    "panic=-1",
    "oops=panic",
    # An NMI from outside has a guest that hangs say where it is.
    "unknown_nmi_panic",
    # Emulated timers pass no calibration; these say not to try.
    "tsc=reliable",
    "no_timer_check",
    # The guest trusts itself.
    "mitigations=off",
    "random.trust_cpu=on",
    "cryptomgr.notests",
    # Self-tests of random numbers and keys, and what nobody here has or asks for.
    "initcall_blacklist=jent_mod_init,crypto_kdf108_init,bpf_tcp_ca_kfunc_init,"
    "trace_eval_init,load_system_certificate_list,init_encrypted,"
    "cmos_init,agp_intel_init,i8042_init",
    "ipv6.disable=1",
    "lsm=",
    "audit=0",
    # A driver that forgets to clear memory must not be helped.
    "init_on_alloc=0",
    # Whoever waits for a grace period, at each unloading for one, makes every test wait.
    "rcupdate.rcu_expedited=1",
    # The same for who is called back after one: the end of one is looked for at each tick.
    "rcutree.jiffies_till_first_fqs=0",
    "rcutree.jiffies_till_next_fqs=1",
    # Nobody asks how long tasks wait, which is counted at each switch between two.
    "psi=0",
    # What runs often without need is translated anew after every restore. A
    # stuck processor still shows as an RCU stall.
    "nowatchdog",
)
#: it doubles the time of everything on a kernel that has it, and tells only who asks it
_NO_KMEMLEAK = "kmemleak=off"
#: on the command line of a machine whose allocations are followed
KMEMLEAK = "kmemleak=on"
#: else the allocator keeps arrays of pointers to objects that it has given out, which
#: kmemleak takes for references
_KMEMLEAK_NEEDS = "slab_debug=U"
#: until the agent turns it up, only warnings and worse: the serial line is slow to boot over
_QUIET = "loglevel=5"


class Backing(Enum):
    """Where memory lies: in files, in private copies of files, nowhere."""

    TEMPLATE = "share=on"
    CLONE = "share=off,readonly=on,rom=off"
    NONE = ""


def memory(name: str, size: int, backing: Backing) -> list[str]:
    """A memory backend: a file in ``{memory}`` (which a snapshot leaves in place) or anonymous."""
    if backing is Backing.NONE:
        return ["-object", f"memory-backend-ram,id={name},size={size}"]
    place = f"mem-path={{memory}}/{name},{backing.value}"
    return ["-object", f"memory-backend-file,id={name},size={size},{place}"]


def device_memory(config: MachineConfig, backing: Backing) -> list[str]:
    """The backends of the tested device's own memory."""
    sizes = target.current().backends(config)
    return [word for name, size in sizes.items() for word in memory(name, size, backing)]


def machine(config: MachineConfig, kvm: bool) -> list[str]:
    """Board, processor and memory size."""
    words = ["-machine", "q35,memory-backend=ram,usb=off,smbus=off,vmport=off"]
    if config.iommu and kvm:
        words[-1] += ",kernel-irqchip=split"
    words += ["-accel", "kvm" if kvm else f"tcg,thread=multi,tb-size={_TCG_ROOM}"]
    words += ["-cpu", "host" if kvm else TCG_CPU]
    words += ["-smp", str(config.smp), "-m", f"{config.memory}B"]
    return words


def bare(firmware: int) -> list[str]:
    """No default devices, no window, and an end instead of a reboot."""
    words = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-name", f"guest,process={PROCESS},debug-threads=on"]
    for number in range(firmware):
        words += ["-L", f"{{firmware{number}}}"]
    return words


def firmware_files(firmware: Sequence[Path]) -> dict[str, Path]:
    """The directories that the arguments of ``bare`` name."""
    return {f"firmware{number}": path for number, path in enumerate(firmware)}


def iommu(config: MachineConfig) -> list[str]:
    """Must come before the devices that it is for."""
    return ["-device", "intel-iommu,intremap=on"] if config.iommu else []


def serial_file() -> list[str]:
    """The guest's console, kept in a file."""
    path = "{dir}/console.log"
    return ["-chardev", f"file,id=console,path={path},append=on", "-serial", "chardev:console"]


def serial_terminal() -> list[str]:
    """Console and monitor on this terminal: Ctrl-A C switches between them, Ctrl-A X ends."""
    return [
        "-chardev",
        "stdio,id=console,mux=on,signal=off",
        "-serial",
        "chardev:console",
        "-mon",
        "chardev=console",
    ]


def agent() -> list[str]:
    """The agent's port on a connected socket. Two ports, because thirty-one take time to set up."""
    return [
        "-chardev",
        "socket,id=agent,fd={agent}",
        "-device",
        "virtio-serial-pci,id=serial0,max_ports=2",
        "-device",
        f"virtserialport,bus=serial0.0,nr=1,chardev=agent,name={PORT_NAME}",
    ]


def monitor() -> list[str]:
    """QMP on a connected socket."""
    return ["-chardev", "socket,id=qmp,fd={monitor}", "-mon", "chardev=qmp,mode=control"]


def rewind() -> list[str]:
    """What takes the machine back to a saved state; see vm-rewind.c among QEMU's devices."""
    return ["-device", f"vm-rewind,id={REWIND}"]


def kernel(config: MachineConfig, words: Sequence[str] = ()) -> list[str]:
    """The kernel, its initramfs and its command line."""
    line = [*_KERNEL_WORDS, *words]
    if config.iommu:
        line += ["intel_iommu=on"]
    line += [_KMEMLEAK_NEEDS if KMEMLEAK in config.append else _NO_KMEMLEAK]
    if config.append:
        line += [config.append]
    return ["-kernel", "{kernel}", "-initrd", "{initramfs}", "-append", " ".join(line)]


def guest(config: MachineConfig, firmware: int, backing: Backing, kvm: bool = False) -> list[str]:
    """A guest for tests: memory in files, console in a file, agent and QMP on sockets."""
    return [
        *bare(firmware),
        *machine(config, kvm),
        *memory("ram", config.memory, backing),
        *device_memory(config, backing),
        *iommu(config),
        *serial_file(),
        *agent(),
        *monitor(),
        *rewind(),
        *target.current().devices(config),
        # A clone has its kernel in its memory.
        *([] if backing is Backing.CLONE else kernel(config, [_QUIET])),
        *config.extra,
    ]


def interactive(config: MachineConfig, firmware: int, kvm: bool = False) -> list[str]:
    """A guest for a person: a shell on this terminal."""
    return [
        *bare(firmware),
        *machine(config, kvm),
        *memory("ram", config.memory, Backing.NONE),
        *device_memory(config, Backing.NONE),
        *iommu(config),
        *serial_terminal(),
        *target.current().devices(config),
        *kernel(config, ["vnpu.shell"]),
        *config.extra,
    ]


def incoming() -> list[str]:
    """Wait for a state to be loaded."""
    return ["-incoming", "defer"]

# SPDX-License-Identifier: MIT
"""QEMU's command line, in pieces: every function returns arguments and does nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from vnpu.guest.protocol import PORT_NAME
from vnpu.machine.config import MachineConfig
from vnpu.machine.images import Images

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
    """Where memory lies."""

    TEMPLATE = "share=on"
    CLONE = "share=off,readonly=on,rom=off"


def memory(name: str, size: int, directory: Path | None, backing: Backing) -> list[str]:
    """A memory backend: a file in ``directory`` (which a snapshot leaves in place) or anonymous."""
    if directory is None:
        return ["-object", f"memory-backend-ram,id={name},size={size}"]
    path = directory / name
    return ["-object", f"memory-backend-file,id={name},size={size},mem-path={path},{backing.value}"]


def machine(config: MachineConfig, kvm: bool) -> list[str]:
    """Board, processor and memory size."""
    words = ["-machine", "q35,memory-backend=ram,usb=off,smbus=off,vmport=off"]
    if config.iommu and kvm:
        words[-1] += ",kernel-irqchip=split"
    words += ["-accel", "kvm" if kvm else f"tcg,thread=multi,tb-size={_TCG_ROOM}"]
    words += ["-cpu", "host" if kvm else TCG_CPU]
    words += ["-smp", str(config.smp), "-m", f"{config.memory}B"]
    return words


def bare(firmware: Sequence[Path]) -> list[str]:
    """No default devices, no window, and an end instead of a reboot."""
    words = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-name", "guest,debug-threads=on"]
    for path in firmware:
        words += ["-L", str(path)]
    return words


def iommu(config: MachineConfig) -> list[str]:
    """Must come before the devices that it is for."""
    return ["-device", "intel-iommu,intremap=on"] if config.iommu else []


def npu(config: MachineConfig) -> list[str]:
    """The device under its own root port, so that it can be unplugged."""
    if not config.npu:
        return []
    device = f"vnpu,id=npu0,bus=rp0,memdev=vram,aperture={config.aperture},queues={config.queues}"
    if config.device:
        device += f",{config.device}"
    return ["-device", "pcie-root-port,id=rp0,bus=pcie.0,chassis=1", "-device", device]


def serial_file(path: Path) -> list[str]:
    """The guest's console, kept in a file."""
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


def agent(fd: int) -> list[str]:
    """The agent's port on a connected socket. Two ports, because thirty-one take time to set up."""
    return [
        "-chardev",
        f"socket,id=agent,fd={fd}",
        "-device",
        "virtio-serial-pci,id=serial0,max_ports=2",
        "-device",
        f"virtserialport,bus=serial0.0,nr=1,chardev=agent,name={PORT_NAME}",
    ]


def monitor(fd: int) -> list[str]:
    """QMP on a connected socket."""
    return ["-chardev", f"socket,id=qmp,fd={fd}", "-mon", "chardev=qmp,mode=control"]


def rewind() -> list[str]:
    """What takes the machine back to a saved state; see qemu-device/rewind/vm-rewind.c."""
    return ["-device", f"vm-rewind,id={REWIND}"]


def kernel(images: Images, config: MachineConfig, words: Sequence[str] = ()) -> list[str]:
    """The kernel, its initramfs and its command line."""
    line = [*_KERNEL_WORDS, *words]
    if config.iommu:
        line += ["intel_iommu=on"]
    line += [_KMEMLEAK_NEEDS if KMEMLEAK in config.append else _NO_KMEMLEAK]
    if config.append:
        line += [config.append]
    return [
        "-kernel",
        str(images.kernel),
        "-initrd",
        str(images.initramfs),
        "-append",
        " ".join(line),
    ]


def guest(
    images: Images,
    config: MachineConfig,
    *,
    directory: Path | None,
    backing: Backing,
    console: Path,
    agent_fd: int,
    qmp_fd: int,
    kvm: bool = False,
) -> list[str]:
    """A guest for tests: memory in ``directory``, console in a file, agent and QMP on sockets."""
    return [
        *bare(images.firmware),
        *machine(config, kvm),
        *memory("ram", config.memory, directory, backing),
        *(memory("vram", config.vram, directory, backing) if config.npu else []),
        *iommu(config),
        *serial_file(console),
        *agent(agent_fd),
        *monitor(qmp_fd),
        *rewind(),
        *npu(config),
        # A clone has its kernel in its memory.
        *(kernel(images, config, [_QUIET]) if backing is Backing.TEMPLATE else []),
        *config.extra,
    ]


def interactive(images: Images, config: MachineConfig, kvm: bool = False) -> list[str]:
    """A guest for a person: a shell on this terminal."""
    nowhere = Backing.TEMPLATE
    return [
        *bare(images.firmware),
        *machine(config, kvm),
        *memory("ram", config.memory, None, nowhere),
        *(memory("vram", config.vram, None, nowhere) if config.npu else []),
        *iommu(config),
        *serial_terminal(),
        *npu(config),
        *kernel(images, config, ["vnpu.shell"]),
        *config.extra,
    ]


def incoming() -> list[str]:
    """Wait for a state to be loaded."""
    return ["-incoming", "defer"]

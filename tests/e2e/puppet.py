# SPDX-License-Identifier: Apache-2.0
"""A running program that is made to try something: system calls put into its main thread, as somebody
would who has found a hole in it. Takes root, Linux, and x86-64.

    with Puppet(pid) as p:
        assert p.call("openat", -100, p.text("/etc/passwd"), 0) == -errno.EACCES
"""
import ctypes
import os
import platform
import signal
import struct

CALLS = {"socket": 41, "fork": 57, "execve": 59, "setuid": 105, "openat": 257, "close": 3, "getpid": 39}
SINGLESTEP, GETREGS, SETREGS, ATTACH, DETACH = 9, 12, 13, 16, 17
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss"
             " fs_base gs_base ds es fs gs").split()
LAYOUT = struct.Struct(f"{len(REGISTERS)}Q")
RED_ZONE, ROOM = 128, 4096  # bytes below the stack pointer

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Ended(Exception):
    """It did not survive that; args[0] is the signal."""


def possible():
    return os.geteuid() == 0 and platform.machine() == "x86_64"


class Puppet:
    def __init__(self, pid):
        self.pid, self.room = pid, ctypes.create_string_buffer(LAYOUT.size)

    def trace(self, what, data=None):
        if libc.ptrace(what, self.pid, None, data) == -1:
            raise OSError(ctypes.get_errno(), f"ptrace {what}")

    def stopped(self):
        _, status = os.waitpid(self.pid, 0x40000000)  # __WALL
        if not os.WIFSTOPPED(status):
            raise Ended(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
        return os.WSTOPSIG(status)

    def registers(self):
        self.trace(GETREGS, self.room)
        return dict(zip(REGISTERS, LAYOUT.unpack(self.room.raw)))

    def set_registers(self, values):
        self.room.raw = LAYOUT.pack(*(values[r] & (1 << 64) - 1 for r in REGISTERS))
        self.trace(SETREGS, self.room)

    def instruction(self):
        """Where the C library has a system call."""
        with open(f"/proc/{self.pid}/maps") as f:
            line = next(line for line in f if "r-xp" in line and "libc.so" in line)
        first, last = (int(n, 16) for n in line.split()[0].split("-"))
        with open(f"/proc/{self.pid}/mem", "rb") as f:
            f.seek(first)
            return first + f.read(last - first).index(b"\x0f\x05")

    def __enter__(self):
        self.trace(ATTACH)
        self.stopped()
        self.before, self.at = self.registers(), self.instruction()
        self.free = self.before["rsp"] - RED_ZONE - ROOM
        return self

    def __exit__(self, kind, *_):
        if kind is not Ended:
            self.set_registers(self.before)
            self.trace(DETACH)

    def text(self, text):
        """Its address."""
        data = text.encode() + b"\0"
        at, self.free = self.free, self.free + len(data)
        with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as f:
            f.seek(at)
            f.write(data)
        return at

    def call(self, name, *arguments):
        """What the kernel answers; -errno."""
        values = dict(self.before, rip=self.at, rax=CALLS[name], orig_rax=-1)
        values.update(zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments))
        self.set_registers(values)
        self.trace(SINGLESTEP)
        while self.stopped() != signal.SIGTRAP:
            self.trace(SINGLESTEP)
        got = self.registers()["rax"]
        return got - (1 << 64) if got >> 63 else got

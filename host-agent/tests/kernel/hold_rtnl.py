"""Holds the kernel's RTNL lock: hold_rtnl.py DEVICE SECONDS.

An ioctl of ethtool reads its argument under the lock. Of the argument only the first word is there, up to the end of its page;
the page behind it is kept away by userfaultfd, so that the kernel waits for it. It says "held" when it waits.
"""
import ctypes
import fcntl
import mmap
import os
import socket
import struct
import sys
import threading
import time

USERFAULTFD, UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 323, 0xC018AA3F, 0xC020AA00, 0xC020AA04
SIOCETHTOOL, ETHTOOL_GSTRINGS = 0x8946, 0x1B

device, seconds = sys.argv[1], float(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
faults = libc.syscall(USERFAULTFD, os.O_CLOEXEC)
if faults < 0:
    sys.exit(f"userfaultfd: {os.strerror(ctypes.get_errno())}")
page = mmap.PAGESIZE
area = mmap.mmap(-1, 2 * page)
missing = ctypes.addressof(ctypes.c_char.from_buffer(area)) + page
area[:page] = bytes(page)
area[page - 4 : page] = struct.pack("I", ETHTOOL_GSTRINGS)
fcntl.ioctl(faults, UFFDIO_API, bytearray(struct.pack("QQQ", 0xAA, 0, 0)))
fcntl.ioctl(faults, UFFDIO_REGISTER, bytearray(struct.pack("QQQQ", missing, page, 1, 0)))

control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
request = bytearray(struct.pack("16sQ16x", device.encode(), missing - 4))
asking = threading.Thread(
    target=lambda: libc.ioctl(control.fileno(), SIOCETHTOOL, (ctypes.c_char * len(request)).from_buffer(request))
)
asking.start()
os.read(faults, 32)
print("held", flush=True)
time.sleep(seconds)
fcntl.ioctl(faults, UFFDIO_ZEROPAGE, bytearray(struct.pack("QQQq", missing, page, 0, 0)))
asking.join()

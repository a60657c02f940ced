"""Sends frames and says where they came out, and pings without end.

  count FROM COUNT DST SRC VLAN OWN PORT...
        sends frames, and prints as JSON how many came by at each port. FROM is a device, or the socket of a guest's serial
        line (an absolute path). VLAN is "none" or a number. OWN is a source address that may send broadcasts: such a
        frame follows the others and must be seen at every port, so that nothing is waited for longer than it takes.
  ping ADDRESS PERIOD
        pings until SIGTERM, waits for what is still under way, and prints as JSON: sent, answered, the longest silence in
        seconds between two answers

A device "peer/NAME" is in that network namespace.
"""

import ctypes, json, os, select, signal, socket, struct, sys, time

ETHERTYPE = 0x88B5
# How long the last frame may take, and the last answer.
PATIENCE_S = 15
CLONE_NEWNET = 0x40000000
HOME = open("/proc/self/ns/net")
BROADCAST = "ff:ff:ff:ff:ff:ff"
MARK = b"last"


def enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), namespace.name)


def ear(place):
    """A socket at a device that sees all that passes; it stays in the device's namespace."""
    namespace, _, device = place.rpartition("/")
    if namespace:
        with open(f"/run/netns/{namespace}") as file:
            enter(file)
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    heard.bind((device, 3))
    if namespace:
        enter(HOME)
    return heard


def octets(mac):
    return bytes.fromhex(mac.replace(":", ""))


def frame(destination, source, vlan, payload=b""):
    tag = b"" if vlan == "none" else struct.pack("!HH", 0x8100, int(vlan))
    return (octets(destination) + octets(source) + tag + struct.pack("!H", ETHERTYPE) + payload).ljust(60, b"\0")


def sender(place):
    if place.startswith("/"):
        return lambda count, data: tell(place, f"send {count} {data.hex()}")
    device = ear(place)

    def send(count, data):
        for _ in range(count):
            device.send(data)

    return send


def tell(path, line):
    with socket.socket(socket.AF_UNIX) as guest:
        guest.settimeout(PATIENCE_S)
        guest.connect(path)
        guest.sendall(f"\n{line}\n".encode())
        if guest.makefile().readline() != "ok\n":
            sys.exit(f"{path}: {line}: not done")


def count(place, number, destination, source, vlan, own, *ports):
    ears = {ear(port): port for port in ports}
    send = sender(place)
    send(int(number), frame(destination, source, vlan))
    send(1, frame(BROADCAST, own, "none", MARK))
    head, seen, open_ears = octets(destination) + octets(source), dict.fromkeys(ports, 0), set(ears)
    until = time.monotonic() + PATIENCE_S
    while open_ears:
        ready = select.select(list(open_ears), [], [], max(0, until - time.monotonic()))[0]
        if not ready:
            sys.exit(f"the last frame did not come to {[ears[ear] for ear in open_ears]}: {seen}")
        for one in ready:
            data = one.recv(2048)
            # The kernel takes a tag away from what it hands up; a card that does not know tags leaves it.
            data = data[:12] + data[16:] if data[12:14] == b"\x81\x00" else data
            if data[12:14] != struct.pack("!H", ETHERTYPE):
                continue
            if data[14:18] == MARK:
                open_ears.discard(one)
            elif data[:12] == head:
                seen[ears[one]] += 1
    print(json.dumps(seen))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(address, period):
    asked, answered, last, gap, going = 0, set(), None, 0.0, [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    line = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    line.connect((address, 0))
    identity, due, until = os.getpid() & 0xFFFF, time.monotonic(), None
    while True:
        now = time.monotonic()
        if not going:
            until = until or now + PATIENCE_S
            if now > until or len(answered) == asked:
                break
        elif now >= due:
            echo = struct.pack("!BBHHH", 8, 0, 0, identity, asked & 0xFFFF)
            line.send(echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:])
            asked, due = asked + 1, due + float(period)
        if not select.select([line], [], [], max(0, min(due, until or due) - time.monotonic()) if going else 0.1)[0]:
            continue
        packet = line.recv(2048)
        kind, _, _, whose, sequence = struct.unpack_from("!BBHHH", packet, (packet[0] & 15) * 4)
        if (kind, whose) == (0, identity):
            answered.add(sequence)
            gap, last = max(gap, time.monotonic() - (last or time.monotonic())), time.monotonic()
    print(json.dumps({"sent": asked, "answered": len(answered), "silence": round(gap, 3)}))


VERBS = {"count": count, "ping": ping}
VERBS[sys.argv[1]](*sys.argv[2:])

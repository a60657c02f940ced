"""What must hold of a bridge's MAC table, and how long it does not.

  picture BRIDGE             prints the table and what ports learn and flood
  lose BRIDGE LIMIT COMMAND  runs a command that takes something away; prints after how many seconds all is as before
  managed BRIDGE MAC LIMIT COMMAND
                             runs a command; prints how many seconds after its end the MAC is a guest's in good order
  told LIMIT WATCH COMMAND PATTERN...
                             runs a command beside one that tells what changes; prints after how many seconds each pattern was told
  frame DEVICE SRC DST...    sends frames
  babble DEVICE SRC          sends a broadcast frame all the time
  amid SRC COMMAND           runs a command while the far end of the cable babbles
  passes TAP CASE...         sends frames as the guest and from the far end; fails unless those come through that are to. A case is
                             out|in,MAC,VLAN,yes|no: from that source, or to it; VLAN 0 is untagged
  deliver TAP=MAC...         sends frames from the far end of the cable; fails unless each reaches its tap, and no other
"""

import ctypes, fcntl, json, os, re, select, socket, struct, subprocess, sys, time

ETHERTYPE = 0x88B5
FRAMES = 3
# How long the far end goes on after a command.
BABBLE_S = 1
# How long frames may take.
PATIENCE_S = 5
FAR_END = "wire0"
# How often is looked, which takes processor time from those who are watched.
PERIOD_S = 0.05
ENTRIES = struct.pack("=IHHIIBBHiHBB", 28, 30, 0x301, 1, 0, 7, 0, 0, 0, 0, 0, 0)
# Links of bridges, with their VLANs in ranges.
VLANS = struct.pack("=IHHIIBBHiIIHHI", 40, 18, 0x301, 1, 0, 7, 0, 0, 0, 0, 0, 8, 29, 4)


def dump(request):
    """Yields each message of the kernel's answer."""
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    channel.send(request)
    while True:
        data = channel.recv(1 << 20)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind == 3:
                return
            yield data[:length]
            data = data[(length + 3) & ~3:]


def attributes(data):
    at = 0
    while at + 4 <= len(data):
        size, attribute = struct.unpack_from("=HH", data, at)
        yield attribute & 0x3FFF, data[at + 4:at + size]
        at += (size + 3) & ~3


def entries(bridge):
    """Yields each lasting entry of a bridge: MAC, VLAN, port, and whether it is the host's own."""
    index = socket.if_nametoindex(bridge)
    for message in dump(ENTRIES):
        _, _, _, port, state, _, _ = struct.unpack_from("=BBHiHBB", message, 16)
        told = dict(attributes(message[28:]))
        if 9 in told and struct.unpack("=I", told[9])[0] == index and state & 0xC0:
            vlan = struct.unpack("=H", told[5])[0] if 5 in told else None
            yield told[2].hex(":"), vlan, port, bool(state & 0x80)


def vlans():
    """Yields the VLANs of each port of each bridge, as the kernel tells them."""
    for message in dump(VLANS):
        told = dict(attributes(message[32:]))
        yield struct.unpack_from("=i", message, 20)[0], [value.hex() for _, value in attributes(told.get(26, b""))]


def read(path):
    with open(path) as file:
        return file.read().strip()


def picture(bridge):
    folder = f"/sys/class/net/{bridge}"
    names = {socket.if_nametoindex(name): name for name in os.listdir(f"{folder}/brif")}
    own = read(f"{folder}/address")
    # The addresses of taps themselves are nobody's, and the host's own may be at any port.
    table = {f"{mac} {vlan} {'own' if local else names.get(port)}" for mac, vlan, port, local in entries(bridge)
             if not local or mac == own}
    flags = {name: [read(f"{folder}/brif/{name}/{flag}") for flag in ("learning", "unicast_flood")]
             for name in names.values()}
    return {"table": sorted(table), "ports": flags,
            "vlans": {names[port]: told for port, told in vlans() if port in names},
            "bridge": [read(f"{folder}/bridge/{option}") for option in ("vlan_filtering", "default_pvid")]}


def seen(bridge):
    """A port may go while its flags are read."""
    try:
        return picture(bridge)
    except OSError as error:
        return str(error)


def lose(bridge, limit, command):
    before, lost, back, begun = picture(bridge), None, None, time.monotonic()
    process = subprocess.Popen(["bash", "-c", command], stdout=subprocess.DEVNULL)
    while time.monotonic() < begun + float(limit):
        ended, now = process.poll() is not None, time.monotonic()
        if seen(bridge) != before:
            lost, back = lost or now, None
        elif lost:
            back = back or now
            # What libvirt does in several steps is over.
            if ended and now > back + 0.5:
                return print(round(back - lost, 3))
        elif ended and process.returncode:
            sys.exit(f"{command}: failed")
        time.sleep(PERIOD_S)
    sys.exit(f"{command}: lost at {lost and lost - begun}\nbefore {before}\nnow    {seen(bridge)}")


def managed(bridge, mac, limit, command):
    subprocess.run(["bash", "-c", command], stdout=subprocess.DEVNULL, check=True)
    begun = time.monotonic()
    while time.monotonic() < begun + float(limit):
        now = picture(bridge)
        places = [entry.split()[1:] for entry in now["table"] if entry.startswith(mac)]
        if {"1", "None"} <= {vlan for vlan, _ in places} and len({port for _, port in places}) == 1:
            if now["ports"].get(places[0][1]) == ["0", "0"]:
                return print(round(time.monotonic() - begun, 3))
        time.sleep(PERIOD_S)
    sys.exit(f"{mac} is not a guest's in good order: {now}")


def told(limit, watch, command, *patterns):
    """Lines of the watch are JSON; what there is already ends with `snapshotDone`."""
    watcher = subprocess.Popen(["bash", "-c", f"exec {watch}"], stdout=subprocess.PIPE, bufsize=0)
    line = b"more"
    while line and b"snapshotDone" not in line:
        line = watcher.stdout.readline()
    begun, heard, rest, text = time.monotonic(), {}, watcher.stdout.fileno(), b""
    subprocess.run(["bash", "-c", command], stdout=subprocess.DEVNULL, check=True)
    while len(heard) < len(patterns) and (left := begun + float(limit) - time.monotonic()) > 0:
        if select.select([rest], [], [], left)[0]:
            text += os.read(rest, 1 << 16)
            for pattern in patterns:
                if pattern not in heard and re.search(pattern.encode(), text):
                    heard[pattern] = round(time.monotonic() - begun, 3)
    watcher.kill()
    if len(heard) < len(patterns):
        sys.exit(f"told: {heard}, of {patterns}\n{text.decode(errors='replace')}")
    print(json.dumps(heard))


def frame(device, source, *destinations):
    channel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    channel.bind((device, ETHERTYPE))
    for destination in destinations:
        header = bytes.fromhex(destination.replace(":", "")) + bytes.fromhex(source.replace(":", ""))
        for _ in range(FRAMES):
            channel.send(header + struct.pack("!H", ETHERTYPE) + bytes(46))


def babble(device, source):
    while True:
        frame(device, source, "ff:ff:ff:ff:ff:ff")
        print("sent", flush=True)
        time.sleep(PERIOD_S)


def amid(source, command):
    words = ["ip", "netns", "exec", "peer", sys.executable, __file__, "babble", FAR_END, source]
    babbler = subprocess.Popen(words, stdout=subprocess.PIPE)
    babbler.stdout.readline()
    subprocess.run(["bash", "-c", command], check=True)
    until = time.monotonic() + BABBLE_S
    while time.monotonic() < until:
        babbler.stdout.readline()
    babbler.kill()


def deliver(*guests):
    wanted = [guest.split("=") for guest in guests]
    ears = {}
    for tap, _ in wanted:
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        ear.bind((tap, 3))
        ears[ear] = tap
    heard = {f"{tap} {mac}": FRAMES for tap, mac in wanted}
    missing, stray = dict(heard), []
    send = ["ip", "netns", "exec", "peer", sys.executable, __file__, "frame", FAR_END, "02:00:00:00:00:99"]
    subprocess.run(send + [mac for _, mac in wanted], check=True)
    until = time.monotonic() + PATIENCE_S
    # What is flooded comes together with what is wanted.
    while (left := until - time.monotonic()) > 0:
        if not any(missing.values()):
            until = min(until, time.monotonic() + PERIOD_S)
        for ear in select.select(list(ears), [], [], left)[0]:
            data = ear.recv(2048)
            if data[12:14] == struct.pack("!H", ETHERTYPE):
                place = f"{ears[ear]} {data[:6].hex(':')}"
                if missing.get(place):
                    missing[place] -= 1
                else:
                    stray.append(place)
    if any(missing.values()) or stray:
        sys.exit(f"missing {missing}, stray {stray}")


def packets(device, protocol=0):
    channel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    channel.bind((device, protocol))
    return channel


def all_packets(device):
    """Hears also what is for another station, which a card would keep back."""
    channel = packets(device, 3)
    # SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC.
    channel.setsockopt(263, 1, struct.pack("=iHH8x", socket.if_nametoindex(device), 1, 0))
    return channel


def at_far_end(make):
    """Makes sockets in the namespace at the far end of the cable."""
    library = ctypes.CDLL(None, use_errno=True)
    here, there = (os.open(path, os.O_RDONLY) for path in ("/proc/self/ns/net", "/run/netns/peer"))
    try:
        if library.setns(there, 0x40000000):
            sys.exit(f"no namespace: {os.strerror(ctypes.get_errno())}")
        return make()
    finally:
        library.setns(here, 0x40000000)


def voice(tap):
    """Opens a further queue of a guest's tap; returns what says a frame as the guest would."""
    queue = os.open("/dev/net/tun", os.O_RDWR)
    # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE; TUNSETIFF, TUNGETVNETHDRSZ.
    fcntl.ioctl(queue, 0x400454CA, struct.pack("16sH22x", tap.encode(), 0x2 | 0x1000 | 0x4000 | 0x100))
    room = struct.unpack("i", fcntl.ioctl(queue, 0x800454D7, bytes(4)))[0]
    return lambda data: os.write(queue, bytes(room) + data)


def passes(tap, *cases):
    """Sends a frame for each case, and fails unless exactly those come through that are to."""
    ear, mouth = at_far_end(lambda: (all_packets(FAR_END), packets(FAR_END)))
    guest_ear, say = packets(tap, 3), voice(tap)
    wanted = set()
    for number, case in enumerate(cases):
        way, mac, vlan, verdict = case.split(",")
        tag = b"" if vlan == "0" else struct.pack("!HH", 0x8100, int(vlan))
        mac, nobody = bytes.fromhex(mac.replace(":", "")), bytes([2, 0, 0, 0, 0, 0x99])
        ends = nobody + mac if way == "out" else mac + nobody
        data = ends + tag + struct.pack("!H", ETHERTYPE) + bytes([number]) * 50
        if verdict == "yes":
            wanted.add(number)
        for _ in range(FRAMES):
            say(data) if way == "out" else mouth.send(data)
    came, until = set(), time.monotonic() + PATIENCE_S
    while (left := until - time.monotonic()) > 0:
        if came >= wanted:
            # What was held back would be here by now, too.
            until = min(until, time.monotonic() + 0.5)
        for open_ear in select.select([ear, guest_ear], [], [], left)[0]:
            data, (_, _, kind, _, _) = open_ear.recvfrom(2048)
            # The far end hears what comes, and the guest's tap what goes to the guest.
            comes = kind != socket.PACKET_OUTGOING if open_ear is ear else kind == socket.PACKET_OUTGOING
            if comes and struct.pack("!H", ETHERTYPE) in data[12:18]:
                came.add(data[-1])
    if came != wanted:
        sys.exit(f"came through: {[cases[n] for n in came - wanted]}, did not: {[cases[n] for n in wanted - came]}")


def show(bridge):
    print(json.dumps(picture(bridge)))


VERBS = {"picture": show, "lose": lose, "managed": managed, "frame": frame, "babble": babble, "amid": amid, "deliver": deliver,
         "passes": passes, "told": told}
VERBS[sys.argv[1]](*sys.argv[2:])

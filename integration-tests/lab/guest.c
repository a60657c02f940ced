/*
 * guest: an operating system's least part, for guests that answer and send. Boots in a moment where a kernel takes minutes.
 *
 * Multiboot, 32 bits, one virtio-net card by its legacy interface. The command line is the guest's IPv4 address, or "idle": a
 * guest that does nothing at all, where firmware without anything to boot wakes 18 times a second. It answers
 * ARP and ICMP echo, sleeps between interrupts, and takes lines on COM1, each answered by a line:
 *
 *   send COUNT HEX    sends a frame COUNT times, given from its destination on
 *   ping ADDRESS      asks for the address's MAC, then sends an echo request; answered when the reply is there
 *   mac MAC           answers and sends with this MAC from now on
 *   heard             how many frames of the local experimental ethertype 0x88b5 have come
 *   release           releases the device that the machine is asked to give back; answered by its slot's bit, or 0
 *   reset             the machine begins anew
 *
 * What it does not understand it does not answer. Sources: Virtual I/O Device 1.0, "Legacy Interface"; Multiboot Specification 0.6.96.
 */
#include <stddef.h>
#include <stdint.h>

#define COM1 0x3f8
#define FRAME 2048
#define HEADER 10
#define BUFFERS 64
#define RING 256
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_TEST 0x88b5

__asm__(
    ".section .text.start, \"ax\"\n"
    ".balign 4\n"
    ".long 0x1badb002, 0, -0x1badb002\n"
    ".globl _start\n"
    "_start: mov $stack + 16384, %esp\n"
    "lgdt segments\n"
    "ljmp $8, $1f\n"
    "1: mov $16, %eax\n"
    "mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n"
    "push %ebx\n"
    "call main\n"
    "hlt\n"
    /* Interrupts stay off after each: the card's line stays up until main has looked. */
    "interrupt: push %eax\n"
    "mov $0x20, %al; outb %al, $0xa0; outb %al, $0x20\n"
    "andl $~0x200, 12(%esp)\n"
    "pop %eax\n"
    "iret\n"
    ".balign 8\n"
    "table: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
    "segments: .word 23; .long table\n"
    ".text\n");

/* QEMU gives rings of 256: descriptors fill a page, what is offered a second, what is used a third. */
struct ring {
    struct { uint64_t address; uint32_t length; uint16_t flags, next; } descriptors[RING];
    struct { uint16_t flags, index, entries[RING]; } offered __attribute__((aligned(4096)));
    struct { uint16_t flags, index; struct { uint32_t id, length; } entries[RING]; } used __attribute__((aligned(4096)));
} __attribute__((aligned(4096)));

enum { RECEIVE, SEND };

extern char interrupt[];
uint8_t stack[16384];
static volatile struct ring rings[2];
static uint8_t buffers[2][BUFFERS][FRAME];
static uint16_t seen, card;
static uint8_t mac[6], address[4], pinged[4];
static unsigned heard;

static inline void outb(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outw(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outl(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline uint8_t inb(uint16_t port) { uint8_t value; __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline uint16_t inw(uint16_t port) { uint16_t value; __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline uint32_t inl(uint16_t port) { uint32_t value; __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline void barrier(void) { __asm__ volatile("lock; addl $0, (%%esp)" : : : "memory"); }

/* The compiler may call these by itself. */
void *memcpy(void *to, const void *from, size_t size) {
    for (size_t at = 0; at < size; at++) ((uint8_t *)to)[at] = ((const uint8_t *)from)[at];
    return to;
}
void *memset(void *to, int value, size_t size) {
    for (size_t at = 0; at < size; at++) ((uint8_t *)to)[at] = value;
    return to;
}
static int same(const void *a, const void *b, size_t size) {
    for (size_t at = 0; at < size; at++) if (((const uint8_t *)a)[at] != ((const uint8_t *)b)[at]) return 0;
    return 1;
}
static unsigned word(const uint8_t *at) { return at[0] << 8 | at[1]; }

static void say(const char *text) {
    for (; *text; text++) {
        while (!(inb(COM1 + 5) & 0x20));
        outb(COM1, *text);
    }
}

static void say_number(unsigned number) {
    char digits[12], *at = digits + 11;
    *at = 0;
    do *--at = '0' + number % 10; while (number /= 10);
    say(at);
    say("\n");
}

/* Reads a number in the given base and steps over what ends it. */
static unsigned number(const char **text, unsigned base) {
    unsigned value = 0;
    for (;; ++*text) {
        unsigned letter = **text | 0x20, digit = letter - (letter >= 'a' ? 'a' - 10 : '0');
        if (**text < '0' || **text == ':' || digit >= base) break;
        value = value * base + digit;
    }
    if (**text) ++*text;
    return value;
}

static void numbers(const char **text, unsigned base, uint8_t *to, unsigned count) {
    while (count--) *to++ = number(text, base);
}

static void offer(int which, unsigned place, unsigned length) {
    volatile struct ring *ring = &rings[which];
    ring->descriptors[place].address = (uintptr_t)buffers[which][place];
    ring->descriptors[place].length = length;
    ring->descriptors[place].flags = which == RECEIVE ? 2 : 0;
    ring->offered.entries[ring->offered.index % RING] = place;
    barrier();
    ring->offered.index++;
    barrier();
    outw(card + 16, which);
}

static void send(const uint8_t *frame, unsigned length) {
    volatile struct ring *ring = &rings[SEND];
    unsigned place = ring->offered.index % BUFFERS;
    while ((uint16_t)(ring->offered.index - ring->used.index) >= BUFFERS) barrier();
    memset(buffers[SEND][place], 0, HEADER + 60);
    memcpy(buffers[SEND][place] + HEADER, frame, length);
    offer(SEND, place, HEADER + (length < 60 ? 60 : length));
}

static void checksum(uint8_t *at, unsigned length, uint8_t *to) {
    unsigned sum = 0;
    to[0] = to[1] = 0;
    for (unsigned byte = 0; byte < length; byte++) sum += byte % 2 ? at[byte] : at[byte] << 8;
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    to[0] = ~sum >> 8;
    to[1] = ~sum;
}

static void send_arp(unsigned operation, const uint8_t *to, const uint8_t *whose) {
    static const uint8_t fixed[8] = {0, 1, 8, 0, 6, 4, 0, 0};
    uint8_t frame[42];
    memcpy(frame, to, 6);
    memcpy(frame + 6, mac, 6);
    frame[12] = 0x08;
    frame[13] = 0x06;
    memcpy(frame + 14, fixed, 8);
    frame[21] = operation;
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, address, 4);
    memcpy(frame + 32, to, 6);
    memcpy(frame + 38, whose, 4);
    send(frame, sizeof frame);
}

static void send_echo(const uint8_t *to, const uint8_t *whose) {
    static const uint8_t fixed[20] = {0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1};
    uint8_t frame[42];
    memset(frame, 0, sizeof frame);
    memcpy(frame, to, 6);
    memcpy(frame + 6, mac, 6);
    frame[12] = 0x08;
    memcpy(frame + 14, fixed, 20);
    memcpy(frame + 26, address, 4);
    memcpy(frame + 30, whose, 4);
    checksum(frame + 14, 20, frame + 24);
    frame[34] = 8;
    checksum(frame + 34, 8, frame + 36);
    send(frame, sizeof frame);
}

static void receive_arp(const uint8_t *frame) {
    if (!same(frame + 38, address, 4)) return;
    if (frame[21] == 1) send_arp(2, frame + 22, frame + 28);
    if (frame[21] == 2 && same(frame + 28, pinged, 4)) send_echo(frame + 22, pinged);
}

static void receive_ipv4(uint8_t *frame, unsigned length) {
    unsigned header = (frame[14] & 15) * 4, all = word(frame + 16);
    if (!same(frame, mac, 6) || !same(frame + 30, address, 4) || frame[23] != 1 || length < 14 + all || all < header + 8) return;
    uint8_t *echo = frame + 14 + header;
    if (echo[0] == 0 && same(frame + 26, pinged, 4)) {
        memset(pinged, 0, 4);
        say("pong\n");
    } else if (echo[0] == 8) {
        memcpy(frame, frame + 6, 6);
        memcpy(frame + 6, mac, 6);
        memcpy(frame + 30, frame + 26, 4);
        memcpy(frame + 26, address, 4);
        echo[0] = 0;
        checksum(echo, all - header, echo + 2);
        send(frame, 14 + all);
    }
}

static void receive(uint8_t *frame, unsigned length) {
    switch (word(frame + 12)) {
    case ETHERTYPE_ARP: receive_arp(frame); break;
    case ETHERTYPE_IPV4: receive_ipv4(frame, length); break;
    case ETHERTYPE_TEST: heard++; break;
    }
}

static int begins(const char **line, const char *with) {
    size_t length = 0;
    while (with[length]) length++;
    if (!same(*line, with, length)) return 0;
    *line += length;
    return 1;
}

static void obey(const char *line) {
    static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};
    if (begins(&line, "ping ")) {
        numbers(&line, 10, pinged, 4);
        send_arp(1, everybody, pinged);
        return;
    } else if (begins(&line, "send ")) {
        unsigned count = number(&line, 10), length = 0;
        static uint8_t frame[FRAME - HEADER];
        for (; line[0] && line[1] && length < sizeof frame; line += 2) {
            char pair[3] = {line[0], line[1], 0};
            const char *text = pair;
            frame[length++] = number(&text, 16);
        }
        while (count--) send(frame, length);
    } else if (begins(&line, "mac ")) {
        numbers(&line, 16, mac, 6);
    } else if (begins(&line, "heard")) {
        say_number(heard);
        return;
    } else if (begins(&line, "release")) {
        /* The first bus, what is asked for, and what is let go: QEMU's docs/specs/acpi_pci_hotplug. */
        outl(0xae10, 0);
        uint32_t asked = inl(0xae04);
        outl(0xae08, asked);
        say_number(asked);
        return;
    } else if (begins(&line, "reset")) {
        outb(0x64, 0xfe);
    } else {
        return;
    }
    say("ok\n");
}

static void listen(void) {
    static char line[2 * FRAME];
    static unsigned length;
    while (inb(COM1 + 5) & 1) {
        char letter = inb(COM1);
        if (letter == '\n') {
            line[length] = 0;
            obey(line);
            length = 0;
        } else if (length < sizeof line - 1) {
            line[length++] = letter;
        }
    }
}

static uint32_t configuration(unsigned slot, unsigned at) {
    outl(0xcf8, 0x80000000u | slot << 11 | at);
    return inl(0xcfc);
}

/* Finds the card among the first bus's devices and takes it into use. */
static int open_card(void) {
    unsigned slot = 0;
    while (configuration(slot, 0) != 0x10001af4) if (++slot == 32) return 0;
    card = configuration(slot, 0x10) & ~3u;
    uint32_t command = configuration(slot, 4);
    outl(0xcfc, command | 5);
    outb(card + 18, 0);
    outb(card + 18, 3);
    outl(card + 4, 1 << 5);
    for (int which = 0; which < 2; which++) {
        outw(card + 14, which);
        if (inw(card + 12) != RING) return 0;
        outl(card + 8, (uintptr_t)&rings[which] / 4096);
    }
    for (int byte = 0; byte < 6; byte++) mac[byte] = inb(card + 20 + byte);
    outb(card + 18, 7);
    for (unsigned place = 0; place < BUFFERS; place++) offer(RECEIVE, place, FRAME);
    return 1;
}

/* The firmware's timer runs down once more, and not again: each tick costs whoever emulates it, also one that nobody hears. */
static void stop_timer(void) {
    outb(0x43, 0x30);
    outb(0x40, 1);
    outb(0x40, 0);
}

/* All interrupts come, but the timer's; each does no more than to wake. */
static void open_interrupts(void) {
    static uint64_t gates[256];
    static struct { uint16_t limit; uint32_t base; } __attribute__((packed)) descriptor = {sizeof gates - 1, 0};
    uint32_t at = (uintptr_t)interrupt;
    for (int gate = 0; gate < 256; gate++) gates[gate] = (uint64_t)(at >> 16) << 48 | 0x8e0000080000ull | (at & 0xffff);
    descriptor.base = (uintptr_t)gates;
    __asm__ volatile("lidt %0" : : "m"(descriptor));
    static const uint8_t words[][2] = {{0x20, 0x11}, {0xa0, 0x11}, {0x21, 0x20}, {0xa1, 0x28}, {0x21, 4},
                                       {0xa1, 2},    {0x21, 1},    {0xa1, 1},    {0x21, 1},    {0xa1, 0}};
    for (unsigned at = 0; at < sizeof words / 2; at++) outb(words[at][0], words[at][1]);
    outb(COM1 + 3, 3);
    outb(COM1 + 2, 7);
    outb(COM1 + 1, 1);
    outb(COM1 + 4, 11);
}

void main(const uint32_t *boot) {
    const char *words = (const char *)boot[4], *last = words;
    for (; *words; words++) if (*words == ' ') last = words + 1;
    stop_timer();
    if (*last == 'i') return;
    numbers(&last, 10, address, 4);
    open_interrupts();
    if (!open_card()) {
        say("no card\n");
        return;
    }
    for (;;) {
        volatile struct ring *ring = &rings[RECEIVE];
        inb(card + 19);
        while (seen != ring->used.index) {
            unsigned place = ring->used.entries[seen % RING].id, length = ring->used.entries[seen % RING].length;
            receive(buffers[RECEIVE][place] + HEADER, length - HEADER);
            seen++;
            offer(RECEIVE, place, FRAME);
        }
        listen();
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
}

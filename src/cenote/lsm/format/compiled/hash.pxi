# SipHash-1-3 under the zero key, and the bits of a bloom filter.

cdef struct SipState:
    uint64_t a
    uint64_t b
    uint64_t c
    uint64_t d


cdef inline uint64_t rotated(uint64_t x, int by) noexcept nogil:
    return x << by | x >> (64 - by)


cdef inline void sip_round(SipState *s) noexcept nogil:
    s.a += s.b
    s.b = rotated(s.b, 13) ^ s.a
    s.a = rotated(s.a, 32)
    s.c += s.d
    s.d = rotated(s.d, 16) ^ s.c
    s.a += s.d
    s.d = rotated(s.d, 21) ^ s.a
    s.c += s.b
    s.b = rotated(s.b, 17) ^ s.c
    s.c = rotated(s.c, 32)


cdef uint64_t sip_of(const uint8_t *data, size_t size) noexcept nogil:
    cdef SipState s
    cdef size_t at = 0
    cdef uint64_t word
    cdef int shift = 0
    s.a = 0x736F6D6570736575ULL
    s.b = 0x646F72616E646F6DULL
    s.c = 0x6C7967656E657261ULL
    s.d = 0x7465646279746573ULL
    while at + 8 <= size:
        word = load64le(data + at)
        s.d ^= word
        sip_round(&s)
        s.a ^= word
        at += 8
    word = <uint64_t>(size & 0xFF) << 56
    while at < size:
        word |= <uint64_t>data[at] << shift
        shift += 8
        at += 1
    s.d ^= word
    sip_round(&s)
    s.a ^= word
    s.c ^= 0xFF
    sip_round(&s)
    sip_round(&s)
    sip_round(&s)
    return s.a ^ s.b ^ s.c ^ s.d


cdef void bloom_set(
    uint8_t *bits, uint64_t modulus, const uint64_t *hashes, size_t count, int probes
) noexcept nogil:
    cdef uint64_t at, step
    cdef size_t number
    cdef int turn
    for number in range(count):
        at = (hashes[number] & 0xFFFFFFFFULL) % modulus
        step = (hashes[number] >> 32) % modulus
        for turn in range(probes):
            step += turn
            if step >= modulus:
                step %= modulus
            bits[at >> 3] |= <uint8_t>(1 << (at & 7))
            at += step
            if at >= modulus:
                at -= modulus


def siphash13(data not None):
    """Return SipHash-1-3 of bytes under the zero key."""
    cdef bytes held = data
    return sip_of(bytes_of(held), PyBytes_GET_SIZE(held))


def bloom_build(hashes, Py_ssize_t size, int probes):
    """Return a bit array of `size` bytes with `probes` bits set for each hash."""
    cdef tuple numbers = tuple(hashes)
    cdef Py_ssize_t count = len(numbers), at
    cdef bytes made
    cdef uint64_t *held
    if size <= 0 or not count:
        return bytes(max(size, 0))
    held = <uint64_t *>malloc(count * sizeof(uint64_t))
    if held is NULL:
        raise MemoryError
    try:
        for at in range(count):
            held[at] = <uint64_t>numbers[at]
        made = bloom_bits(held, count, size, probes)
    finally:
        free(held)
    return made


cdef bytes bloom_bits(const uint64_t *hashes, size_t count, Py_ssize_t size, int probes):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t *bits = <uint8_t *>PyBytes_AS_STRING(made)
    with nogil:
        memset(bits, 0, size)
        if size:
            bloom_set(bits, <uint64_t>size * 8, hashes, count, probes)
    return made


def bloom_contains(bits not None, int probes, number):
    """Tell whether all bits of a hash are set; False when there are no bits."""
    cdef bytes held = bits
    cdef const uint8_t *data = bytes_of(held)
    cdef uint64_t modulus = <uint64_t>PyBytes_GET_SIZE(held) * 8
    cdef uint64_t hash = number
    cdef uint64_t at, step
    cdef int turn
    if not modulus:
        return False
    at = (hash & 0xFFFFFFFFULL) % modulus
    step = (hash >> 32) % modulus
    for turn in range(probes):
        step += turn
        if step >= modulus:
            step %= modulus
        if not data[at >> 3] >> (at & 7) & 1:
            return False
        at += step
        if at >= modulus:
            at -= modulus
    return True

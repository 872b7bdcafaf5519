# Keys in the order they were written, sorted: by their first distinct bytes, then whole.

cdef struct Name:  # a key to be sorted
    uint64_t head  # its first bytes behind those that all keys share
    Ref *ref
    size_t versions


cdef inline bint before(const Name *a, const Name *b) noexcept nogil:
    if a.head != b.head:
        return a.head < b.head
    return compare(a.ref.key, a.ref.key_size, b.ref.key, b.ref.key_size) < 0


cdef Name *sorted_names(Name *names, Name *spare, size_t count) noexcept nogil:
    """Sort by merging runs of twice the length each time; return where the result is."""
    cdef size_t width = 8, start, a, b, a_end, b_end, at
    cdef Name *swap
    cdef Name moved
    start = 0
    while start < count:  # runs of eight, by insertion
        a_end = start + width if start + width < count else count
        for a in range(start + 1, a_end):
            moved = names[a]
            b = a
            while b > start and before(&moved, &names[b - 1]):
                names[b] = names[b - 1]
                b -= 1
            names[b] = moved
        start = a_end
    while width < count:
        start = 0
        while start < count:
            a = start
            a_end = start + width if start + width < count else count
            b = a_end
            b_end = b + width if b + width < count else count
            at = start
            if b < b_end and not before(&names[b], &names[a_end - 1]):
                memcpy(&spare[at], &names[a], (b_end - a) * sizeof(Name))
            else:
                while a < a_end and b < b_end:
                    if before(&names[b], &names[a]):
                        spare[at] = names[b]
                        b += 1
                    else:
                        spare[at] = names[a]
                        a += 1
                    at += 1
                if a < a_end:
                    memcpy(&spare[at], &names[a], (a_end - a) * sizeof(Name))
                elif b < b_end:
                    memcpy(&spare[at], &names[b], (b_end - b) * sizeof(Name))
            start = b_end
        swap = names
        names = spare
        spare = swap
        width *= 2
    return names


cdef Name *order_names(Name *names, Name *spare, size_t count) noexcept nogil:
    """Fill in the heads and sort."""
    cdef size_t shared, number, at, size
    cdef const uint8_t *key
    cdef uint64_t head
    if not count:
        return names
    shared = names[0].ref.key_size
    for number in range(1, count):
        at = common(names[0].ref.key, shared, names[number].ref.key, names[number].ref.key_size)
        if at < shared:
            shared = at
    for number in range(count):
        key = names[number].ref.key + shared
        size = names[number].ref.key_size - shared
        if size >= 8:
            head = load64be(key)
        else:
            head = 0
            for at in range(size):
                head |= <uint64_t>key[at] << (56 - 8 * at)
        names[number].head = head
    return sorted_names(names, spare, count)


cdef int encode_names(Encoder *e, const Name *names, size_t count) noexcept nogil:
    cdef size_t number, size = 0
    cdef int fault
    for number in range(count):
        size += names[number].ref.key_size + names[number].ref.value_size + 36
    if grow(&e.out, size):
        return NO_MEMORY
    for number in range(count):
        fault = encode_all(e, names[number].ref, names[number].versions, True)
        if fault:
            return fault
    return 0

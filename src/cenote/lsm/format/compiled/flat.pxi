# The index and the statistics of a table as flatbuffers: what `flat_plain` tells.

cdef inline void align(Memory *m, size_t multiple, size_t remainder) noexcept nogil:
    while m.size % multiple != remainder:
        m.data[m.size] = 0
        m.size += 1


cdef inline void put16(Memory *m, unsigned int number) noexcept nogil:
    m.data[m.size] = <uint8_t>number
    m.data[m.size + 1] = <uint8_t>(number >> 8)
    m.size += 2


cdef inline void put32(Memory *m, uint32_t number) noexcept nogil:
    store32le(m.data + m.size, number)
    m.size += 4


cdef inline void put64(Memory *m, uint64_t number) noexcept nogil:
    put32(m, <uint32_t>number)
    put32(m, <uint32_t>(number >> 32))


cdef inline size_t put_vtable(
    Memory *m, unsigned int size, unsigned int first, unsigned int second, unsigned int third,
    int slots
) noexcept nogil:
    """Append a vtable of so many slots; return where it starts."""
    cdef size_t at
    align(m, 2, 0)
    at = m.size
    put16(m, 4 + 2 * slots)
    put16(m, size)
    if slots > 0:
        put16(m, first)
    if slots > 1:
        put16(m, second)
    if slots > 2:
        put16(m, third)
    return at


def encode_index(offsets, first_keys):
    """Return the payload of an index section."""
    cdef list places = list(offsets)
    cdef list keys = list(first_keys)
    cdef size_t count = len(places), number, slot, vector, table
    cdef size_t with_offset = 0, without = 0, vtable
    cdef uint64_t offset
    cdef Memory m
    if count != <size_t>len(keys):
        raise ValueError("there is one key for each offset")
    memset(&m, 0, sizeof(Memory))
    m.python = True
    try:
        if grow(&m, 64 + 4 * count):
            raise MemoryError
        put32(&m, 0)
        vtable = put_vtable(&m, 8, 4, 0, 0, 1)
        align(&m, 4, 0)
        table = m.size
        put32(&m, <uint32_t>(table - vtable))
        put32(&m, 4)
        vector = m.size
        put32(&m, <uint32_t>count)
        memset(m.data + m.size, 0, 4 * count)
        m.size += 4 * count
        store32le(m.data, <uint32_t>table)
        for number in range(count):
            key = <object>PyList_GET_ITEM(keys, number)
            if not PyBytes_Check(key):
                raise TypeError("keys are bytes")
            offset = PyLong_AsUnsignedLongLong(<object>PyList_GET_ITEM(places, number))
            if grow(&m, 48 + PyBytes_GET_SIZE(key)):
                raise MemoryError
            if offset:
                if not with_offset:
                    with_offset = put_vtable(&m, 16, 4, 12, 0, 2)
                vtable = with_offset
                align(&m, 8, 4)
            else:
                if not without:
                    without = put_vtable(&m, 8, 0, 4, 0, 2)
                vtable = without
                align(&m, 4, 0)
            table = m.size
            put32(&m, <uint32_t>(table - vtable))
            if offset:
                put64(&m, offset)
            put32(&m, 4)  # the key follows at once: tables end on multiples of four
            put32(&m, <uint32_t>PyBytes_GET_SIZE(key))
            append(&m, bytes_of(key), PyBytes_GET_SIZE(key))
            slot = vector + 4 + 4 * number
            store32le(m.data + slot, <uint32_t>(table - slot))
        return given(&m)
    finally:
        forget(&m)


cdef struct Flat:  # a buffer being read, and how many of its bytes may still be
    const uint8_t *data
    size_t size
    size_t left


cdef int flat_damage(str what, size_t at) except -1:
    raise DataError(f"a flatbuffer is damaged: {what}", kind="flatbuffer", offset=at)


cdef inline int spend(Flat *f, uint64_t size, size_t at) except -1:
    if size > f.left or at + size > f.size:
        flat_damage("a part lies outside it or is used twice", at)
    f.left -= size
    return 0


cdef struct Table:
    size_t at
    size_t slots  # where they are
    size_t count


cdef inline unsigned int u16_at(const Flat *f, size_t at) noexcept nogil:
    return f.data[at] | <unsigned int>f.data[at + 1] << 8


cdef int open_table(Flat *f, size_t at, Table *table) except -1:
    cdef int64_t vtable
    cdef size_t size, table_size, number
    if at + 4 > f.size:
        flat_damage("a table lies outside it", at)
    vtable = <int64_t>at - <int32_t>load32le(f.data + at)
    if vtable < 0 or vtable > <int64_t>f.size - 4:
        flat_damage("a vtable lies outside it", at)
    size = u16_at(f, vtable)
    table_size = u16_at(f, vtable + 2)
    if size < 4 or size % 2 or <size_t>vtable + size > f.size or table_size < 4:
        flat_damage("a vtable does not fit", vtable)
    spend(f, table_size, at)
    table.at = at
    table.slots = vtable + 4
    table.count = (size - 4) // 2
    for number in range(table.count):
        if u16_at(f, table.slots + 2 * number) >= table_size:
            flat_damage("a field lies outside its table", at)
    return 0


cdef inline size_t field(const Flat *f, const Table *table, size_t number) noexcept nogil:
    """Return where a field is; 0 when it is absent."""
    cdef size_t slot
    if number >= table.count:
        return 0
    slot = u16_at(f, table.slots + 2 * number)
    return table.at + slot if slot else 0


cdef size_t follow(Flat *f, size_t at) except 0:
    """Return where the offset at `at` leads."""
    cdef uint64_t offset = load32le(f.data + at)
    if offset < 4 or at + offset + 4 > f.size:
        flat_damage("an offset leads nowhere", at)
    return at + offset


cdef size_t child(Flat *f, const Table *table, size_t number) except 0:
    """Return where a vector that must be there starts."""
    cdef size_t at = field(f, table, number)
    if not at:
        flat_damage(f"field {number}, which is required, is absent", table.at)
    if at + 4 > f.size:
        flat_damage("an offset lies outside it", at)
    return follow(f, at)


def decode_index(payload not None):
    """Return the offsets and the lower bounds of an index section."""
    cdef bytes held = payload
    cdef Flat f
    cdef Table root
    cdef size_t at, count, number, blob
    cdef Table *tables = NULL
    cdef uint64_t offset, last = 0, size
    cdef list offsets = [], keys = []
    cdef bint sorted_ = True
    f.data = bytes_of(held)
    f.size = f.left = PyBytes_GET_SIZE(held)
    if f.size < 8:
        flat_damage("it is too short", 0)
    spend(&f, 4, 0)
    open_table(&f, load32le(f.data), &root)
    at = child(&f, &root, 0)
    count = load32le(f.data + at)
    spend(&f, 4 + <uint64_t>4 * count, at)
    tables = <Table *>allocated(count, sizeof(Table))
    try:
        for number in range(count):
            open_table(&f, follow(&f, at + 4 + 4 * number), &tables[number])
        for number in range(count):
            blob = field(&f, &tables[number], 0)
            offset = 0
            if blob:
                if blob + 8 > f.size:
                    flat_damage("a number lies outside it", blob)
                offset = load64le(f.data + blob)
            if number == 0:
                if offset:
                    sorted_ = False
            elif offset <= last:
                sorted_ = False
            last = offset
            offsets.append(offset)
        if count and offsets[0]:
            raise DataError("the first block does not start at 0", kind="index")
        if not sorted_:
            raise DataError("the blocks of an index do not rise", kind="index")
        for number in range(count):
            blob = child(&f, &tables[number], 1)
            size = load32le(f.data + blob)
            spend(&f, 4 + size, blob)
            keys.append(PyBytes_FromStringAndSize(<const char *>f.data + blob + 4, size))
    finally:
        free(tables)
    return tuple(offsets), tuple(keys)


def encode_stats(totals, blocks):
    """Return the payload of a stats section: five sums, and three counts of each block."""
    cdef list held = list(blocks)
    cdef size_t count = len(held), number, slot, vector, table, vtable, at
    cdef size_t known[8]
    cdef unsigned int counts[3]
    cdef unsigned int slots[3]
    cdef uint64_t sums[5]
    cdef unsigned int root_slots[6]
    cdef unsigned int size, present
    cdef int field_number, last
    cdef Memory m
    memset(known, 0, sizeof(known))
    memset(&m, 0, sizeof(Memory))
    m.python = True
    for field_number in range(5):
        sums[field_number] = PyLong_AsUnsignedLongLong(totals[field_number])
    try:
        if grow(&m, 128 + 40 * count):
            raise MemoryError
        put32(&m, 0)
        size = 4
        for field_number in range(5):
            root_slots[field_number] = 0
            if sums[field_number]:
                root_slots[field_number] = size
                size += 8
        root_slots[5] = size
        size += 4
        vtable = m.size
        put16(&m, 4 + 2 * 6)
        put16(&m, size)
        for field_number in range(6):
            put16(&m, root_slots[field_number])
        if size > 8:
            align(&m, 8, 4)
        else:
            align(&m, 4, 0)
        table = m.size
        put32(&m, <uint32_t>(table - vtable))
        for field_number in range(5):
            if sums[field_number]:
                put64(&m, sums[field_number])
        put32(&m, 4)
        vector = m.size
        put32(&m, <uint32_t>count)
        memset(m.data + m.size, 0, 4 * count)
        m.size += 4 * count
        store32le(m.data, <uint32_t>table)
        for number in range(count):
            size = 4
            present = 0
            last = 0
            block = <object>PyList_GET_ITEM(held, number)
            for field_number in range(3):
                counts[field_number] = block[field_number]
                slots[field_number] = 0
                if counts[field_number]:
                    slots[field_number] = size
                    size += 2
                    present |= 1 << field_number
                    last = field_number + 1
            if counts[0] > 0xFFFF or counts[1] > 0xFFFF or counts[2] > 0xFFFF:
                raise InvalidError("a block has more rows than its count can tell", kind="row")
            if not present:
                last = 0
            if not known[present]:
                known[present] = put_vtable(&m, size, slots[0], slots[1], slots[2], last)
            vtable = known[present]
            align(&m, 4, 0)
            at = m.size
            store32le(m.data + at, <uint32_t>(at - vtable))
            m.size += 4
            for field_number in range(3):
                if counts[field_number]:
                    put16(&m, counts[field_number])
            slot = vector + 4 + 4 * number
            store32le(m.data + slot, <uint32_t>(at - slot))
        return given(&m)
    finally:
        forget(&m)

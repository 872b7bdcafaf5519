# Rows to blocks.

cdef struct Ref:  # a row somewhere in memory
    const uint8_t *key
    const uint8_t *value
    size_t key_size
    size_t value_size
    uint64_t seq
    int64_t created
    int64_t expires
    uint8_t flags


cdef struct Cut:  # of a closed block
    size_t end  # in all blocks so far
    size_t key_end  # of its index key, in all index keys
    size_t row_end  # in all rows so far
    uint32_t puts
    uint32_t tombstones
    uint32_t merges


cdef struct Encoder:
    Memory out  # the closed blocks that nobody took, then the open one
    Memory last  # the key of the last row
    Memory first  # the key of the first row
    Memory keys  # the index keys
    Memory cuts
    Memory hashes
    size_t block_size
    size_t block_start  # in `out`
    size_t taken  # bytes of blocks before `out`
    size_t rows
    size_t key_bytes
    size_t value_bytes
    size_t count  # rows in the open block
    size_t restarts_count
    uint32_t puts
    uint32_t tombstones
    uint32_t merges
    uint64_t last_seq
    bint framed
    bint hashed
    uint16_t restarts[RESTARTS_MAX]


cdef int close_block(Encoder *e) noexcept nogil:
    cdef Cut *cut
    cdef size_t number
    cdef uint8_t *at
    if not e.count:
        return 0
    if grow(&e.out, 2 * e.restarts_count + 6) or grow(&e.cuts, sizeof(Cut)):
        return NO_MEMORY
    at = e.out.data + e.out.size
    for number in range(e.restarts_count):
        at[0] = <uint8_t>(e.restarts[number] >> 8)
        at[1] = <uint8_t>e.restarts[number]
        at += 2
    at[0] = <uint8_t>(e.restarts_count >> 8)
    at[1] = <uint8_t>e.restarts_count
    e.out.size += 2 * e.restarts_count + 2
    if e.framed:
        store_crc(at + 2, crc_of(e.out.data + e.block_start, e.out.size - e.block_start))
        e.out.size += 4
    cut = <Cut *>(e.cuts.data + e.cuts.size)
    e.cuts.size += sizeof(Cut)
    cut.end = e.taken + e.out.size
    cut.key_end = e.keys.size
    cut.row_end = e.rows
    cut.puts = e.puts
    cut.tombstones = e.tombstones
    cut.merges = e.merges
    e.block_start = e.out.size
    e.count = e.restarts_count = 0
    e.puts = e.tombstones = e.merges = 0
    return 0


cdef inline size_t size_of_row(const Ref *r, size_t shared) noexcept nogil:
    return (
        varint_size(shared) + varint_size(r.key_size - shared) + varint_size(r.value_size)
        + r.key_size - shared + r.value_size + TAILS[r.flags]
    )


cdef int encode(Encoder *e, const Ref *r) noexcept nogil:
    """Append a row to the open block, or to a new one."""
    cdef bint whole = e.count % RESTART_INTERVAL == 0
    cdef size_t shared = 0, size, rest
    cdef uint8_t *at
    cdef uint64_t hash
    if not whole:
        shared = common(e.last.data, e.last.size, r.key, r.key_size)
    size = size_of_row(r, shared)
    if e.count and e.out.size - e.block_start + 2 * e.restarts_count + 2 + size + 2 * whole > (
        e.block_size
    ):
        if close_block(e):
            return NO_MEMORY
        whole = True
        shared = 0
        size = size_of_row(r, 0)
    if not e.count and begin_block(e, r):
        return NO_MEMORY
    if grow(&e.out, size):
        return NO_MEMORY
    if whole:
        e.restarts[e.restarts_count] = <uint16_t>(e.out.size - e.block_start)
        e.restarts_count += 1
    at = put_varint(e.out.data + e.out.size, shared)
    rest = r.key_size - shared
    at = put_varint(at, rest)
    at = put_varint(at, r.value_size)
    memcpy(at, r.key + shared, rest)
    at += rest
    if r.value_size:
        memcpy(at, r.value, r.value_size)
        at += r.value_size
    store64be(at, r.seq)
    at[8] = r.flags
    at += 9
    if r.flags & EXPIRES:
        store64be(at, <uint64_t>r.expires)
        at += 8
    if r.flags & CREATED:
        store64be(at, <uint64_t>r.created)
    e.out.size += size
    e.count += 1
    e.rows += 1
    e.key_bytes += r.key_size
    e.value_bytes += r.value_size
    e.last_seq = r.seq
    if r.flags & TOMBSTONE:
        e.tombstones += 1
    elif r.flags & MERGE:
        e.merges += 1
    else:
        e.puts += 1
    if e.hashed:
        hash = sip_of(r.key, r.key_size)
        if append(&e.hashes, <const uint8_t *>&hash, sizeof(hash)):
            return NO_MEMORY
    return keep(&e.last, r.key, r.key_size)


cdef int begin_block(Encoder *e, const Ref *r) noexcept nogil:
    """Note the index key of a block that begins with this row."""
    cdef size_t shared
    if not e.rows:
        return keep(&e.first, r.key, r.key_size)
    shared = common(e.last.data, e.last.size, r.key, r.key_size)
    if shared < r.key_size:
        shared += 1
    return append(&e.keys, r.key, shared)


cdef int encode_all(Encoder *e, const Ref *refs, size_t count, bint ordered) noexcept nogil:
    cdef size_t number, size = 0
    cdef int fault, order
    if count > 64:  # make room at once, rather than by moving what is there again and again
        for number in range(count):
            size += refs[number].key_size + refs[number].value_size + 36
        if grow(&e.out, size):
            return NO_MEMORY
    for number in range(count):
        if ordered and e.rows:
            order = compare(e.last.data, e.last.size, refs[number].key, refs[number].key_size)
            if order > 0 or (order == 0 and refs[number].seq >= e.last_seq):
                return BAD_ORDER
        fault = encode(e, &refs[number])
        if fault:
            return fault
    return 0


cdef void forget_encoder(Encoder *e) noexcept:
    forget(&e.out)
    forget(&e.last)
    forget(&e.first)
    forget(&e.keys)
    forget(&e.cuts)
    forget(&e.hashes)


cdef int refer(Ref *r, object key, object value, object seq, object kind, object created,
               object expires) except -1:
    """Fill in where the parts of a row are. Raises InvalidError for one that cannot be written."""
    if not PyBytes_Check(key) or not PyBytes_Check(value):
        raise TypeError("keys and values are bytes")
    r.key = bytes_of(key)
    r.key_size = PyBytes_GET_SIZE(key)
    r.value = bytes_of(value)
    r.value_size = PyBytes_GET_SIZE(value)
    if kind is PUT_KIND:
        r.flags = 0
    elif kind == TOMBSTONE_KIND and not r.value_size:
        r.flags = TOMBSTONE
    elif kind == MERGE_KIND:
        r.flags = MERGE
    elif kind != PUT_KIND:
        raise InvalidError("a row is of an unknown kind, or a tombstone with a value", kind="row")
    else:
        r.flags = 0
    try:
        r.seq = PyLong_AsUnsignedLongLong(seq)
        if created is not None:
            r.created = PyLong_AsLongLong(created)
            r.flags |= CREATED
        if expires is not None:
            r.expires = PyLong_AsLongLong(expires)
            r.flags |= EXPIRES
    except OverflowError as fault:
        raise InvalidError("a number of a row is out of range", kind="row") from fault
    if r.key_size > 0xFFFFFFFFULL or r.value_size > 0xFFFFFFFFULL:
        raise InvalidError("a key or a value is longer than 4 GiB", kind="entity_too_large")
    return 0


cdef inline object item(object row, Py_ssize_t at):
    return <object>PyTuple_GET_ITEM(row, at)


cdef int refer_rows(tuple rows, Ref *refs) except -1:
    cdef Py_ssize_t at
    for at in range(PyTuple_GET_SIZE(rows)):
        row = item(rows, at)
        if not PyTuple_Check(row) or PyTuple_GET_SIZE(row) != 6:
            raise TypeError("a row is a tuple of six")
        refer(&refs[at], item(row, 0), item(row, 1), item(row, 2), item(row, 3), item(row, 4),
              item(row, 5))
    return 0


cdef void *allocated(size_t count, size_t size) except NULL:
    cdef void *made = malloc(count * size if count else 1)
    if made is NULL:
        raise MemoryError
    return made


def encode_row(row not None, Py_ssize_t shared):
    """Return one version 2 row whose first `shared` key bytes are those of the row before."""
    cdef Ref ref
    cdef bytes made
    cdef uint8_t *at
    cdef size_t head = shared
    refer_rows((tuple(row),), &ref)
    if shared < 0 or head > ref.key_size:
        raise ValueError("more is shared than the key has")
    made = PyBytes_FromStringAndSize(NULL, size_of_row(&ref, head))
    at = <uint8_t *>PyBytes_AS_STRING(made)
    at = put_varint(put_varint(put_varint(at, head), ref.key_size - head), ref.value_size)
    memcpy(at, ref.key + head, ref.key_size - head)
    at += ref.key_size - head
    memcpy(at, ref.value, ref.value_size)
    at += ref.value_size
    store64be(at, ref.seq)
    at[8] = ref.flags
    at += 9
    if ref.flags & EXPIRES:
        store64be(at, <uint64_t>ref.expires)
        at += 8
    if ref.flags & CREATED:
        store64be(at, <uint64_t>ref.created)
    return made


cdef int check_block_size(Py_ssize_t size) except -1:
    if not 0 < size <= 65536:
        raise InvalidError("a block holds 1 to 65536 bytes", kind="block_size", size=size)
    return 0


def encode_blocks(rows, Py_ssize_t block_size):
    """Cut rows into blocks of about `block_size` bytes, in the order they come."""
    check_block_size(block_size)
    cdef tuple held = tuple(rows)
    cdef size_t count = PyTuple_GET_SIZE(held), number, start = 0, row = 0
    cdef Ref *refs = <Ref *>allocated(count, sizeof(Ref))
    cdef Encoder *e = <Encoder *>malloc(sizeof(Encoder))
    cdef Cut *cuts
    cdef int fault
    cdef list made = []
    if e is NULL:
        free(refs)
        raise MemoryError
    memset(e, 0, sizeof(Encoder))
    e.block_size = block_size
    try:
        refer_rows(held, refs)
        if count < 64:
            fault = encode_all(e, refs, count, False) or close_block(e)
        else:
            with nogil:
                fault = encode_all(e, refs, count, False) or close_block(e)
        if fault:
            fail(fault, 0)
        cuts = <Cut *>e.cuts.data
        for number in range(e.cuts.size // sizeof(Cut)):
            made.append((
                PyBytes_FromStringAndSize(<char *>e.out.data + start, cuts[number].end - start),
                item(item(held, row), 0),
                item(item(held, cuts[number].row_end - 1), 0),
                (cuts[number].puts, cuts[number].tombstones, cuts[number].merges),
            ))
            start = cuts[number].end
            row = cuts[number].row_end
    finally:
        free(refs)
        forget_encoder(e)
        free(e)
    return made

# Rows to blocks: what `BlockWriter` of `blocks_plain` tells.

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
    size_t told  # blocks whose ends were told
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
    cdef size_t number
    cdef int fault, order
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
    cdef size_t number
    cdef int fault
    for number in range(count):
        fault = encode_all(e, names[number].ref, names[number].versions, True)
        if fault:
            return fault
    return 0


cdef size_t CHUNK = 2048  # keys looked at before another thread may have the interpreter


cdef class BlockWriter:
    """Rows in the order of a table to blocks, block by block. Not thread-safe."""

    cdef Encoder *e
    cdef bint busy

    def __cinit__(self, Py_ssize_t block_size, *, bint framed, bint hashed):
        check_block_size(block_size)
        self.e = <Encoder *>malloc(sizeof(Encoder))
        if self.e is NULL:
            raise MemoryError
        memset(self.e, 0, sizeof(Encoder))
        self.e.out.python = True
        self.e.block_size = block_size
        self.e.framed = framed
        self.e.hashed = hashed

    def __dealloc__(self):
        if self.e is not NULL:
            forget_encoder(self.e)
            free(self.e)

    @property
    def rows(self):
        return self.e.rows

    @property
    def size(self):
        return self.e.taken + self.e.out.size

    @property
    def ready(self):
        return self.e.block_start

    @property
    def last_key(self):
        if not self.e.rows:
            return None
        return PyBytes_FromStringAndSize(<char *>self.e.last.data, self.e.last.size)

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("a block writer is for one thread at a time")
        self.busy = True
        return 0

    def add(self, rows):
        """Append rows, which follow those before in a table's order."""
        cdef tuple held = tuple(rows)
        cdef size_t count = PyTuple_GET_SIZE(held)
        cdef Ref *refs
        cdef int fault
        if not count:
            return
        self.enter()
        refs = NULL
        try:
            refs = <Ref *>allocated(count, sizeof(Ref))
            refer_rows(held, refs)
            if not self.e.rows and not refs[0].key_size:
                raise InvalidError("a key must have at least one byte", kind="empty_key")
            with nogil:
                fault = encode_all(self.e, refs, count, True)
            self.check(fault)
        finally:
            free(refs)
            self.busy = False

    cdef int check(self, int fault) except -1:
        if fault == BAD_ORDER:
            raise InvalidError("the rows of a table are not in order", kind="row_order")
        if fault:
            fail(fault, 0)
        return 0

    def add_chains(self, dict chains not None):
        """Append all versions of all keys of a dictionary of chains, which nobody changes."""
        self.enter()
        try:
            self.add_all(chains)
        finally:
            self.busy = False

    cdef int add_all(self, dict chains) except -1:
        cdef size_t keys = len(chains), number = 0, size
        cdef Memory refs
        cdef Memory names
        cdef Name *spare = NULL
        cdef Name *ordered
        cdef Name *name
        cdef PyObject *key = NULL
        cdef PyObject *chain = NULL
        cdef Py_ssize_t at = 0
        cdef int fault = 0
        memset(&refs, 0, sizeof(Memory))
        memset(&names, 0, sizeof(Memory))
        try:
            if grow(&refs, keys * sizeof(Ref)) or grow(&names, keys * sizeof(Name)):
                raise MemoryError
            while PyDict_Next(chains, &at, &key, &chain):
                if number == keys:
                    raise RuntimeError("the rows were changed meanwhile")
                name = <Name *>names.data + number
                size = refs.size // sizeof(Ref)
                refer_chain(&refs, <object>key, <object>chain)
                name.head = size  # for now, since the rows may be moved
                name.versions = refs.size // sizeof(Ref) - size
                number += 1
                if number % CHUNK == 0:
                    with nogil:
                        pass
            keys = number
            spare = <Name *>allocated(keys, sizeof(Name))
            with nogil:
                for number in range(keys):
                    name = <Name *>names.data + number
                    name.ref = <Ref *>refs.data + name.head
                ordered = order_names(<Name *>names.data, spare, keys)
                if keys and not ordered[0].ref.key_size and not self.e.rows:
                    fault = -2
                else:
                    fault = encode_names(self.e, ordered, keys)
            if fault == -2:
                raise InvalidError("a key must have at least one byte", kind="empty_key")
            self.check(fault)
        finally:
            free(spare)
            forget(&refs)
            forget(&names)
        return 0

    def close(self):
        """End the open block."""
        if close_block(self.e):
            raise MemoryError

    def take(self, tail=b""):
        """Return the closed blocks since the last time and `tail`, and where each block ends."""
        cdef bytes behind = tail
        cdef Encoder *e = self.e
        cdef Memory rest
        cdef Cut *cuts = <Cut *>e.cuts.data
        cdef size_t open_size = e.out.size - e.block_start
        cdef size_t count = e.cuts.size // sizeof(Cut)
        cdef list ends
        cdef bytes made
        self.enter()
        try:
            memset(&rest, 0, sizeof(Memory))
            rest.python = True
            if open_size and append(&rest, e.out.data + e.block_start, open_size):
                raise MemoryError
            ends = [cuts[number].end - e.taken for number in range(e.told, count)]
            e.told = count
            e.taken += e.block_start
            e.out.size = e.block_start
            e.block_start = 0
            if append(&e.out, bytes_of(behind), PyBytes_GET_SIZE(behind)):
                raise MemoryError
            made = given(&e.out)
            e.out = rest
        finally:
            self.busy = False
        return made, ends

    def first_keys(self):
        """Return the index key of each closed block."""
        cdef Cut *cuts = <Cut *>self.e.cuts.data
        cdef size_t number, start = 0
        cdef list made = []
        for number in range(self.e.cuts.size // sizeof(Cut)):
            made.append(PyBytes_FromStringAndSize(
                <char *>self.e.keys.data + start, cuts[number].key_end - start
            ))
            start = cuts[number].key_end
        return made

    def counts(self):
        """Return how many puts, tombstones and merges each closed block has."""
        cdef Cut *cuts = <Cut *>self.e.cuts.data
        return [
            (cuts[number].puts, cuts[number].tombstones, cuts[number].merges)
            for number in range(self.e.cuts.size // sizeof(Cut))
        ]

    def entries(self):
        """Return the first and the last key, the bytes of all keys and of all values."""
        return (
            PyBytes_FromStringAndSize(<char *>self.e.first.data, self.e.first.size),
            PyBytes_FromStringAndSize(<char *>self.e.last.data, self.e.last.size),
            self.e.key_bytes,
            self.e.value_bytes,
        )

    def bloom(self, Py_ssize_t size, int probes):
        """Return the bits of a bloom filter over the keys of all rows, `size` bytes."""
        return bloom_bits(
            <uint64_t *>self.e.hashes.data, self.e.hashes.size // sizeof(uint64_t), size, probes
        )


cdef int refer_chain(Memory *refs, object key, object chain) except -1:
    cdef Ref *ref
    while chain is not None:
        if not PyTuple_Check(chain) or PyTuple_GET_SIZE(chain) != 6:
            raise TypeError("a chain is a tuple of six")
        if grow(refs, sizeof(Ref)):
            raise MemoryError
        ref = <Ref *>(refs.data + refs.size)
        refer(ref, key, item(chain, 2), item(chain, 0), item(chain, 1), item(chain, 3),
              item(chain, 4))
        refs.size += sizeof(Ref)
        chain = item(chain, 5)
    return 0

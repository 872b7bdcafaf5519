# The blocks of a table, one after another: what `BlockWriter` of `blocks_plain` tells.

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
        """Return the bytes of the closed blocks since the last time, and `tail` behind them."""
        cdef bytes behind = tail
        cdef Encoder *e = self.e
        cdef Memory rest
        cdef size_t open_size = e.out.size - e.block_start
        cdef bytes made
        self.enter()
        try:
            memset(&rest, 0, sizeof(Memory))
            rest.python = True
            if open_size and append(&rest, e.out.data + e.block_start, open_size):
                raise MemoryError
            e.taken += e.block_start
            e.out.size = e.block_start
            e.block_start = 0
            if append(&e.out, bytes_of(behind), PyBytes_GET_SIZE(behind)):
                forget(&rest)
                raise MemoryError
            made = given(&e.out)
            e.out = rest
        finally:
            self.busy = False
        return made

    def ends(self, Py_ssize_t since=0):
        """Return where each closed block but the first `since` ends, in the bytes of all blocks."""
        cdef Cut *cuts = <Cut *>self.e.cuts.data
        return [cuts[number].end for number in range(since, self.e.cuts.size // sizeof(Cut))]

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


def encode_log(rows, Py_ssize_t block_size):
    """Cut the rows of a log file, by rising numbers, into blocks with their checksums."""
    check_block_size(block_size)
    cdef tuple held = tuple(rows)
    cdef size_t count = PyTuple_GET_SIZE(held), number
    cdef BlockWriter writer = BlockWriter(block_size, framed=True, hashed=False)
    cdef Encoder *e = writer.e
    cdef Ref *refs = <Ref *>allocated(count, sizeof(Ref))
    cdef Cut *cuts
    cdef int fault = 0
    cdef list firsts = [], ends
    cdef uint8_t name[8]
    try:
        refer_rows(held, refs)
        if count < 64:
            fault = encode_rising(e, refs, count)
        else:
            with nogil:
                fault = encode_rising(e, refs, count)
        if fault == BAD_ORDER:
            raise InvalidError("the rows of a log file are not in order", kind="row_order")
        if fault:
            fail(fault, 0)
        cuts = <Cut *>e.cuts.data
        ends = writer.ends()
        for number in range(len(ends)):
            store64be(name, refs[cuts[number - 1].row_end if number else 0].seq)
            firsts.append(PyBytes_FromStringAndSize(<char *>name, 8))
    finally:
        free(refs)
    return writer.take(), ends, firsts


cdef int encode_rising(Encoder *e, const Ref *refs, size_t count) noexcept nogil:
    cdef size_t number
    for number in range(1, count):
        if refs[number].seq < refs[number - 1].seq:
            return BAD_ORDER
    return encode_all(e, refs, count, False) or close_block(e)

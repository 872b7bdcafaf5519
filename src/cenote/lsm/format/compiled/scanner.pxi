# Sources merged to what is seen of each key: what `Scanner` of `scanner_plain` tells.

MORE = -4


cdef class Scanner(Merging):
    """Sources of blocks or rows, the newest first, to the rows or pairs that a reader sees."""

    cdef Memory settled  # the key that is decided
    cdef bint has_settled
    cdef bint pairs
    cdef uint64_t seq_max
    cdef int64_t now
    cdef list versions  # of a key whose newest version is an operand
    cdef object fold

    def __cinit__(self, spans, *, seq_max, now_ms, bint pairs, fold):
        self.begin(list(spans))
        self.seq_max = seq_max
        self.now = now_ms
        self.pairs = pairs
        self.versions = []
        self.fold = fold

    def __dealloc__(self):
        forget(&self.settled)

    def run(self, Py_ssize_t limit):
        """Return up to `limit` rows, and which source wants blocks, or DONE, or MORE."""
        cdef list found = []
        self.enter()
        try:
            told = self.collect(found, limit)
        finally:
            self.busy = False
        return found, told

    cdef Py_ssize_t collect(self, list found, Py_ssize_t limit) except -9:
        cdef Sources *all = &self.all
        cdef Py_ssize_t told = -1
        cdef Ref *row
        cdef int order
        cdef int fault = fill_heap(all, &told)
        if fault:
            fail(fault, all.all[told].where if told >= 0 else 0)
        while told < 0 and all.heap_size and PyList_GET_SIZE(found) < limit:
            row = &all.all[all.heap[0]].row
            if row.seq <= self.seq_max:
                order = -1
                if self.has_settled:
                    order = compare(self.settled.data, self.settled.size, row.key, row.key_size)
                if order > 0:
                    fail(BAD_ORDER, 0)
                if order:
                    self.see(found, row)
            fault = step(all, &told)
            if fault:
                fail(fault, all.all[told].where)
        if told < 0 and not all.heap_size and self.versions:
            self.settle(found)
        if told < 0 and all.heap_size:
            return -4
        return told

    cdef int see(self, list found, Ref *row) except -1:
        cdef bint over = row.flags & EXPIRES and row.expires <= self.now
        if self.versions:
            key = item(self.versions[0], 0)
            if compare(
                bytes_of(key), PyBytes_GET_SIZE(key), row.key, row.key_size
            ):
                self.settle(found)
            else:
                if row.seq < <uint64_t>item(self.versions[len(self.versions) - 1], 2):
                    self.versions.append(row_of(row))
                    if not row.flags & MERGE:
                        self.settle(found)
                return 0
        if row.flags & MERGE:
            self.versions.append(row_of(row))
            return 0
        if keep(&self.settled, row.key, row.key_size):
            raise MemoryError
        self.has_settled = True
        if row.flags & TOMBSTONE or over:
            return 0
        found.append(pair_of(row) if self.pairs else row_of(row))
        return 0

    cdef int settle(self, list found) except -1:
        cdef list versions = self.versions
        cdef bytes key = item(versions[0], 0)
        self.versions = []
        keep_bytes(&self.settled, key)
        self.has_settled = True
        seen = self.fold(versions)
        if seen is not None:
            found.append((seen[0], seen[1]) if self.pairs else seen)
        return 0


cdef object pair_of(const Ref *r):
    key = PyBytes_FromStringAndSize(<const char *>r.key, r.key_size)
    value = PyBytes_FromStringAndSize(<const char *>r.value, r.value_size)
    pair = (key, value)
    PyObject_GC_UnTrack(<void *>pair)
    return pair


cdef object row_of(const Ref *r):
    key = PyBytes_FromStringAndSize(<const char *>r.key, r.key_size)
    value = PyBytes_FromStringAndSize(<const char *>r.value, r.value_size)
    created = <int64_t>r.created if r.flags & CREATED else None
    expires = <int64_t>r.expires if r.flags & EXPIRES else None
    seq = PyLong_FromUnsignedLongLong(r.seq)
    return row_tuple(key, value, seq, kind_of(r.flags), created, expires)

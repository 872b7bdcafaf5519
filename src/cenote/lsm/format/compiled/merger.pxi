# Tables merged to tables: what `Merger` of `merger_plain` tells.

DONE = -1
TABLE_FULL = -2
PIECE_READY = -3


cdef struct Late:  # a tombstone that goes unless a row of its key follows
    uint64_t seq
    int64_t created
    int64_t expires
    uint8_t flags


cdef struct Rule:
    Memory group  # the key whose versions are being read
    Memory late
    uint64_t group_seq
    uint64_t seq_min
    int64_t now
    size_t table_size
    size_t piece_size
    bint has_group
    bint settled  # older versions of the key go
    bint bottom


cdef inline int write_late(Encoder *e, Rule *rule) noexcept nogil:
    cdef size_t number
    cdef Late *late = <Late *>rule.late.data
    cdef Ref r
    for number in range(rule.late.size // sizeof(Late)):
        r.key = rule.group.data
        r.key_size = rule.group.size
        r.value = NULL
        r.value_size = 0
        r.seq = late[number].seq
        r.flags = late[number].flags
        r.created = late[number].created
        r.expires = late[number].expires
        if encode(e, &r):
            return NO_MEMORY
    rule.late.size = 0
    return SOUND


cdef inline int retain(Encoder *e, Rule *rule, const Ref *row) noexcept nogil:
    """Write a version of the group's key, or not."""
    cdef Ref r = row[0]
    cdef Late late
    if r.flags & EXPIRES and r.expires <= rule.now:
        if r.flags & MERGE:
            return SOUND
        r.flags = TOMBSTONE | r.flags & CREATED
        r.value_size = 0
    if not (r.seq > rule.seq_min or r.flags & MERGE):
        rule.settled = True
    if r.flags & TOMBSTONE and rule.bottom:
        late.seq = r.seq
        late.created = r.created
        late.expires = r.expires
        late.flags = r.flags
        return append(&rule.late, <const uint8_t *>&late, sizeof(Late))
    if rule.late.size and write_late(e, rule):
        return NO_MEMORY
    return encode(e, &r)


cdef int merge_on(Sources *all, Encoder *e, Rule *rule, Py_ssize_t *told) noexcept nogil:
    """Merge until something is to be done by the caller: `told`, a source or a number below 0."""
    cdef Ref *row
    cdef int fault, order
    told[0] = DONE_NUMBER
    fault = fill_heap(all, told)
    if fault or told[0] >= 0:
        return fault
    while all.heap_size:
        if e.block_start >= rule.piece_size:
            told[0] = PIECE_NUMBER
            return SOUND
        row = &all.all[all.heap[0]].row
        order = -1
        if rule.has_group:
            order = compare(rule.group.data, rule.group.size, row.key, row.key_size)
        if order > 0 or (order == 0 and row.seq > rule.group_seq):
            return BAD_ORDER
        if order < 0:
            if e.rows and e.taken + e.out.size >= rule.table_size:
                told[0] = FULL_NUMBER
                return SOUND
            rule.late.size = 0
            rule.settled = False
            if keep(&rule.group, row.key, row.key_size):
                return NO_MEMORY
        if not rule.settled and (order < 0 or row.seq < rule.group_seq):
            if retain(e, rule, row):
                return NO_MEMORY
        rule.has_group = True
        rule.group_seq = row.seq
        fault = step(all, told)
        if fault or told[0] >= 0:
            return fault
    return SOUND


cdef enum:
    DONE_NUMBER = -1
    FULL_NUMBER = -2
    PIECE_NUMBER = -3


cdef class Merger(Merging):
    """Sources of encoded blocks, the newest first, to the blocks of new tables."""

    cdef Rule rule
    cdef public BlockWriter writer

    def __cinit__(self, spans, *, writer, Py_ssize_t table_size_max, Py_ssize_t piece_size, seq_min,
                  now_ms, bint drop_tombstones):
        self.begin(list(spans))
        self.writer = writer
        self.rule.table_size = table_size_max
        self.rule.piece_size = piece_size
        self.rule.seq_min = seq_min
        self.rule.now = now_ms
        self.rule.bottom = drop_tombstones

    def __dealloc__(self):
        forget(&self.rule.group)
        forget(&self.rule.late)

    def run(self):
        """Merge on; return which source wants blocks, or DONE, TABLE_FULL, PIECE_READY."""
        cdef Py_ssize_t told = DONE_NUMBER
        cdef int fault
        cdef BlockWriter writer = self.writer
        if writer is None:
            raise TypeError("there is no writer")
        self.enter()
        writer.enter()
        try:
            with nogil:
                fault = merge_on(&self.all, writer.e, &self.rule, &told)
        finally:
            writer.busy = False
            self.busy = False
        if fault:
            fail(fault, self.all.all[told].where if told >= 0 else 0)
        return told

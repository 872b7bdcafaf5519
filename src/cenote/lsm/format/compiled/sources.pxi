# Several sources of rows, merged into one order: encoded blocks, chunk by chunk, or tuples.

cdef enum State:
    WANTS = 0  # another chunk, or to be told that there is none
    HAS = 1  # a row
    OVER = 2


cdef struct Source:
    Ref row
    Memory key  # of the row, when it comes from a block
    Memory start  # keys below it are passed over
    Memory stop  # the first key that is no more wanted
    const uint8_t *data  # the chunk
    Memory ends  # of its blocks
    size_t block  # the next one
    const uint8_t *rows  # of the block that is being read
    Restarts restarts
    size_t at
    size_t next_restart
    Ref *refs  # rows that are tuples
    size_t refs_count
    size_t refs_at
    size_t where  # of a fault
    bint in_block
    bint framed
    bint has_start
    bint has_stop
    bint told_over
    int state


cdef int next_row(Source *s) noexcept nogil:
    """Move to the next row that is wanted, and set the state."""
    cdef int fault
    while True:
        if s.refs_at < s.refs_count:
            s.row = s.refs[s.refs_at]
            s.refs_at += 1
        elif s.in_block:
            fault = next_in_block(s)
            if fault:
                return fault
            if not s.in_block:
                continue
        elif s.block < s.ends.size // sizeof(size_t):
            fault = open_block(s)
            if fault:
                return fault
            continue
        else:
            s.state = OVER if s.told_over else WANTS
            return SOUND
        if s.has_start:
            if compare(s.row.key, s.row.key_size, s.start.data, s.start.size) < 0:
                continue
            s.has_start = False
        if s.has_stop and compare(s.row.key, s.row.key_size, s.stop.data, s.stop.size) >= 0:
            s.state = OVER
            return SOUND
        s.state = HAS
        return SOUND


cdef int open_block(Source *s) noexcept nogil:
    cdef size_t *ends = <size_t *>s.ends.data
    cdef size_t start = ends[s.block - 1] if s.block else 0
    cdef size_t size = ends[s.block] - start
    cdef int fault
    s.block += 1
    s.rows = s.data + start
    if s.framed:
        if size < 4:
            return BAD_SECTION
        if not crc_matches(s.rows, size):
            s.where = size
            return BAD_CHECKSUM
        size -= 4
    fault = read_restarts(s.rows, size, &s.restarts, &s.where)
    if fault:
        return fault
    s.at = s.next_restart = 0
    s.key.size = 0
    s.in_block = True
    return SOUND


cdef inline int next_in_block(Source *s) noexcept nogil:
    cdef Head row
    cdef const uint8_t *tail
    cdef int fault
    if s.at >= s.restarts.end:
        s.in_block = False
        return BAD_RESTART if s.next_restart < s.restarts.count else SOUND
    fault = read_head(s.rows, s.at, s.restarts.end, s.key.size, &row, &s.where)
    if fault:
        return fault
    if s.next_restart < s.restarts.count and s.at >= restart(&s.restarts, s.next_restart):
        if s.at > restart(&s.restarts, s.next_restart) or row.shared:
            return BAD_RESTART
        s.next_restart += 1
    s.key.size = row.shared
    if append(&s.key, s.rows + row.suffix, row.unshared):
        return NO_MEMORY
    s.at = row.end
    s.row.key = s.key.data
    s.row.key_size = s.key.size
    s.row.value = s.rows + row.value
    s.row.value_size = row.value_size
    s.row.seq = load64be(s.rows + row.flags_at - 8)
    s.row.flags = row.flags
    tail = s.rows + row.flags_at + 1
    if row.flags & EXPIRES:
        s.row.expires = <int64_t>load64be(tail)
        tail += 8
    if row.flags & CREATED:
        s.row.created = <int64_t>load64be(tail)
    return SOUND


cdef struct Sources:
    Source *all
    size_t count
    size_t *heap  # of those that have a row, the first in order at 0
    size_t heap_size
    bint started


cdef inline bint comes_first(const Sources *all, size_t a, size_t b) noexcept nogil:
    cdef const Ref *left = &all.all[a].row
    cdef const Ref *right = &all.all[b].row
    cdef int order = compare(left.key, left.key_size, right.key, right.key_size)
    if order:
        return order < 0
    if left.seq != right.seq:
        return left.seq > right.seq
    return a < b


cdef void sift_down(Sources *all) noexcept nogil:
    cdef size_t at = 0, below, moved = all.heap[0]
    while True:
        below = 2 * at + 1
        if below >= all.heap_size:
            break
        if below + 1 < all.heap_size and comes_first(all, all.heap[below + 1], all.heap[below]):
            below += 1
        if not comes_first(all, all.heap[below], moved):
            break
        all.heap[at] = all.heap[below]
        at = below
    all.heap[at] = moved


cdef void sift_up(Sources *all, size_t source) noexcept nogil:
    cdef size_t at = all.heap_size, above
    all.heap_size += 1
    while at:
        above = (at - 1) // 2
        if not comes_first(all, source, all.heap[above]):
            break
        all.heap[at] = all.heap[above]
        at = above
    all.heap[at] = source


cdef int fill_heap(Sources *all, Py_ssize_t *missing) noexcept nogil:
    """Put every source that has a row again into the heap; tell of one that wants a chunk."""
    cdef size_t number
    cdef int fault
    missing[0] = -1
    for number in range(all.count):
        if all.all[number].state != WANTS:
            continue
        fault = next_row(&all.all[number])
        if fault:
            missing[0] = number
            return fault
        if all.all[number].state == HAS:
            sift_up(all, number)
        elif all.all[number].state == WANTS and missing[0] < 0:
            missing[0] = number
    return SOUND


cdef int step(Sources *all, Py_ssize_t *missing) noexcept nogil:
    """Move the first source on; `missing` is set when it wants a chunk."""
    cdef size_t number = all.heap[0]
    cdef Source *source = &all.all[number]
    cdef int fault = next_row(source)
    if fault:
        missing[0] = number
        return fault
    if source.state != HAS:
        if source.state == WANTS:
            missing[0] = number
        all.heap_size -= 1
        if not all.heap_size:
            return SOUND
        all.heap[0] = all.heap[all.heap_size]
    sift_down(all)
    return SOUND


cdef class Merging:
    """Sources being merged: what a compaction and a scan have in common."""

    cdef Sources all
    cdef list held
    cdef bint busy

    def __dealloc__(self):
        cdef size_t number
        for number in range(self.all.count):
            forget(&self.all.all[number].key)
            forget(&self.all.all[number].start)
            forget(&self.all.all[number].stop)
            forget(&self.all.all[number].ends)
            free(self.all.all[number].refs)
        free(self.all.all)
        free(self.all.heap)

    cdef int begin(self, list spans) except -1:
        """Make one source for each half-open span of keys; an end of None is no end."""
        cdef size_t count = len(spans), number
        cdef Source *source
        self.held = [None] * count
        self.all.all = <Source *>allocated(count, sizeof(Source))
        memset(self.all.all, 0, count * sizeof(Source))
        self.all.count = count
        self.all.heap = <size_t *>allocated(count, sizeof(size_t))
        for number in range(count):
            source = &self.all.all[number]
            start, stop = spans[number]
            if start:
                keep_bytes(&source.start, start)
                source.has_start = True
            if stop is not None:
                keep_bytes(&source.stop, stop)
                source.has_stop = True
        return 0

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("a merge is for one thread at a time")
        self.busy = True
        return 0

    cdef Source *wanting(self, Py_ssize_t number) except NULL:
        if self.busy:
            raise RuntimeError("a merge is for one thread at a time")
        if not 0 <= number < <Py_ssize_t>self.all.count:
            raise IndexError("there is no such source")
        if self.all.all[number].state != WANTS:
            raise ValueError("the source wants no more")
        return &self.all.all[number]

    def feed(self, Py_ssize_t number, data not None, ends, bint framed=False):
        """Give a source its next blocks, whole ones, and where each of them ends."""
        cdef bytes chunk = data
        cdef Source *source = self.wanting(number)
        cdef size_t last = 0, end
        cdef list places = list(ends)
        for place in places:
            end = place
            if end < last or end > <size_t>PyBytes_GET_SIZE(chunk):
                raise ValueError("a block lies outside its chunk")
            last = end
        source.ends.size = 0
        if grow(&source.ends, len(places) * sizeof(size_t)):
            raise MemoryError
        for place in places:
            end = place
            append(&source.ends, <const uint8_t *>&end, sizeof(size_t))
        self.held[number] = chunk
        source.data = bytes_of(chunk)
        source.block = 0
        source.framed = framed
        source.in_block = False

    def feed_rows(self, Py_ssize_t number, rows):
        """Give a source its next rows."""
        cdef tuple held = tuple(rows)
        cdef Source *source = self.wanting(number)
        cdef size_t count = PyTuple_GET_SIZE(held)
        cdef Ref *refs = <Ref *>allocated(count, sizeof(Ref))
        try:
            refer_rows(held, refs)
        except BaseException:
            free(refs)
            raise
        free(source.refs)
        source.refs = refs
        source.refs_count = count
        source.refs_at = 0
        self.held[number] = held

    def end(self, Py_ssize_t number):
        """Tell that a source has no more than it was given."""
        self.wanting(number).told_over = True

    def wants(self):
        """Return the sources that cannot go on without more blocks."""
        return [
            number
            for number in range(self.all.count)
            if self.all.all[number].state == WANTS and not self.all.all[number].told_over
        ]


cdef int keep_bytes(Memory *m, bytes data) except -1:
    if keep(m, bytes_of(data), PyBytes_GET_SIZE(data)):
        raise MemoryError
    return 0

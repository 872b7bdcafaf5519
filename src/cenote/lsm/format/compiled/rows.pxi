# Rows of version 2 blocks to tuples, and the search in a block.

cdef enum:
    TOMBSTONE = 1
    EXPIRES = 2
    CREATED = 4
    MERGE = 8
    RESTART_INTERVAL = 16
    RESTARTS_MAX = 8192

cdef uint8_t TAILS[256]  # from the seq to the end of the row; 0: flags that nobody sets


cdef void fill_tails() noexcept:
    cdef int flags
    for flags in range(256):
        if flags & ~(TOMBSTONE | EXPIRES | CREATED | MERGE) or flags & 9 == 9:
            TAILS[flags] = 0
        else:
            TAILS[flags] = 9 + 8 * ((flags & EXPIRES != 0) + (flags & CREATED != 0))


fill_tails()


cdef struct Head:
    size_t suffix  # where the rest of the key begins
    size_t value
    size_t flags_at
    size_t end
    size_t shared
    size_t unshared
    size_t value_size
    uint8_t flags


cdef inline int read_varint(
    const uint8_t *data, size_t *at, size_t end, size_t *number
) noexcept nogil:
    cdef size_t found = 0
    cdef int shift = 0
    cdef uint8_t byte
    while at[0] < end:
        byte = data[at[0]]
        at[0] += 1
        found |= <size_t>(byte & 0x7F) << shift
        if byte < 0x80:
            if found > 0xFFFFFFFFULL:
                return BAD_VARINT
            number[0] = found
            return SOUND
        shift += 7
        if shift > 28:
            return BAD_VARINT
    return BAD_VARINT


cdef inline int read_lengths(
    const uint8_t *data, size_t *at, size_t end, Head *row
) noexcept nogil:
    cdef size_t start = at[0]
    if start + 3 <= end and (data[start] | data[start + 1] | data[start + 2]) < 0x80:
        row.shared = data[start]
        row.unshared = data[start + 1]
        row.value_size = data[start + 2]
        at[0] = start + 3
        return SOUND
    if read_varint(data, at, end, &row.shared):
        return BAD_VARINT
    if read_varint(data, at, end, &row.unshared):
        return BAD_VARINT
    return read_varint(data, at, end, &row.value_size)


cdef inline int read_head(
    const uint8_t *data, size_t start, size_t end, size_t previous, Head *row, size_t *where
) noexcept nogil:
    """Read where the parts of the row at `start` are, all of them before `end`.

    `previous` is the size of the key before. On a fault `where` is set.
    """
    cdef size_t at = start
    if read_lengths(data, &at, end, row):
        where[0] = at
        return BAD_VARINT
    row.suffix = at
    row.value = at + row.unshared
    row.flags_at = row.value + row.value_size + 8
    where[0] = start
    if row.flags_at >= end or row.shared > previous:
        return BAD_FIT
    row.flags = data[row.flags_at]
    row.end = row.flags_at + TAILS[row.flags] - 8
    if not TAILS[row.flags] or row.end > end or (row.flags & TOMBSTONE and row.value_size):
        return BAD_FLAGS
    return SOUND


cdef struct Restarts:
    const uint8_t *at
    size_t count
    size_t end  # where the rows end


cdef inline size_t restart(Restarts *r, size_t number) noexcept nogil:
    return <size_t>r.at[2 * number] << 8 | r.at[2 * number + 1]


cdef inline int read_restarts(
    const uint8_t *block, size_t size, Restarts *r, size_t *where
) noexcept nogil:
    cdef size_t number
    if size < 2:
        return NO_RESTARTS
    r.count = <size_t>block[size - 2] << 8 | block[size - 1]
    where[0] = r.count
    if 2 + 2 * r.count > size or (not r.count and size > 2):
        return BAD_RESTART_COUNT
    r.end = size - 2 - 2 * r.count
    r.at = block + r.end
    if r.count and restart(r, 0):
        return BAD_FIRST_RESTART
    for number in range(1, r.count):
        if restart(r, number - 1) >= restart(r, number):
            return BAD_RESTART_ORDER
    return SOUND


cdef inline object row_tuple(object key, object value, object seq, object kind, object created,
                             object expires):
    """Return a row that the garbage collector need not look at: it holds no containers."""
    cdef object row = PyTuple_New(6)
    Py_INCREF(key)
    PyTuple_SET_ITEM(row, 0, key)
    Py_INCREF(value)
    PyTuple_SET_ITEM(row, 1, value)
    Py_INCREF(seq)
    PyTuple_SET_ITEM(row, 2, seq)
    Py_INCREF(kind)
    PyTuple_SET_ITEM(row, 3, kind)
    Py_INCREF(created)
    PyTuple_SET_ITEM(row, 4, created)
    Py_INCREF(expires)
    PyTuple_SET_ITEM(row, 5, expires)
    PyObject_GC_UnTrack(<void *>row)
    return row


cdef object PUT_KIND = 0
cdef object TOMBSTONE_KIND = 1
cdef object MERGE_KIND = 8


cdef inline object kind_of(uint8_t flags):
    if flags & TOMBSTONE:
        return TOMBSTONE_KIND
    return MERGE_KIND if flags & MERGE else PUT_KIND


cdef object row_at(object key, const uint8_t *data, const Head *row):
    """Return the row of a head, its key made already."""
    cdef const uint8_t *tail = data + row.flags_at + 1
    created = expires = None
    if row.flags & EXPIRES:
        expires = <int64_t>load64be(tail)
        tail += 8
    if row.flags & CREATED:
        created = <int64_t>load64be(tail)
    value = PyBytes_FromStringAndSize(<const char *>data + row.value, row.value_size)
    seq = PyLong_FromUnsignedLongLong(load64be(data + row.flags_at - 8))
    return row_tuple(key, value, seq, kind_of(row.flags), created, expires)


cdef inline object key_of(object previous, const uint8_t *data, const Head *row):
    """Return the key of a row that follows one of key `previous`."""
    cdef object key
    if not row.shared:
        return PyBytes_FromStringAndSize(<const char *>data + row.suffix, row.unshared)
    key = PyBytes_FromStringAndSize(NULL, row.shared + row.unshared)
    memcpy(PyBytes_AS_STRING(key), PyBytes_AS_STRING(previous), row.shared)
    memcpy(PyBytes_AS_STRING(key) + row.shared, data + row.suffix, row.unshared)
    return key


def decode_rows(block not None, Py_ssize_t at, Py_ssize_t end, previous not None):
    """Return the rows of `block[at:end]`, and where those start whose keys are complete."""
    cdef bytes held = block
    cdef bytes key = previous
    cdef const uint8_t *data = bytes_of(held)
    cdef Head row
    cdef size_t where = 0
    cdef int fault
    cdef list rows = [], whole = []
    if at < 0 or end > PyBytes_GET_SIZE(held):
        raise ValueError("the rows lie outside their block")
    while at < end:
        fault = read_head(data, at, end, PyBytes_GET_SIZE(key), &row, &where)
        if fault:
            fail(fault, where)
        key = key_of(key, data, &row)
        if not row.shared:
            whole.append(at)
        rows.append(row_at(key, data, &row))
        at = row.end
    return rows, whole


def decode_block(block not None):
    """Return the rows of a version 2 block, in their order."""
    cdef bytes held = block
    cdef const uint8_t *data = bytes_of(held)
    cdef Restarts r
    cdef Head row
    cdef size_t where = 0, at = 0, next_restart = 0
    cdef int fault = read_restarts(data, PyBytes_GET_SIZE(held), &r, &where)
    cdef bint lost = False
    cdef object key = b""
    cdef list rows = []
    if fault:
        fail(fault, where)
    while at < r.end:
        fault = read_head(data, at, r.end, PyBytes_GET_SIZE(key), &row, &where)
        if fault:
            fail(fault, where)
        if next_restart < r.count and at >= restart(&r, next_restart):
            if at > restart(&r, next_restart) or row.shared:
                lost = True
            next_restart += 1
        key = key_of(key, data, &row)
        rows.append(row_at(key, data, &row))
        at = row.end
    if lost or next_restart < r.count:
        fail(BAD_RESTART, 0)
    return rows


cdef inline int key_at(
    const uint8_t *data, size_t at, size_t end, Head *row, size_t *where
) noexcept nogil:
    """Find the whole key of the row at a restart."""
    if read_lengths(data, &at, end, row):
        where[0] = at
        return BAD_VARINT
    if row.shared or at + row.unshared > end:
        return BAD_RESTART
    row.suffix = at
    return SOUND


def find_in_block(block not None, key not None, seq_max):
    """Return the newest row of `key` with seq <= `seq_max` in one version 2 block, or None."""
    cdef bytes held = block
    cdef bytes wanted = key
    cdef const uint8_t *data = bytes_of(held)
    cdef const uint8_t *name = bytes_of(wanted)
    cdef size_t name_size = PyBytes_GET_SIZE(wanted)
    cdef uint64_t newest
    cdef Restarts r
    cdef Head row
    cdef size_t where = 0, low = 0, high, middle, at
    cdef int fault = read_restarts(data, PyBytes_GET_SIZE(held), &r, &where)
    if fault:
        fail(fault, where)
    if seq_max < 0:
        newest = 0
    else:
        newest = seq_max if seq_max <= 0xFFFFFFFFFFFFFFFF else 0xFFFFFFFFFFFFFFFF
    high = r.count
    while low < high:
        middle = (low + high) // 2
        fault = key_at(data, restart(&r, middle), r.end, &row, &where)
        if fault:
            fail(fault, where)
        if compare(data + row.suffix, row.unshared, name, name_size) < 0:
            low = middle + 1
        else:
            high = middle
    at = r.end
    if r.count:
        at = restart(&r, low - 1 if low else 0)
    return find_row(data, at, r.end, name, name_size, newest, seq_max < 0)


cdef object find_row(const uint8_t *data, size_t at, size_t end, const uint8_t *name,
                     size_t name_size, uint64_t newest, bint none):
    """Return the first row at or after a restart with this key and seq <= `newest`, or None."""
    cdef Head row
    cdef size_t start, matched = 0, same, previous = 0
    cdef int order = -1
    # What is known of the key of each row: how many bytes it has, how many of them are the wanted
    # key's, and how it compares. That is enough for the next one, and no key is put together.
    while at < end:
        start = at
        if read_lengths(data, &at, end, &row):
            fail(BAD_VARINT, at)
        row.suffix = at
        row.value = at + row.unshared
        row.flags_at = row.value + row.value_size + 8
        if row.flags_at >= end or row.shared > previous:
            fail(BAD_FIT, start)
        row.flags = data[row.flags_at]
        if row.shared <= matched:
            same = common(data + at, row.unshared, name + row.shared, name_size - row.shared)
            matched = row.shared + same
            previous = row.shared + row.unshared
            if same < row.unshared:
                order = 1 if matched == name_size or data[at + same] > name[matched] else -1
            else:
                order = 0 if matched == name_size else -1
        else:  # it differs from the wanted key where the one before did
            previous = row.shared + row.unshared
        if order > 0:
            return None
        if order == 0:
            if not TAILS[row.flags] or row.flags_at + TAILS[row.flags] - 8 > end or (
                row.flags & TOMBSTONE and row.value_size
            ):
                fail(BAD_FLAGS, start)
            if not none and load64be(data + row.flags_at - 8) <= newest:
                return row_at(
                    PyBytes_FromStringAndSize(<const char *>name, name_size), data, &row
                )
        if not TAILS[row.flags]:
            fail(BAD_FIT_SOMEWHERE, 0)
        at = row.flags_at + TAILS[row.flags] - 8
    if at != end:
        fail(BAD_FIT_SOMEWHERE, 0)
    return None


def shared_prefix(a not None, b not None):
    """Return how many first bytes are the same."""
    cdef bytes left = a
    cdef bytes right = b
    return common(
        bytes_of(left), PyBytes_GET_SIZE(left), bytes_of(right), PyBytes_GET_SIZE(right)
    )


def varint(number):
    """Return an unsigned LEB128 of a 32-bit number: 1 to 5 bytes."""
    cdef uint8_t made[16]
    cdef uint8_t *end = put_varint(made, <size_t>number)
    return PyBytes_FromStringAndSize(<char *>made, end - made)


def decode_block_v1(block not None):
    """Return the rows of a version 1 block, in their order."""
    cdef bytes held = block
    cdef const uint8_t *data = bytes_of(held)
    cdef Restarts r
    cdef size_t where = 0, number, start, stop, at, value_at, value_size, shared, unshared
    cdef uint8_t flags
    cdef object first = b"", key
    cdef list rows = []
    cdef int fault = read_restarts(data, PyBytes_GET_SIZE(held), &r, &where)
    if fault:
        fail(fault, where)
    for number in range(r.count):
        start = restart(&r, number)
        stop = restart(&r, number + 1) if number + 1 < r.count else r.end
        if start + 13 > stop or stop > r.end:
            fail(BAD_FIT, start)
        shared = <size_t>data[start] << 8 | data[start + 1]
        unshared = <size_t>data[start + 2] << 8 | data[start + 3]
        at = start + 4 + unshared
        if at + 9 > stop or shared > <size_t>PyBytes_GET_SIZE(first):
            fail(BAD_FIT, start)
        key = PyBytes_FromStringAndSize(NULL, shared + unshared)
        memcpy(PyBytes_AS_STRING(key), PyBytes_AS_STRING(first), shared)
        memcpy(PyBytes_AS_STRING(key) + shared, data + start + 4, unshared)
        flags = data[at + 8]
        value_at = at + TAILS[flags]
        if not TAILS[flags] or value_at > stop:
            fail(BAD_FLAGS, start)
        expires = created = None
        if flags & EXPIRES:
            expires = <int64_t>load64be(data + at + 9)
        if flags & CREATED:
            created = <int64_t>load64be(data + value_at - 8)
        value = b""
        if flags & TOMBSTONE:
            value_at -= 4
        elif value_at + 4 > stop:
            fail(BAD_FIT, start)
        else:
            value_size = stop - value_at - 4
            value = PyBytes_FromStringAndSize(<const char *>data + value_at + 4, value_size)
            if load64be(data + value_at - 4) & 0xFFFFFFFFULL != value_size:
                raise DataError("a value does not fill its row", kind="row", offset=start)
        if value_at + 4 + <size_t>PyBytes_GET_SIZE(value) != stop:
            raise DataError(
                "a row does not end where the next starts", kind="row", offset=start
            )
        if not rows:
            first = key
        seq = PyLong_FromUnsignedLongLong(load64be(data + at))
        rows.append(row_tuple(key, value, seq, kind_of(flags), created, expires))
    return rows

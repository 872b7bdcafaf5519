# Growing memory, numbers in it, keys compared, and the errors of damaged bytes.

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1
    PyObject *BytesNew "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size)
    char *BytesData "PyBytes_AS_STRING"(PyObject *bytes) nogil
    void Release "Py_XDECREF"(PyObject *object)
    void PyObject_GC_UnTrack(void *object)

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define KERNEL_SWAP64(x) __builtin_bswap64(x)
    #define KERNEL_LITTLE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
    #else
    #include <stdlib.h>
    #define KERNEL_SWAP64(x) _byteswap_uint64(x)
    #define KERNEL_LITTLE 1
    #endif
    static inline uint64_t kernel_load64be(const uint8_t *p) {
        uint64_t x; memcpy(&x, p, 8); return KERNEL_LITTLE ? KERNEL_SWAP64(x) : x;
    }
    static inline uint64_t kernel_load64le(const uint8_t *p) {
        uint64_t x; memcpy(&x, p, 8); return KERNEL_LITTLE ? x : KERNEL_SWAP64(x);
    }
    static inline void kernel_store64be(uint8_t *p, uint64_t x) {
        if (KERNEL_LITTLE) x = KERNEL_SWAP64(x);
        memcpy(p, &x, 8);
    }
    static inline uint32_t kernel_load32le(const uint8_t *p) {
        return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    }
    static inline void kernel_store32le(uint8_t *p, uint32_t x) {
        p[0] = x; p[1] = x >> 8; p[2] = x >> 16; p[3] = x >> 24;
    }
    """
    uint64_t load64be "kernel_load64be"(const uint8_t *p) nogil
    uint64_t load64le "kernel_load64le"(const uint8_t *p) nogil
    void store64be "kernel_store64be"(uint8_t *p, uint64_t x) nogil
    uint32_t load32le "kernel_load32le"(const uint8_t *p) nogil
    void store32le "kernel_store32le"(uint8_t *p, uint32_t x) nogil


# `owner`: the bytes object whose memory this is, when `python` is set; else it is the C library's.
cdef struct Memory:
    uint8_t *data
    size_t size
    size_t room
    PyObject *owner
    bint python


cdef int grow_bytes(Memory *m, size_t room) noexcept with gil:
    try:
        if m.owner is NULL:
            m.owner = BytesNew(NULL, room)
            if m.owner is NULL:
                PyErr_Clear()
                return -1
        else:
            _PyBytes_Resize(&m.owner, room)
    except MemoryError:
        m.owner = NULL
        m.data = NULL
        m.size = m.room = 0
        return -1
    m.data = <uint8_t *>BytesData(m.owner)
    m.room = room
    return 0


cdef int grow(Memory *m, size_t more) noexcept nogil:
    """Make room for `more` bytes behind those that are there; -1 when there is no memory."""
    cdef size_t room = m.size + more
    cdef void *moved
    if room <= m.room:
        return 0
    if room < 2 * m.room:
        room = 2 * m.room
    if room < 256:
        room = 256
    if m.python:
        return grow_bytes(m, room)
    moved = realloc(m.data, room)
    if moved is NULL:
        return -1
    m.data = <uint8_t *>moved
    m.room = room
    return 0


cdef inline int append(Memory *m, const uint8_t *data, size_t size) noexcept nogil:
    if grow(m, size):
        return -1
    if size:
        memcpy(m.data + m.size, data, size)
    m.size += size
    return 0


cdef inline int keep(Memory *m, const uint8_t *data, size_t size) noexcept nogil:
    """Make the memory hold these bytes and no others."""
    m.size = 0
    return append(m, data, size)


cdef void forget(Memory *m) noexcept:
    """Give the memory back."""
    if m.python:
        Release(m.owner)
        m.owner = NULL
    else:
        free(m.data)
    m.data = NULL
    m.size = m.room = 0


cdef bytes given(Memory *m):
    """Return what a memory of the interpreter's holds, and leave it empty."""
    cdef PyObject *owner = m.owner
    cdef size_t size = m.size
    if owner is NULL:
        return b""
    m.owner = NULL
    m.data = NULL
    m.size = m.room = 0
    _PyBytes_Resize(&owner, size)
    made = <object>owner
    Release(owner)
    return made


cdef inline size_t common(
    const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size
) noexcept nogil:
    """Return how many first bytes are the same."""
    cdef size_t size = a_size if a_size < b_size else b_size
    cdef size_t at = 0
    while at + 8 <= size and load64le(a + at) == load64le(b + at):
        at += 8
    while at < size and a[at] == b[at]:
        at += 1
    return at


cdef inline int compare(
    const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size
) noexcept nogil:
    cdef size_t size = a_size if a_size < b_size else b_size
    cdef int order = memcmp(a, b, size) if size else 0
    if order:
        return order
    return -1 if a_size < b_size else a_size > b_size


cdef inline int varint_size(size_t number) noexcept nogil:
    if number < 0x80:
        return 1
    if number < 0x4000:
        return 2
    if number < 0x200000:
        return 3
    return 4 if number < 0x10000000 else 5


cdef inline uint8_t *put_varint(uint8_t *at, size_t number) noexcept nogil:
    while number > 0x7F:
        at[0] = <uint8_t>(number & 0x7F | 0x80)
        at += 1
        number >>= 7
    at[0] = <uint8_t>number
    return at + 1


cdef inline const uint8_t *bytes_of(object data) noexcept:
    return <const uint8_t *>PyBytes_AS_STRING(data)


cdef enum Fault:
    SOUND = 0
    NO_MEMORY = -1
    BAD_VARINT = 1
    BAD_FIT = 2
    BAD_FIT_SOMEWHERE = 3
    BAD_FLAGS = 4
    BAD_RESTART = 5
    BAD_RESTART_COUNT = 6
    BAD_FIRST_RESTART = 7
    BAD_RESTART_ORDER = 8
    NO_RESTARTS = 9
    BAD_ORDER = 10
    BAD_SECTION = 11
    BAD_CHECKSUM = 12


cdef int fail(int fault, size_t where) except -1:
    """Raise the error of a fault; `where` is an offset, or the number that the error tells."""
    if fault == BAD_VARINT:
        raise DataError("a length in a row is not a 32-bit varint", kind="row", offset=where)
    if fault == BAD_FIT:
        raise DataError("a row does not fit its block", kind="row", offset=where)
    if fault == BAD_FIT_SOMEWHERE:
        raise DataError("a row does not fit its block", kind="row")
    if fault == BAD_FLAGS:
        raise DataError("a row has flags that no writer sets", kind="row", offset=where)
    if fault == BAD_RESTART:
        raise DataError("a restart of a block is not a row with a whole key", kind="block")
    if fault == BAD_RESTART_COUNT:
        raise DataError("a block is shorter than its restarts", kind="block", restarts=where)
    if fault == BAD_FIRST_RESTART:
        raise DataError("a block's first restart is not its first row", kind="block")
    if fault == BAD_RESTART_ORDER:
        raise DataError("the restarts of a block do not rise", kind="block")
    if fault == NO_RESTARTS:
        raise DataError("a block is shorter than its count of restarts", kind="block")
    if fault == BAD_ORDER:
        raise DataError("the rows of a table are not in order", kind="row_order")
    if fault == BAD_SECTION:
        raise DataError("a section is shorter than its checksum", kind="section")
    if fault == BAD_CHECKSUM:
        raise ChecksumError("a section's checksum does not match", size=where)
    raise MemoryError

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, nonecheck=False, binding=False
"""The compiled twins of the plain kernels: same bytes, same values, same errors.

Owns: the same loops as `kernels_plain`, `flat_plain`, `blocks_plain`, `merger_plain`, `scanner_plain`; in bulk they
run without the interpreter's lock.
Does not own: the layouts (told in `row`, `block`, `filter`, `index`, `stats`).

Invariants:
1. Every length read is compared with the bytes that are there before it is used.
2. While the lock is released only memory of immutable objects that are held is read, and memory of
   this module written.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_Check,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.dict cimport PyDict_Next
from cpython.exc cimport PyErr_Clear
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport (
    PyLong_AsLongLong,
    PyLong_AsUnsignedLongLong,
    PyLong_FromUnsignedLongLong,
)
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport (
    PyTuple_Check,
    PyTuple_GET_ITEM,
    PyTuple_GET_SIZE,
    PyTuple_New,
    PyTuple_SET_ITEM,
)
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from cenote.errors import ChecksumError, DataError, InvalidError

VERSION = 2

include "memory.pxi"
include "checksum.pxi"
include "hash.pxi"
include "rows.pxi"
include "blocks.pxi"
include "names.pxi"
include "writer.pxi"
include "flat.pxi"
include "sources.pxi"
include "merger.pxi"
include "scanner.pxi"

/* What the parts of the compiled core share. It is the Python reference over again, for the same results in less time: what a function promises is said there. */
#ifndef FEEDPLANE_CORE_H
#define FEEDPLANE_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

typedef __int128 i128;
typedef unsigned __int128 u128;

/* Numbers: feedplane_core.decimals */

typedef enum { NUMBER_PLAIN, NUMBER_OTHER } NumberKind;

/* Plain decimal text (`-?` 1-20 digits, then perhaps a point and 1-18 digits) times 10**18: always fits. */
NumberKind parse_plain(const char *text, Py_ssize_t size, i128 *value);

/* The characters of a str if all are ASCII, else NULL (no error is set): no number is written otherwise. */
const char *ascii_of(PyObject *text, Py_ssize_t *size);

extern PyMethodDef number_methods[];

/* Books: feedplane_core.book */

extern PyTypeObject BookSideType, OrderBookType;

/* Columns: feedplane_journal.columns */

extern PyTypeObject BufferType, ColumnSetType;

typedef struct {
    char *data;
    Py_ssize_t used, room;
    Py_ssize_t usual; /* what was taken last: so much is asked for at once, growing step by step would copy it all over */
} Bytes;

/* Room for `more` bytes after those used; -1 with MemoryError, or OverflowError beyond MAX_BUFFER_BYTES. */
int bytes_reserve(Bytes *bytes, Py_ssize_t more);
void bytes_free(Bytes *bytes);

/* The first `size` bytes as an object with the buffer protocol, which takes them over; a new reference. `bytes` is empty afterwards, whatever happens. */
PyObject *bytes_take(Bytes *bytes, Py_ssize_t size);

#define MAX_BUFFER_BYTES ((Py_ssize_t)1 << 30) /* of one column: offsets are 32 bits wide */

#endif

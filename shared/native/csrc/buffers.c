/* Bytes that grow, and the object that hands them to Arrow without a copy.
 *
 * Blocks that Arrow has done with are kept for the next group, in bounds: fresh ones cost a page fault for every 4 KB, which was a tenth of all time. The interpreter's
 * lock guards them. */
#include "core.h"
#include <stdlib.h>

enum { FIRST_BYTES = 512, SPARE_BLOCKS = 128, SPARE_BYTES = 16 << 20, MOST_USUAL = 8 << 20 };

static struct {
    char *data;
    Py_ssize_t room;
} spare[SPARE_BLOCKS];
static int spare_count;
static Py_ssize_t spare_bytes;

/* The smallest spare block of at least `wanted` bytes, and at most eight times that; NULL if there is none. */
static char *take_spare(Py_ssize_t wanted, Py_ssize_t *room) {
    int best = -1;
    for (int i = 0; i < spare_count; i++)
        if (spare[i].room >= wanted && spare[i].room / 8 <= wanted && (best < 0 || spare[i].room < spare[best].room))
            best = i;
    if (best < 0)
        return NULL;
    char *data = spare[best].data;
    *room = spare[best].room;
    spare_bytes -= *room;
    spare[best] = spare[--spare_count];
    return data;
}

static void give_back(char *data, Py_ssize_t room) {
    if (!data || spare_count == SPARE_BLOCKS || room > SPARE_BYTES - spare_bytes) {
        free(data);
        return;
    }
    spare[spare_count].data = data;
    spare[spare_count++].room = room;
    spare_bytes += room;
}

int bytes_reserve(Bytes *bytes, Py_ssize_t more) {
    if (more <= bytes->room - bytes->used)
        return 0;
    if (more > MAX_BUFFER_BYTES - bytes->used) {
        PyErr_SetString(PyExc_OverflowError, "a column is full");
        return -1;
    }
    Py_ssize_t room = bytes->room ? bytes->room : FIRST_BYTES, wanted = bytes->used + more;
    if (!bytes->data) {
        wanted = wanted > bytes->usual ? wanted : bytes->usual;
        bytes->data = take_spare(wanted, &bytes->room);
        if (bytes->data)
            return 0;
    }
    while (room < wanted)
        room *= 2;
    char *data = realloc(bytes->data, (size_t)room);
    if (!data) {
        PyErr_NoMemory();
        return -1;
    }
    bytes->data = data;
    bytes->room = room;
    return 0;
}

void bytes_free(Bytes *bytes) {
    free(bytes->data);
    *bytes = (Bytes){NULL, 0, 0, 0};
}

typedef struct {
    PyObject_HEAD
    char *data;
    Py_ssize_t size, room;
} Buffer;

PyObject *bytes_take(Bytes *bytes, Py_ssize_t size) {
    Buffer *buffer = PyObject_New(Buffer, &BufferType);
    if (!buffer) {
        bytes_free(bytes);
        return NULL;
    }
    buffer->data = bytes->data;
    buffer->size = size;
    buffer->room = bytes->room;
    *bytes = (Bytes){NULL, 0, 0, size < MOST_USUAL ? size : MOST_USUAL};
    return (PyObject *)buffer;
}

static void buffer_dealloc(Buffer *buffer) {
    give_back(buffer->data, buffer->room);
    PyObject_Free(buffer);
}

static int buffer_get(Buffer *buffer, Py_buffer *view, int flags) {
    static char nothing; /* even an empty buffer has an address: readers may not like NULL */
    return PyBuffer_FillInfo(view, (PyObject *)buffer, buffer->data ? buffer->data : &nothing, buffer->size, 1, flags);
}

static PyBufferProcs buffer_protocol = {.bf_getbuffer = (getbufferproc)buffer_get};

PyTypeObject BufferType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "feedplane_native._core.Buffer",
    .tp_doc = "Bytes of one column, read-only, by the buffer protocol.",
    .tp_basicsize = sizeof(Buffer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)buffer_dealloc,
    .tp_as_buffer = &buffer_protocol,
};

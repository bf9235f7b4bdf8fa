/* Bytes that grow, and the object that hands them to Arrow without a copy. */
#include "core.h"
#include <stdlib.h>

enum { FIRST_BYTES = 512 };

int bytes_reserve(Bytes *bytes, Py_ssize_t more) {
    if (more <= bytes->room - bytes->used)
        return 0;
    if (more > MAX_BUFFER_BYTES - bytes->used) {
        PyErr_SetString(PyExc_OverflowError, "a column is full");
        return -1;
    }
    Py_ssize_t room = bytes->room ? bytes->room : FIRST_BYTES;
    while (room < bytes->used + more)
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
    *bytes = (Bytes){NULL, 0, 0};
}

typedef struct {
    PyObject_HEAD
    char *data;
    Py_ssize_t size;
} Buffer;

PyObject *bytes_take(Bytes *bytes, Py_ssize_t size) {
    Buffer *buffer = PyObject_New(Buffer, &BufferType);
    if (!buffer) {
        bytes_free(bytes);
        return NULL;
    }
    /* Room that is not used is given back; where that fails the larger block serves as well. Even an empty buffer has an address: readers may not like NULL. */
    char *data = realloc(bytes->data, size ? (size_t)size : 1);
    buffer->data = data ? data : bytes->data;
    buffer->size = size;
    *bytes = (Bytes){NULL, 0, 0};
    return (PyObject *)buffer;
}

static void buffer_dealloc(Buffer *buffer) {
    free(buffer->data);
    PyObject_Free(buffer);
}

static int buffer_get(Buffer *buffer, Py_buffer *view, int flags) {
    return PyBuffer_FillInfo(view, (PyObject *)buffer, buffer->data, buffer->size, 1, flags);
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

#include "tables.h"
#include <string.h>

enum { FIRST_ROWS = 64, MAX_ROWS = 1 << 22, DECIMAL_BYTES = 16 };

static Py_ssize_t fixed_bytes(Kind kind) {
    switch (kind) {
    case KIND_DECIMAL:
        return DECIMAL_BYTES;
    case KIND_INT64:
        return 8;
    default:
        return kind == KIND_INT32 ? 4 : 0;
    }
}

static int has_offsets(Kind kind) { return kind == KIND_TEXT || kind == KIND_LEVELS; }

int table_init(Table *table, PyObject *record_type, PyObject *names, PyObject *kinds) {
    Py_ssize_t size, width = PyTuple_GET_SIZE(names);
    const char *spec = ascii_of(kinds, &size);
    memset(table, 0, sizeof *table);
    if (!spec || size != 2 * width) {
        PyErr_SetString(PyExc_ValueError, "kinds are two characters a column");
        return -1;
    }
    table->columns = PyMem_Calloc((size_t)width, sizeof *table->columns);
    if (!table->columns) {
        PyErr_NoMemory();
        return -1;
    }
    table->record_type = Py_NewRef(record_type);
    table->width = width;
    for (Py_ssize_t i = 0; i < width; i++) {
        Column *column = &table->columns[i];
        column->kind = (Kind)spec[2 * i];
        column->nullable = spec[2 * i + 1] == '?';
        column->name = Py_NewRef(PyTuple_GET_ITEM(names, i));
        table->row_bytes += fixed_bytes(column->kind) + (has_offsets(column->kind) ? 4 : 0);
    }
    return 0;
}

void table_free(Table *table) {
    for (Py_ssize_t i = 0; i < table->width; i++) {
        Column *column = &table->columns[i];
        Py_CLEAR(column->name);
        bytes_free(&column->data);
        bytes_free(&column->offsets);
        bytes_free(&column->valid);
    }
    PyMem_Free(table->columns);
    table->columns = NULL;
    table->width = 0;
    Py_CLEAR(table->record_type);
    Py_CLEAR(table->refusal);
}

/* Room for `rows` rows in all of a column but its texts and levels. */
static int reserve_rows(Column *column, Py_ssize_t rows) {
    Bytes *data = &column->data;
    if (column->nullable && bytes_reserve(&column->valid, rows / 8) < 0)
        return -1;
    if (has_offsets(column->kind)) {
        if (bytes_reserve(&column->offsets, (rows + 1) * 4) < 0)
            return -1;
        ((int32_t *)column->offsets.data)[0] = 0;
        return 0;
    }
    return bytes_reserve(data, column->kind == KIND_BOOL ? rows / 8 : rows * fixed_bytes(column->kind));
}

int table_reserve(Table *table) {
    if (table->rows < table->room)
        return 0;
    Py_ssize_t room = table->room ? table->room * 2 : FIRST_ROWS;
    if (room > MAX_ROWS) {
        PyErr_SetString(PyExc_OverflowError, "the columns are full");
        return -1;
    }
    for (Py_ssize_t i = 0; i < table->width; i++)
        if (reserve_rows(&table->columns[i], room) < 0)
            return -1;
    table->room = room;
    return 0;
}

static void set_bit(Bytes *bits, Py_ssize_t place, int value) {
    unsigned char mask = (unsigned char)(1u << (place & 7)), *byte = (unsigned char *)bits->data + (place >> 3);
    if (place % 8 == 0)
        *byte = 0; /* room comes as it is */
    *byte = value ? *byte | mask : *byte & (unsigned char)~mask;
}

/* Plain text at once; any other value as Arrow would have it. */
static int put_number(char *place, PyObject *value, PyObject *slow_number) {
    Py_ssize_t size;
    const char *text = ascii_of(value, &size);
    i128 number;
    if (text && parse_plain(text, size, &number) == NUMBER_PLAIN) {
        memcpy(place, &number, DECIMAL_BYTES);
        return 0;
    }
    PyObject *bytes = PyObject_CallOneArg(slow_number, value);
    if (!bytes)
        return -1;
    int fits = PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == DECIMAL_BYTES;
    if (fits)
        memcpy(place, PyBytes_AS_STRING(bytes), DECIMAL_BYTES);
    else
        PyErr_SetString(PyExc_TypeError, "a number is 16 bytes");
    Py_DECREF(bytes);
    return fits ? 0 : -1;
}

static int put_text(Column *column, Py_ssize_t row, PyObject *value) {
    Py_ssize_t size;
    const char *text = ascii_of(value, &size);
    if (!text) {
        if (value != Py_None && !PyUnicode_Check(value)) {
            PyErr_Format(PyExc_TypeError, "%U is %.100s, not text", column->name, Py_TYPE(value)->tp_name);
            return -1;
        }
        text = value == Py_None ? "" : PyUnicode_AsUTF8AndSize(value, &size);
        size = value == Py_None ? 0 : size;
        if (!text)
            return -1;
    }
    int32_t *offsets = (int32_t *)column->offsets.data;
    column->data.used = offsets[row];
    if (bytes_reserve(&column->data, size) < 0)
        return -1;
    if (size)
        memcpy(column->data.data + offsets[row], text, (size_t)size);
    offsets[row + 1] = (int32_t)(offsets[row] + size);
    return 0;
}

static int put_level(char *place, PyObject *level, PyObject *slow_number) {
    PyObject *pair = PySequence_Fast(level, "a level is not a (price, qty) pair");
    if (!pair)
        return -1;
    int done = -1;
    if (PySequence_Fast_GET_SIZE(pair) != 2) {
        PyErr_SetString(PyExc_ValueError, "a level is not a (price, qty) pair");
    } else {
        PyObject *price = Py_NewRef(PySequence_Fast_GET_ITEM(pair, 0));
        PyObject *qty = Py_NewRef(PySequence_Fast_GET_ITEM(pair, 1));
        if (price == Py_None || qty == Py_None)
            PyErr_SetString(PyExc_ValueError, "a level has no number");
        else if (put_number(place, price, slow_number) == 0)
            done = put_number(place + DECIMAL_BYTES, qty, slow_number);
        Py_DECREF(price);
        Py_DECREF(qty);
    }
    Py_DECREF(pair);
    return done;
}

static int put_levels(Column *column, Py_ssize_t row, PyObject *value, PyObject *slow_number) {
    PyObject *levels = PySequence_Fast(value, "levels are no sequence");
    if (!levels)
        return -1;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(levels);
    int32_t *offsets = (int32_t *)column->offsets.data;
    column->data.used = (Py_ssize_t)offsets[row] * 2 * DECIMAL_BYTES;
    int failed = bytes_reserve(&column->data, count * 2 * DECIMAL_BYTES) < 0;
    char *place = failed ? NULL : column->data.data + column->data.used;
    for (Py_ssize_t i = 0; i < count && !failed; i++, place += 2 * DECIMAL_BYTES)
        failed = i >= PySequence_Fast_GET_SIZE(levels)
                 || put_level(place, PySequence_Fast_GET_ITEM(levels, i), slow_number) < 0;
    Py_DECREF(levels);
    if (failed) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "levels have changed while they were read");
        return -1;
    }
    offsets[row + 1] = (int32_t)(offsets[row] + count);
    return 0;
}

static int put_int(Column *column, Py_ssize_t row, PyObject *value) {
    if (!PyLong_Check(value) || PyBool_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%U is %.100s, not a whole number", column->name, Py_TYPE(value)->tp_name);
        return -1;
    }
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || (column->kind == KIND_INT32 && number != (int32_t)number)) {
        PyErr_Format(PyExc_OverflowError, "%U is beyond %d bits", column->name, column->kind == KIND_INT32 ? 32 : 64);
        return -1;
    }
    if (column->kind == KIND_INT32)
        ((int32_t *)column->data.data)[row] = (int32_t)number;
    else
        ((int64_t *)column->data.data)[row] = number;
    return 0;
}

static int put_null(Column *column, Py_ssize_t row) {
    if (!column->nullable) {
        PyErr_Format(PyExc_ValueError, "%U is missing", column->name);
        return -1;
    }
    set_bit(&column->valid, row, 0);
    if (has_offsets(column->kind))
        ((int32_t *)column->offsets.data)[row + 1] = ((int32_t *)column->offsets.data)[row];
    else if (column->kind == KIND_BOOL)
        set_bit(&column->data, row, 0);
    else
        memset(column->data.data + row * fixed_bytes(column->kind), 0, (size_t)fixed_bytes(column->kind));
    return 0;
}

int table_put(Table *table, Py_ssize_t index, PyObject *value, PyObject *slow_number) {
    Column *column = &table->columns[index];
    Py_ssize_t row = table->rows;
    if (value == Py_None)
        return put_null(column, row);
    if (column->nullable)
        set_bit(&column->valid, row, 1);
    switch (column->kind) {
    case KIND_TEXT:
        return put_text(column, row, value);
    case KIND_DECIMAL:
        return put_number(column->data.data + row * DECIMAL_BYTES, value, slow_number);
    case KIND_LEVELS:
        return put_levels(column, row, value, slow_number);
    case KIND_BOOL:
        if (!PyBool_Check(value)) {
            PyErr_Format(PyExc_TypeError, "%U is %.100s, not a bool", column->name, Py_TYPE(value)->tp_name);
            return -1;
        }
        set_bit(&column->data, row, value == Py_True);
        return 0;
    default:
        return put_int(column, row, value);
    }
}

int table_refuse(Table *table) {
    if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_TypeError)
        && !PyErr_ExceptionMatches(PyExc_OverflowError))
        return -1;
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (!table->refusal && error)
        table->refusal = PyObject_Str(error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    if (!table->refusal)
        return -1;
    table->refused++;
    return 0;
}

Py_ssize_t table_bytes(const Table *table) {
    Py_ssize_t total = table->rows * table->row_bytes;
    for (Py_ssize_t i = 0; i < table->width; i++) {
        const Column *column = &table->columns[i];
        if (!has_offsets(column->kind) || !table->rows)
            continue;
        Py_ssize_t end = ((int32_t *)column->offsets.data)[table->rows];
        total += column->kind == KIND_TEXT ? end : end * 2 * DECIMAL_BYTES;
    }
    return total;
}

static PyObject *column_detach(Column *column, Py_ssize_t rows) {
    PyObject *valid = NULL, *offsets = NULL, *data = NULL, *taken = NULL;
    Py_ssize_t bits = (rows + 7) / 8, size = column->kind == KIND_BOOL ? bits : rows * fixed_bytes(column->kind);
    if (has_offsets(column->kind)) {
        size = ((int32_t *)column->offsets.data)[rows] * (Py_ssize_t)(column->kind == KIND_TEXT ? 1 : 2 * DECIMAL_BYTES);
        offsets = bytes_take(&column->offsets, (rows + 1) * 4);
    } else {
        offsets = Py_NewRef(Py_None);
    }
    valid = column->nullable ? bytes_take(&column->valid, bits) : Py_NewRef(Py_None);
    data = bytes_take(&column->data, size);
    if (valid && offsets && data)
        taken = PyTuple_Pack(3, valid, offsets, data);
    Py_XDECREF(valid);
    Py_XDECREF(offsets);
    Py_XDECREF(data);
    return taken;
}

PyObject *table_detach(Table *table) {
    PyObject *columns = PyTuple_New(table->rows ? table->width : 0), *taken = NULL;
    Py_ssize_t rows = table->rows;
    table->rows = table->room = 0;
    for (Py_ssize_t i = 0; columns && rows && i < table->width; i++) {
        PyObject *column = column_detach(&table->columns[i], rows);
        if (column)
            PyTuple_SET_ITEM(columns, i, column);
        else
            Py_CLEAR(columns);
    }
    if (columns)
        taken = Py_BuildValue("(OnNnO)", table->record_type, rows, columns, table->refused,
                              table->refusal ? table->refusal : Py_None);
    table->refused = 0;
    Py_CLEAR(table->refusal);
    return taken;
}

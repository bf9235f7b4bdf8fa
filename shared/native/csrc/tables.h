/* Typed columns of one record type. A row is written value by value at the place after the last one and counts when it is whole: a value that does not fit leaves nothing behind. */
#ifndef FEEDPLANE_TABLES_H
#define FEEDPLANE_TABLES_H

#include "core.h"

typedef enum {
    KIND_TEXT = 'T',    /* utf8: offsets and data */
    KIND_DECIMAL = 'D', /* decimal128(38, 18) */
    KIND_INT64 = 'I',   /* also times in ns */
    KIND_INT32 = 'i',
    KIND_BOOL = 'B',   /* bits */
    KIND_LEVELS = 'L', /* pairs of decimals: offsets and data */
} Kind;

typedef struct {
    Kind kind;
    int nullable;
    PyObject *name;
    Bytes data, offsets, valid; /* `used` of data only for text and levels: the rest follows from the number of rows */
} Column;

typedef struct {
    PyObject *record_type;
    Column *columns;
    Py_ssize_t width, rows, room;
    Py_ssize_t refused;
    PyObject *refusal; /* why the first row was refused */
    Py_ssize_t row_bytes;
} Table;

/* `kinds`: a text with two characters a column: its kind, and `?` where null is allowed, else ` `. -1 with an error. */
int table_init(Table *table, PyObject *record_type, PyObject *names, PyObject *kinds);
void table_free(Table *table);

/* Room for one more row; -1 with an error. */
int table_reserve(Table *table);

/* Value `column` of the row that is being written; -1 with an error if it does not fit. `slow_number` turns any text into 16 bytes, or raises. */
int table_put(Table *table, Py_ssize_t column, PyObject *value, PyObject *slow_number);

/* Take note of a refused row, with the error that is set; -1 if that is none of a value's. */
int table_refuse(Table *table);

Py_ssize_t table_bytes(const Table *table);

/* (record type, rows, columns, refused rows, why), emptied; a column is (validity or None, offsets or None, data). */
PyObject *table_detach(Table *table);

#endif

/* Events in, columns out: each event type has a route, which says where each column of its record type is found in the event. */
#include "tables.h"
#include <stddef.h>
#include <string.h>
#include <structmember.h>

enum { MAX_TABLES = 64, MAX_ROUTES = 64 };

typedef enum { FIELD, CONSTANT, LAST_PRICE, LAST_QTY, UNLESS, CALL } Op;

typedef struct {
    Op op;
    PyObject *name;    /* of the field: FIELD, UNLESS */
    Py_ssize_t offset; /* of the field in the event, where it lies in a slot of its own; else 0 */
    PyObject *value;   /* CONSTANT; the callable of UNLESS (the field is None or empty) and CALL */
} Source;

typedef struct {
    PyTypeObject *type;
    Py_ssize_t table, width;
    Source *sources;
} Route;

typedef struct {
    PyObject_HEAD
    PyObject *slow_number;
    Table tables[MAX_TABLES];
    Route routes[MAX_ROUTES];
    Py_ssize_t table_count, route_count;
    int is_busy; /* a value may run Python code: what it writes into is not to be touched then */
} ColumnSet;

static PyObject *empty_text;

/* Where a field lies in instances of exactly this type, by its slot's descriptor; 0 where it is no plain slot. */
static Py_ssize_t slot_offset(PyObject *type, PyObject *name) {
    PyObject *found = PyObject_GetAttr(type, name);
    if (!found) {
        PyErr_Clear();
        return 0;
    }
    Py_ssize_t offset = 0;
    if (Py_IS_TYPE(found, &PyMemberDescr_Type)) {
        const PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
        if (member->type == T_OBJECT_EX)
            offset = member->offset;
    }
    Py_DECREF(found);
    return offset;
}

/* A new reference; NULL with an error. */
static PyObject *field_of(const Source *source, PyObject *event) {
    if (!source->offset)
        return PyObject_GetAttr(event, source->name);
    PyObject *value = *(PyObject **)((char *)event + source->offset);
    if (!value)
        PyErr_SetObject(PyExc_AttributeError, source->name);
    return Py_XNewRef(value);
}

static PyObject *value_of(const Source *source, PyObject *event, PyObject *last_price, PyObject *last_qty) {
    switch (source->op) {
    case CONSTANT:
        return Py_NewRef(source->value);
    case LAST_PRICE:
        return Py_NewRef(last_price);
    case LAST_QTY:
        return Py_NewRef(last_qty);
    case CALL:
        return PyObject_CallOneArg(source->value, event);
    default:
        break;
    }
    PyObject *value = field_of(source, event);
    if (!value || source->op == FIELD)
        return value;
    int is_empty = value == Py_None || (PyUnicode_Check(value) && !PyUnicode_GET_LENGTH(value));
    Py_DECREF(value);
    return is_empty ? PyObject_CallOneArg(source->value, event) : Py_NewRef(empty_text);
}

/* A row that does not fit is refused and counted, and nothing of it stays. -1 for an error that is none of a value's. */
static int end_row(Table *table, int failed) {
    if (failed)
        return table_refuse(table);
    table->rows++;
    return 0;
}

static int append(ColumnSet *set, const Route *route, PyObject *event, PyObject *last_price, PyObject *last_qty) {
    Table *table = &set->tables[route->table];
    int failed = table_reserve(table) < 0;
    for (Py_ssize_t i = 0; i < route->width && !failed; i++) {
        PyObject *value = value_of(&route->sources[i], event, last_price, last_qty);
        failed = !value || table_put(table, i, value, set->slow_number) < 0;
        Py_XDECREF(value);
    }
    return end_row(table, failed);
}

static int enter(ColumnSet *set) {
    if (set->is_busy) {
        PyErr_SetString(PyExc_RuntimeError, "a row is being written");
        return -1;
    }
    set->is_busy = 1;
    return 0;
}

static PyObject *leave(ColumnSet *set, int result) {
    set->is_busy = 0;
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *set_append(ColumnSet *set, PyObject *const *args, Py_ssize_t given) {
    if (given < 1 || given > 3)
        return PyErr_Format(PyExc_TypeError, "append() takes an event and the last price and size");
    for (Py_ssize_t i = 0; i < set->route_count; i++) {
        if (Py_TYPE(args[0]) != set->routes[i].type)
            continue;
        if (enter(set) < 0)
            return NULL;
        PyObject *price = given > 1 ? args[1] : Py_None, *qty = given > 2 ? args[2] : Py_None;
        return leave(set, append(set, &set->routes[i], args[0], price, qty));
    }
    PyErr_SetObject(PyExc_KeyError, (PyObject *)Py_TYPE(args[0]));
    return NULL;
}

static Table *table_at(ColumnSet *set, Py_ssize_t index) {
    if (index >= 0 && index < set->table_count)
        return &set->tables[index];
    PyErr_SetString(PyExc_IndexError, "no such table");
    return NULL;
}

static PyObject *set_append_row(ColumnSet *set, PyObject *args) {
    Py_ssize_t index;
    PyObject *values;
    if (!PyArg_ParseTuple(args, "nO!", &index, &PyTuple_Type, &values))
        return NULL;
    Table *table = table_at(set, index);
    if (!table || enter(set) < 0)
        return NULL;
    int failed = table_reserve(table) < 0;
    if (PyTuple_GET_SIZE(values) != table->width) {
        PyErr_Format(PyExc_RuntimeError, "a row has %zd values", table->width);
        return leave(set, -1);
    }
    for (Py_ssize_t i = 0; i < table->width && !failed; i++)
        failed = table_put(table, i, PyTuple_GET_ITEM(values, i), set->slow_number) < 0;
    return leave(set, end_row(table, failed));
}

static PyObject *set_add_table(ColumnSet *set, PyObject *args) {
    PyObject *record_type, *names, *kinds;
    if (!PyArg_ParseTuple(args, "UO!U", &record_type, &PyTuple_Type, &names, &kinds))
        return NULL;
    if (set->table_count == MAX_TABLES)
        return PyErr_Format(PyExc_OverflowError, "more than %d tables", MAX_TABLES);
    if (table_init(&set->tables[set->table_count], record_type, names, kinds) < 0) {
        table_free(&set->tables[set->table_count]);
        return NULL;
    }
    return PyLong_FromSsize_t(set->table_count++);
}

static const struct {
    const char *name;
    Op op;
} OPS[] = {
    {"field", FIELD}, {"constant", CONSTANT}, {"last_price", LAST_PRICE},
    {"last_qty", LAST_QTY}, {"unless", UNLESS}, {"call", CALL},
};

static int read_source(Source *source, PyObject *type, PyObject *given) {
    const char *op;
    PyObject *name, *value;
    if (!PyArg_ParseTuple(given, "sOO;a source is (op, field, value)", &op, &name, &value))
        return -1;
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++) {
        if (strcmp(op, OPS[i].name))
            continue;
        source->op = OPS[i].op;
        source->name = Py_NewRef(name);
        source->value = Py_NewRef(value);
        source->offset = PyUnicode_Check(name) ? slot_offset(type, name) : 0;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "no source is named %s", op);
    return -1;
}

static void route_free(Route *route) {
    for (Py_ssize_t i = 0; i < route->width; i++) {
        Py_CLEAR(route->sources[i].name);
        Py_CLEAR(route->sources[i].value);
    }
    PyMem_Free(route->sources);
    Py_CLEAR(route->type);
    memset(route, 0, sizeof *route);
}

static PyObject *set_add_route(ColumnSet *set, PyObject *args) {
    PyObject *type, *sources;
    Py_ssize_t index;
    if (!PyArg_ParseTuple(args, "O!nO!", &PyType_Type, &type, &index, &PyTuple_Type, &sources))
        return NULL;
    Table *table = table_at(set, index);
    if (!table)
        return NULL;
    if (set->route_count == MAX_ROUTES || PyTuple_GET_SIZE(sources) != table->width)
        return PyErr_Format(PyExc_ValueError, "a route has a source for each of %zd columns", table->width);
    Route *route = &set->routes[set->route_count];
    route->sources = PyMem_Calloc((size_t)table->width, sizeof *route->sources);
    if (!route->sources)
        return PyErr_NoMemory();
    route->type = (PyTypeObject *)Py_NewRef(type);
    route->table = index;
    route->width = table->width;
    for (Py_ssize_t i = 0; i < table->width; i++) {
        PyObject *source = PyTuple_GET_ITEM(sources, i);
        if (!PyTuple_Check(source)) {
            PyErr_SetString(PyExc_TypeError, "a source is (op, field, value)");
        } else if (read_source(&route->sources[i], type, source) == 0) {
            continue;
        }
        route_free(route);
        return NULL;
    }
    set->route_count++;
    Py_RETURN_NONE;
}

static PyObject *set_detach(ColumnSet *set, PyObject *Py_UNUSED(none)) {
    if (set->is_busy)
        return PyErr_Format(PyExc_RuntimeError, "a row is being written");
    PyObject *all = PyList_New(0);
    for (Py_ssize_t i = 0; all && i < set->table_count; i++) {
        if (!set->tables[i].rows && !set->tables[i].refused)
            continue;
        PyObject *taken = table_detach(&set->tables[i]);
        if (!taken || PyList_Append(all, taken) < 0)
            Py_CLEAR(all);
        Py_XDECREF(taken);
    }
    return all;
}

static PyObject *set_rows(ColumnSet *set, void *Py_UNUSED(closure)) {
    Py_ssize_t rows = 0;
    for (Py_ssize_t i = 0; i < set->table_count; i++)
        rows += set->tables[i].rows + set->tables[i].refused;
    return PyLong_FromSsize_t(rows);
}

static PyObject *set_bytes(ColumnSet *set, void *Py_UNUSED(closure)) {
    Py_ssize_t size = 0;
    for (Py_ssize_t i = 0; i < set->table_count; i++)
        size += table_bytes(&set->tables[i]);
    return PyLong_FromSsize_t(size);
}

static PyObject *set_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named)) {
    PyObject *slow_number;
    if (!PyArg_ParseTuple(args, "O:ColumnSet", &slow_number))
        return NULL;
    if (!empty_text && !(empty_text = PyUnicode_FromString("")))
        return NULL;
    ColumnSet *set = (ColumnSet *)type->tp_alloc(type, 0);
    if (set)
        set->slow_number = Py_NewRef(slow_number);
    return (PyObject *)set;
}

static void set_dealloc(ColumnSet *set) {
    for (Py_ssize_t i = 0; i < set->route_count; i++)
        route_free(&set->routes[i]);
    for (Py_ssize_t i = 0; i < set->table_count; i++)
        table_free(&set->tables[i]);
    Py_XDECREF(set->slow_number);
    Py_TYPE(set)->tp_free(set);
}

static PyMethodDef set_methods[] = {
    {"append", (PyCFunction)(void (*)(void))set_append, METH_FASTCALL, NULL},
    {"append_row", (PyCFunction)set_append_row, METH_VARARGS, NULL},
    {"add_table", (PyCFunction)set_add_table, METH_VARARGS, NULL},
    {"add_route", (PyCFunction)set_add_route, METH_VARARGS, NULL},
    {"detach", (PyCFunction)set_detach, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef set_members[] = {
    {"rows", (getter)set_rows, NULL, NULL, NULL},
    {"approx_bytes", (getter)set_bytes, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject ColumnSetType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "feedplane_native._core.ColumnSet",
    .tp_doc = "Columns of all record types, filled from events; see feedplane_journal.native.",
    .tp_basicsize = sizeof(ColumnSet),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = set_new,
    .tp_dealloc = (destructor)set_dealloc,
    .tp_methods = set_methods,
    .tp_getset = set_members,
};

/* An order book side as a sorted array, best last, and the two of one instrument. The texts that came are kept: what is shown is what the venue sent. */
#include "core.h"
#include <stdlib.h>
#include <string.h>

enum { NEAR_BEST = 16, FIRST_ROOM = 64, MAX_LEVELS = 1 << 20, TOP5 = 4, TOP20 = 19 };
#define FAR_AWAY (1L << 30)

typedef struct {
    PyObject_HEAD
    int sign;
    i128 *keys;        /* price * 10**18 * sign, ascending */
    PyObject **levels; /* the decoder's own pairs, of the same places */
    Py_ssize_t count, room;
    long near; /* how near to the best changes have come since it was asked */
} Side;

typedef struct {
    PyObject_HEAD
    PyObject *bids, *asks;
} Book;

/* A level is a tuple or list of two texts; a list may have been changed since it came. Borrowed; NULL with an error. */
static PyObject *part(PyObject *level, Py_ssize_t index) {
    if ((PyTuple_Check(level) || PyList_Check(level)) && PySequence_Fast_GET_SIZE(level) == 2) {
        PyObject *text = PySequence_Fast_GET_ITEM(level, index);
        if (PyUnicode_Check(text))
            return text;
    }
    PyErr_SetString(PyExc_ValueError, "a level is not a (price, qty) pair of texts");
    return NULL;
}

static int key_of(const Side *side, PyObject *level, i128 *key) {
    PyObject *price = part(level, 0);
    if (!price)
        return -1;
    Py_ssize_t size;
    const char *data = ascii_of(price, &size);
    if (!data || parse_plain(data, size, key) != NUMBER_PLAIN) {
        PyErr_Format(PyExc_ValueError, "price %R is not plain decimal text", price);
        return -1;
    }
    if (side->sign < 0)
        *key = -*key;
    return 0;
}

/* Whether text is `0` in any padding; a whole book may also spell it `-0`. */
static int is_zero(PyObject *text, int allows_sign) {
    Py_ssize_t size;
    const char *data = ascii_of(text, &size);
    if (!data || !size || (data[0] != '0' && !(allows_sign && data[0] == '-')))
        return 0;
    for (Py_ssize_t i = 0; i < size; i++)
        if (data[i] != '0' && data[i] != '.' && !(allows_sign && data[i] == '-'))
            return 0;
    return 1;
}

/* The first place whose key is not below `key`: most changes are near the best, so that end is tried first. */
static Py_ssize_t place_of(const Side *side, i128 key) {
    Py_ssize_t low = 0, high = side->count;
    if (high > NEAR_BEST && side->keys[high - NEAR_BEST] <= key)
        low = high - NEAR_BEST;
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (side->keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int grow(Side *side) {
    if (side->room >= MAX_LEVELS) {
        PyErr_Format(PyExc_OverflowError, "a book side of more than %d levels", MAX_LEVELS);
        return -1;
    }
    Py_ssize_t room = side->room ? side->room * 2 : FIRST_ROOM;
    i128 *keys = PyMem_Realloc(side->keys, (size_t)room * sizeof *keys);
    if (keys)
        side->keys = keys;
    PyObject **levels = PyMem_Realloc(side->levels, (size_t)room * sizeof *levels);
    if (levels)
        side->levels = levels;
    if (!keys || !levels) {
        PyErr_NoMemory();
        return -1;
    }
    side->room = room;
    return 0;
}

static int insert(Side *side, Py_ssize_t place, i128 key, PyObject *level) {
    if (side->count == side->room && grow(side) < 0)
        return -1;
    size_t after = (size_t)(side->count - place);
    memmove(side->keys + place + 1, side->keys + place, after * sizeof *side->keys);
    memmove(side->levels + place + 1, side->levels + place, after * sizeof *side->levels);
    side->keys[place] = key;
    side->levels[place] = Py_NewRef(level);
    side->count++;
    return 0;
}

static void delete_first(Side *side, Py_ssize_t place, Py_ssize_t dropped) {
    size_t after = (size_t)(side->count - place - dropped);
    memmove(side->keys + place, side->keys + place + dropped, after * sizeof *side->keys);
    memmove(side->levels + place, side->levels + place + dropped, after * sizeof *side->levels);
    side->count -= dropped;
}

/* Set or remove one level: 1 if that changed something, 0 if not, -1 with an error. The array is whole whenever a reference is let go, which may run any code. */
static int set_level(Side *side, i128 key, PyObject *level, PyObject *qty) {
    Py_ssize_t place = place_of(side, key);
    int is_held = place < side->count && side->keys[place] == key;
    if (is_zero(qty, 0)) {
        if (!is_held)
            return 0;
        PyObject *gone = side->levels[place];
        delete_first(side, place, 1);
        Py_DECREF(gone);
        return 1;
    }
    if (!is_held)
        return insert(side, place, key, level) < 0 ? -1 : 1;
    PyObject *held = side->levels[place], *held_qty = part(held, 1);
    if (!held_qty)
        return -1;
    if (PyUnicode_Compare(held_qty, qty) == 0)
        return 0;
    side->levels[place] = Py_NewRef(level);
    Py_DECREF(held);
    return 1;
}

static void clear(Side *side) {
    PyObject **levels = side->levels;
    i128 *keys = side->keys;
    Py_ssize_t count = side->count;
    side->levels = NULL;
    side->keys = NULL;
    side->count = side->room = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        Py_DECREF(levels[i]);
    PyMem_Free(levels);
    PyMem_Free(keys);
}

/* -1 with an error, else how near the changes came: 0, TOP5, TOP20 or FAR_AWAY, by the places as they were before. */
static long apply(Side *side, PyObject *given) {
    PyObject *levels = PySequence_Fast(given, "levels are no sequence");
    if (!levels)
        return -1;
    Py_ssize_t count = side->count;
    i128 best = count ? side->keys[count - 1] : 0;
    i128 fifth = count >= 5 ? side->keys[count - 5] : 0;
    i128 twentieth = count >= 20 ? side->keys[count - 20] : 0;
    i128 nearest = 0;
    int is_changed = 0;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(levels); i++) {
        PyObject *level = Py_NewRef(PySequence_Fast_GET_ITEM(levels, i));
        i128 key;
        PyObject *qty = key_of(side, level, &key) < 0 ? NULL : part(level, 1);
        int changed = qty ? set_level(side, key, level, qty) : -1;
        Py_DECREF(level);
        if (changed < 0) {
            Py_DECREF(levels);
            return -1;
        }
        if (changed && (!is_changed || key > nearest)) {
            is_changed = 1;
            nearest = key;
        }
    }
    Py_DECREF(levels);
    if (!is_changed)
        return FAR_AWAY;
    if (!count || nearest >= best)
        return 0;
    if (count < 5 || nearest >= fifth)
        return TOP5;
    return count < 20 || nearest >= twentieth ? TOP20 : FAR_AWAY;
}

static int defer(Side *side, PyObject *levels) {
    long near = apply(side, levels);
    if (near < 0)
        return -1;
    if (near < side->near)
        side->near = near;
    return 0;
}

static long take_near(Side *side) {
    long near = side->near;
    side->near = FAR_AWAY;
    return near;
}

/* Sorting a whole book: by key, then by the order in which it came. */
typedef struct {
    i128 key;
    Py_ssize_t order;
    PyObject *level;
} Entry;

static int by_key(const void *left, const void *right) {
    const Entry *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* The levels of a whole book that are not zero, with their keys, as they came; their number, or -1 with an error. The caller lets go of the levels. */
static Py_ssize_t read_whole(const Side *side, PyObject *levels, Entry *entries, Py_ssize_t room) {
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(levels) && count < room; i++) {
        PyObject *level = PySequence_Fast_GET_ITEM(levels, i), *qty = part(level, 1);
        if (qty && is_zero(qty, 1))
            continue;
        if (!qty || key_of(side, level, &entries[count].key) < 0) {
            while (count)
                Py_DECREF(entries[--count].level);
            return -1;
        }
        entries[count].order = count;
        entries[count++].level = Py_NewRef(level);
    }
    return count;
}

/* Put sorted entries in place; of equal prices the last one holds. Room is there. */
static void install(Side *side, const Entry *entries, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        if (i + 1 < count && entries[i + 1].key == entries[i].key)
            continue;
        side->keys[side->count] = entries[i].key;
        side->levels[side->count++] = Py_NewRef(entries[i].level);
    }
}

static int replace(Side *side, PyObject *given) {
    PyObject *levels = PySequence_Fast(given, "levels are no sequence");
    if (!levels)
        return -1;
    Py_ssize_t size = PySequence_Fast_GET_SIZE(levels), count = -1;
    Entry *entries = size > MAX_LEVELS ? NULL : PyMem_Malloc((size_t)(size ? size : 1) * sizeof *entries);
    if (!entries)
        PyErr_Format(PyExc_OverflowError, "no room for a book side of %zd levels", size);
    else
        count = read_whole(side, levels, entries, size);
    if (count >= 0) {
        qsort(entries, (size_t)count, sizeof *entries, by_key);
        clear(side);
        int failed = 0;
        while (side->room < count && !failed)
            failed = grow(side) < 0;
        if (!failed)
            install(side, entries, count);
        for (Py_ssize_t i = 0; i < count; i++)
            Py_DECREF(entries[i].level);
        count = failed ? -1 : count;
    }
    PyMem_Free(entries);
    Py_DECREF(levels);
    return count < 0 ? -1 : 0;
}

static Py_ssize_t prune(Side *side, Py_ssize_t depth) {
    Py_ssize_t excess = side->count - (depth > 0 ? depth : 0);
    if (excess <= 0)
        return 0;
    PyObject **gone = PyMem_Malloc((size_t)excess * sizeof *gone);
    if (!gone) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(gone, side->levels, (size_t)excess * sizeof *gone);
    delete_first(side, 0, excess);
    for (Py_ssize_t i = 0; i < excess; i++)
        Py_DECREF(gone[i]);
    PyMem_Free(gone);
    return excess;
}

/* BookSide */

static PyObject *side_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named)) {
    int sign;
    if (!PyArg_ParseTuple(args, "i:BookSide", &sign))
        return NULL;
    Side *side = (Side *)type->tp_alloc(type, 0);
    if (side) {
        side->sign = sign < 0 ? -1 : 1;
        side->near = FAR_AWAY;
    }
    return (PyObject *)side;
}

static void side_dealloc(Side *side) {
    clear(side);
    Py_TYPE(side)->tp_free(side);
}

static Py_ssize_t side_len(Side *side) { return side->count; }

static PyObject *side_replace(Side *side, PyObject *levels) {
    if (replace(side, levels) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *side_apply(Side *side, PyObject *levels) {
    long near = apply(side, levels);
    return near < 0 ? NULL : PyLong_FromLong(near);
}

static PyObject *side_defer(Side *side, PyObject *levels) {
    if (defer(side, levels) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *side_take_near(Side *side, PyObject *Py_UNUSED(none)) { return PyLong_FromLong(take_near(side)); }

static PyObject *side_prune(Side *side, PyObject *depth) {
    Py_ssize_t kept = PyNumber_AsSsize_t(depth, PyExc_OverflowError);
    if (kept == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t dropped = prune(side, kept);
    return dropped < 0 ? NULL : PyLong_FromSsize_t(dropped);
}

static PyObject *side_best(Side *side, PyObject *Py_UNUSED(none)) {
    return Py_NewRef(side->count ? side->levels[side->count - 1] : Py_None);
}

static PyObject *int_of(i128 value) {
    PyObject *high = PyLong_FromLongLong((long long)(value >> 64)), *bits = PyLong_FromLong(64), *result = NULL;
    PyObject *low = PyLong_FromUnsignedLongLong((unsigned long long)value);
    PyObject *shifted = high && bits ? PyNumber_Lshift(high, bits) : NULL;
    if (shifted && low)
        result = PyNumber_Or(shifted, low);
    Py_XDECREF(high);
    Py_XDECREF(bits);
    Py_XDECREF(low);
    Py_XDECREF(shifted);
    return result;
}

static PyObject *side_best_key(Side *side, PyObject *Py_UNUSED(none)) {
    return side->count ? int_of(side->keys[side->count - 1]) : Py_NewRef(Py_None);
}

static PyObject *side_top(Side *side, PyObject *const *args, Py_ssize_t given) {
    Py_ssize_t depth = side->count;
    if (given > 1)
        return PyErr_Format(PyExc_TypeError, "top() takes one depth");
    if (given == 1 && args[0] != Py_None) {
        depth = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
        if (depth == -1 && PyErr_Occurred())
            return NULL;
    }
    depth = depth < 0 ? 0 : depth < side->count ? depth : side->count;
    PyObject *best_first = PyList_New(depth);
    if (!best_first)
        return NULL;
    depth = depth < side->count ? depth : side->count; /* making the list may have run a collection */
    for (Py_ssize_t i = 0; i < depth; i++)
        PyList_SET_ITEM(best_first, i, Py_NewRef(side->levels[side->count - 1 - i]));
    return best_first;
}

static PyMethodDef side_methods[] = {
    {"replace", (PyCFunction)side_replace, METH_O, NULL},
    {"apply", (PyCFunction)side_apply, METH_O, NULL},
    {"defer", (PyCFunction)side_defer, METH_O, NULL},
    {"take_near", (PyCFunction)side_take_near, METH_NOARGS, NULL},
    {"prune", (PyCFunction)side_prune, METH_O, NULL},
    {"best", (PyCFunction)side_best, METH_NOARGS, NULL},
    {"best_key", (PyCFunction)side_best_key, METH_NOARGS, NULL},
    {"top", (PyCFunction)(void (*)(void))side_top, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods side_sequence = {.sq_length = (lenfunc)side_len};

PyTypeObject BookSideType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "feedplane_native._core.BookSide",
    .tp_doc = "One side of a book; see feedplane_core.book.",
    .tp_basicsize = sizeof(Side),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = side_new,
    .tp_dealloc = (destructor)side_dealloc,
    .tp_as_sequence = &side_sequence,
    .tp_methods = side_methods,
};

/* OrderBook */

static PyObject *new_side(int sign) { return PyObject_CallFunction((PyObject *)&BookSideType, "i", sign); }

static PyObject *book_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named)) {
    if (!PyArg_ParseTuple(args, ":OrderBook"))
        return NULL;
    Book *book = (Book *)type->tp_alloc(type, 0);
    if (book && (!(book->bids = new_side(1)) || !(book->asks = new_side(-1))))
        Py_CLEAR(book);
    return (PyObject *)book;
}

static void book_dealloc(Book *book) {
    Py_XDECREF(book->bids);
    Py_XDECREF(book->asks);
    Py_TYPE(book)->tp_free(book);
}

static int two_sides(Py_ssize_t given) {
    if (given == 2)
        return 0;
    PyErr_SetString(PyExc_TypeError, "bids and asks are wanted");
    return -1;
}

static PyObject *book_replace(Book *book, PyObject *const *args, Py_ssize_t given) {
    if (two_sides(given) < 0 || replace((Side *)book->bids, args[0]) < 0 || replace((Side *)book->asks, args[1]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *book_apply(Book *book, PyObject *const *args, Py_ssize_t given) {
    if (two_sides(given) < 0)
        return NULL;
    long bids = apply((Side *)book->bids, args[0]);
    long asks = bids < 0 ? -1 : apply((Side *)book->asks, args[1]);
    return asks < 0 ? NULL : PyLong_FromLong(bids < asks ? bids : asks);
}

static PyObject *book_defer(Book *book, PyObject *const *args, Py_ssize_t given) {
    if (two_sides(given) < 0 || defer((Side *)book->bids, args[0]) < 0 || defer((Side *)book->asks, args[1]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *book_take_near(Book *book, PyObject *Py_UNUSED(none)) {
    long bids = take_near((Side *)book->bids), asks = take_near((Side *)book->asks);
    return PyLong_FromLong(bids < asks ? bids : asks);
}

static PyObject *book_prune(Book *book, PyObject *depth) {
    Py_ssize_t kept = PyNumber_AsSsize_t(depth, PyExc_OverflowError);
    if (kept == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t bids = prune((Side *)book->bids, kept);
    Py_ssize_t asks = bids < 0 ? -1 : prune((Side *)book->asks, kept);
    return asks < 0 ? NULL : PyLong_FromSsize_t(bids + asks);
}

static PyObject *book_is_crossed(Book *book, PyObject *Py_UNUSED(none)) {
    const Side *bids = (Side *)book->bids, *asks = (Side *)book->asks;
    return PyBool_FromLong(bids->count && asks->count
                           && bids->keys[bids->count - 1] >= -asks->keys[asks->count - 1]);
}

static PyObject *book_is_two_sided(Book *book, PyObject *Py_UNUSED(none)) {
    return PyBool_FromLong(((Side *)book->bids)->count && ((Side *)book->asks)->count);
}

static PyObject *book_bids(Book *book, void *Py_UNUSED(closure)) { return Py_NewRef(book->bids); }
static PyObject *book_asks(Book *book, void *Py_UNUSED(closure)) { return Py_NewRef(book->asks); }

static PyGetSetDef book_members[] = {
    {"bids", (getter)book_bids, NULL, NULL, NULL},
    {"asks", (getter)book_asks, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef book_methods[] = {
    {"replace", (PyCFunction)(void (*)(void))book_replace, METH_FASTCALL, NULL},
    {"apply", (PyCFunction)(void (*)(void))book_apply, METH_FASTCALL, NULL},
    {"defer", (PyCFunction)(void (*)(void))book_defer, METH_FASTCALL, NULL},
    {"take_near", (PyCFunction)book_take_near, METH_NOARGS, NULL},
    {"prune", (PyCFunction)book_prune, METH_O, NULL},
    {"is_crossed", (PyCFunction)book_is_crossed, METH_NOARGS, NULL},
    {"is_two_sided", (PyCFunction)book_is_two_sided, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject OrderBookType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "feedplane_native._core.OrderBook",
    .tp_doc = "Both sides of one instrument; see feedplane_core.book.",
    .tp_basicsize = sizeof(Book),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = book_new,
    .tp_dealloc = (destructor)book_dealloc,
    .tp_methods = book_methods,
    .tp_getset = book_members,
};

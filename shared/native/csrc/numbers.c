/* Plain decimal text: recognised and scaled. Same language as the regular expressions of feedplane_core.decimals. */
#include "core.h"

enum { MAX_WHOLE = 20, MAX_FRACTION = 18 };

static const uint64_t POWERS[MAX_FRACTION + 1] = {
    1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
    10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
    1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL,
};

static inline int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

NumberKind parse_plain(const char *text, Py_ssize_t size, i128 *value) {
    const char *at = text, *end = text + size;
    int negative = 0;
    if (at < end && *at == '-') {
        negative = 1;
        at++;
    }
    const char *begin = at;
    uint64_t whole = 0;
    unsigned last = 0; /* the 20th digit, which may not fit into 64 bits */
    for (; at < end && is_digit(*at); at++) {
        if (at - begin == MAX_WHOLE - 1)
            last = (unsigned)(*at - '0');
        else if (at - begin < MAX_WHOLE - 1)
            whole = whole * 10 + (unsigned)(*at - '0');
        else
            return NUMBER_OTHER;
    }
    Py_ssize_t digits = at - begin;
    if (!digits)
        return NUMBER_OTHER;
    u128 scaled = digits == MAX_WHOLE ? (u128)whole * 10 + last : whole;
    scaled *= POWERS[MAX_FRACTION];
    if (at < end) {
        if (*at != '.')
            return NUMBER_OTHER;
        begin = ++at;
        uint64_t fraction = 0;
        for (; at < end && is_digit(*at); at++) {
            if (at - begin == MAX_FRACTION)
                return NUMBER_OTHER;
            fraction = fraction * 10 + (unsigned)(*at - '0');
        }
        digits = at - begin;
        if (!digits || at < end)
            return NUMBER_OTHER;
        scaled += (u128)fraction * POWERS[MAX_FRACTION - digits];
    }
    *value = negative ? -(i128)scaled : (i128)scaled;
    return NUMBER_PLAIN;
}

const char *ascii_of(PyObject *text, Py_ssize_t *size) {
    if (!PyUnicode_Check(text) || !PyUnicode_IS_READY(text) || !PyUnicode_IS_ASCII(text))
        return NULL;
    *size = PyUnicode_GET_LENGTH(text);
    return PyUnicode_DATA(text);
}

/* Whether `text` is plain and has no sign; its value. */
static int is_unsigned(PyObject *text, i128 *value) {
    Py_ssize_t size;
    const char *data = ascii_of(text, &size);
    return data && size && data[0] != '-' && parse_plain(data, size, value) == NUMBER_PLAIN;
}

static PyObject *is_plain(PyObject *Py_UNUSED(module), PyObject *text) {
    Py_ssize_t size;
    i128 value;
    const char *data = ascii_of(text, &size);
    return PyBool_FromLong(data && parse_plain(data, size, &value) == NUMBER_PLAIN);
}

static PyObject *are_all(PyObject *const *texts, Py_ssize_t count, i128 least) {
    for (Py_ssize_t i = 0; i < count; i++) {
        i128 value;
        if (!PyUnicode_Check(texts[i]))
            return PyErr_Format(PyExc_TypeError, "expected text, not %.200s", Py_TYPE(texts[i])->tp_name);
        if (!is_unsigned(texts[i], &value) || value < least)
            Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
}

static PyObject *are_plain(PyObject *Py_UNUSED(module), PyObject *const *texts, Py_ssize_t count) {
    return are_all(texts, count, 0);
}

static PyObject *are_positive(PyObject *Py_UNUSED(module), PyObject *const *texts, Py_ssize_t count) {
    return are_all(texts, count, 1);
}

static PyObject *are_plain_levels(PyObject *Py_UNUSED(module), PyObject *levels) {
    if (!PyList_Check(levels) && !PyTuple_Check(levels))
        Py_RETURN_FALSE;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(levels); i++) {
        PyObject *level = PySequence_Fast_GET_ITEM(levels, i);
        i128 price, qty;
        if ((!PyTuple_Check(level) && !PyList_Check(level)) || PySequence_Fast_GET_SIZE(level) != 2)
            Py_RETURN_FALSE;
        if (!is_unsigned(PySequence_Fast_GET_ITEM(level, 0), &price) || price == 0)
            Py_RETURN_FALSE;
        if (!is_unsigned(PySequence_Fast_GET_ITEM(level, 1), &qty))
            Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
}

PyMethodDef number_methods[] = {
    {"is_plain", is_plain, METH_O, "Whether an object is plain decimal text that fits Decimal(38,18)."},
    {"are_plain", (PyCFunction)(void (*)(void))are_plain, METH_FASTCALL,
     "Whether all texts are plain and without a sign."},
    {"are_positive", (PyCFunction)(void (*)(void))are_positive, METH_FASTCALL,
     "Whether all texts are plain, without a sign and above zero."},
    {"are_plain_levels", are_plain_levels, METH_O,
     "Whether all levels are (price, qty) pairs of plain text, prices above zero, sizes without a sign."},
    {NULL, NULL, 0, NULL},
};

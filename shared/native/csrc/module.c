#include "core.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "feedplane_native._core",
    .m_doc = "Numbers, order books and columns, compiled.",
    .m_size = -1,
    .m_methods = number_methods,
};

PyMODINIT_FUNC PyInit__core(void) {
    PyTypeObject *const types[] = {&BookSideType, &OrderBookType, &BufferType, &ColumnSetType};
    if (PyType_Ready(&BufferType) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    for (size_t i = 0; module && i < sizeof types / sizeof *types; i++)
        if (PyModule_AddType(module, types[i]) < 0)
            Py_CLEAR(module);
    return module;
}

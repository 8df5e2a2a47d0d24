// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module of the unit tests.
 */

#include <linux/module.h>

MODULE_DESCRIPTION("Unit tests of the virtual NPU driver");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");

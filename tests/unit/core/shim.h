/* SPDX-License-Identifier: MIT */
/*
 * What the core of the device uses of QEMU, over GLib and pthreads, so that it
 * can be compiled and tested alone. core_lib.py puts it in the place of QEMU's
 * headers.
 */

#ifndef SHIM_H
#define SHIM_H

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <glib.h>

/* qemu/osdep.h, qemu/compiler.h */

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define unlikely(x) __builtin_expect(!!(x), 0)
#define QEMU_BUILD_BUG_ON(x) _Static_assert(!(x), "not expecting: " #x)
#define HOST_BIG_ENDIAN (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

/* qemu/host-utils.h */

static inline bool uadd64_overflow(uint64_t x, uint64_t y, uint64_t *ret)
{
    return __builtin_add_overflow(x, y, ret);
}

static inline bool umul64_overflow(uint64_t x, uint64_t y, uint64_t *ret)
{
    return __builtin_mul_overflow(x, y, ret);
}

static inline int ctz32(uint32_t val)
{
    return val ? __builtin_ctz(val) : 32;
}

/* qemu/atomic.h; wider than a register is refused, as QEMU does */

#define qatomic_check(ptr) _Static_assert(sizeof(*(ptr)) <= sizeof(void *), "too wide")
#define qatomic_read(ptr) \
    ({ qatomic_check(ptr); __atomic_load_n(ptr, __ATOMIC_RELAXED); })
#define qatomic_set(ptr, i) \
    do { qatomic_check(ptr); __atomic_store_n(ptr, i, __ATOMIC_RELAXED); } while (0)
#define smp_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)

/* qemu/bswap.h */

#if HOST_BIG_ENDIAN
#define le32_to_cpu(x) __builtin_bswap32(x)
#define le64_to_cpu(x) __builtin_bswap64(x)
#else
#define le32_to_cpu(x) ((uint32_t)(x))
#define le64_to_cpu(x) ((uint64_t)(x))
#endif
#define cpu_to_le32(x) le32_to_cpu(x)
#define cpu_to_le64(x) le64_to_cpu(x)

static inline uint64_t ldq_he_p(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t ldl_he_p(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t ldq_le_p(const void *p)
{
    return le64_to_cpu(ldq_he_p(p));
}

/* qemu/thread.h, qemu/lockable.h */

typedef struct QemuMutex {
    pthread_mutex_t m;
} QemuMutex;

typedef struct QemuCond {
    pthread_cond_t c;
} QemuCond;

typedef struct QemuThread {
    pthread_t t;
} QemuThread;

#define QEMU_THREAD_JOINABLE 0

static inline void qemu_mutex_init(QemuMutex *m) { pthread_mutex_init(&m->m, NULL); }
static inline void qemu_mutex_destroy(QemuMutex *m) { pthread_mutex_destroy(&m->m); }
static inline void qemu_mutex_lock(QemuMutex *m) { pthread_mutex_lock(&m->m); }
static inline void qemu_mutex_unlock(QemuMutex *m) { pthread_mutex_unlock(&m->m); }
static inline void qemu_cond_init(QemuCond *c) { pthread_cond_init(&c->c, NULL); }
static inline void qemu_cond_destroy(QemuCond *c) { pthread_cond_destroy(&c->c); }
static inline void qemu_cond_signal(QemuCond *c) { pthread_cond_signal(&c->c); }
static inline void qemu_cond_broadcast(QemuCond *c) { pthread_cond_broadcast(&c->c); }

static inline void qemu_cond_wait(QemuCond *c, QemuMutex *m)
{
    pthread_cond_wait(&c->c, &m->m);
}

static inline void qemu_thread_create(QemuThread *t, const char *name,
                      void *(*start)(void *), void *arg, int mode)
{
    if (pthread_create(&t->t, NULL, start, arg))
        abort();
}

static inline void *qemu_thread_join(QemuThread *t)
{
    void *ret;

    pthread_join(t->t, &ret);
    return ret;
}

static inline QemuMutex *shim_locked(QemuMutex *m)
{
    qemu_mutex_lock(m);
    return m;
}

static inline void shim_unlock(QemuMutex **m)
{
    if (*m)
        qemu_mutex_unlock(*m);
}

#define QEMU_LOCK_GUARD(m) \
    __attribute__((cleanup(shim_unlock), unused)) QemuMutex *shim_guard = shim_locked(m)
#define WITH_QEMU_LOCK_GUARD(m) \
    for (__attribute__((cleanup(shim_unlock))) QemuMutex *shim_guard = shim_locked(m); \
         shim_guard; qemu_mutex_unlock(shim_guard), shim_guard = NULL)

/* qemu/timer.h */

int64_t get_clock(void);       /* the test's */

/* qapi/error.h: only whether there was one */

typedef struct Error {
    int unused;
} Error;

#define error_setg(errp, ...) \
    do { if (errp) *(errp) = &shim_error; } while (0)
static Error shim_error __attribute__((unused));

/* qemu/log.h */

#define LOG_GUEST_ERROR 0
#define qemu_log_mask(mask, ...) ((void)(mask))

#endif

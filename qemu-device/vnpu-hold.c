/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: how a tester holds work of the device: see vnpu-probe.h.
 *
 * Rules are set by qom-set, which takes structures:
 *
 *   hold          { "id": 1, "site": "packet", "opcode": [5, 5], ... }
 *   hold-release  { "id": 1 } all; with "count" the oldest, "queue" that one
 *   hold-remove   1
 *   holds         (read) [ { "id": 1, "seen": 3, "queues": [2] } ]
 *
 * Each limit of a rule is a list of the least and the most. Rules are not part
 * of the migrated state: work that is held there has not been begun, and what
 * holds it in the destination is up to the tester.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "vnpu.h"
#include "vnpu-probe.h"

static const char *const hold_sites[] = {
    [VNPU_SITE_ENTRY] = "entry",
    [VNPU_SITE_PACKET] = "packet",
    [VNPU_SITE_PART] = "part",
};

QEMU_BUILD_BUG_ON(ARRAY_SIZE(hold_sites) != VNPU_SITES);

static bool hold_get_site(Visitor *v, VnpuSite *site, Error **errp)
{
    g_autofree char *name = NULL;

    if (!visit_type_str(v, "site", &name, errp)) {
        return false;
    }
    for (unsigned i = 0; i < VNPU_SITES; i++) {
        if (!strcmp(name, hold_sites[i])) {
            *site = i;
            return true;
        }
    }
    error_setg(errp, "site '%s' is none of entry, packet, part", name);
    return false;
}

static bool hold_limits_get(Visitor *v, const char *name, uint64_t *min,
                            uint64_t *max, Error **errp)
{
    bool ok;

    if (!visit_start_list(v, name, NULL, 0, errp)) {
        return false;
    }
    ok = visit_type_uint64(v, NULL, min, errp) &&
         visit_type_uint64(v, NULL, max, errp) && visit_check_list(v, errp);
    visit_end_list(v, NULL);
    return ok;
}

/* A list of two, if it is there */
static bool hold_get_limits64(Visitor *v, const char *name, uint64_t *min,
                              uint64_t *max, Error **errp)
{
    bool present = false;

    visit_optional(v, name, &present);
    return !present || hold_limits_get(v, name, min, max, errp);
}

static bool hold_get_limits(Visitor *v, const char *name, uint32_t *min,
                            uint32_t *max, Error **errp)
{
    uint64_t least = *min, most = *max;

    if (!hold_get_limits64(v, name, &least, &most, errp)) {
        return false;
    }
    if (least > UINT32_MAX || most > UINT32_MAX) {
        error_setg(errp, "%s: more than 32 bits", name);
        return false;
    }
    *min = least;
    *max = most;
    return true;
}

static bool hold_get_number(Visitor *v, const char *name, uint64_t *value,
                            bool *present, Error **errp)
{
    visit_optional(v, name, present);
    return !*present || visit_type_uint64(v, name, value, errp);
}

static bool hold_get_match(Visitor *v, VnpuMatch *m, Error **errp)
{
    VnpuSite site;
    bool present;

    if (!hold_get_site(v, &site, errp)) {
        return false;
    }
    vnpu_match_init(m, site);
    return hold_get_limits(v, "queue", &m->queue_min, &m->queue_max, errp) &&
           hold_get_limits(v, "engine", &m->engine_min, &m->engine_max,
                           errp) &&
           hold_get_limits(v, "context", &m->context_min, &m->context_max,
                           errp) &&
           hold_get_limits(v, "opcode", &m->opcode_min, &m->opcode_max,
                           errp) &&
           hold_get_limits64(v, "addr", &m->addr_min, &m->addr_max, errp) &&
           hold_get_number(v, "skip", &m->skip, &present, errp) &&
           hold_get_number(v, "count", &m->count, &present, errp);
}

static VnpuHold *hold_find(VnpuState *s, uint64_t id, Error **errp)
{
    VnpuHold *h = g_hash_table_lookup(s->holds, &id);

    if (!h) {
        error_setg(errp, "there is no hold %" PRIu64, id);
    }
    return h;
}

static void hold_add(VnpuState *s, uint64_t id, const VnpuMatch *match,
                     Error **errp)
{
    uint64_t *key;

    if (!s->realized) {
        error_setg(errp, "the device is not realized");
        return;
    }
    if (g_hash_table_contains(s->holds, &id)) {
        error_setg(errp, "there is a hold %" PRIu64 " already", id);
        return;
    }
    key = g_new(uint64_t, 1);
    *key = id;
    g_hash_table_insert(s->holds, key, vnpu_hold_new(s->core, match));
}

static void hold_set(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    VnpuMatch match;
    uint64_t id;
    bool ok;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    ok = visit_type_uint64(v, "id", &id, errp) &&
         hold_get_match(v, &match, errp) && visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    if (ok) {
        hold_add(VNPU(obj), id, &match, errp);
    }
}

static void hold_release(VnpuState *s, uint64_t id, uint64_t count,
                         const uint64_t *queue, Error **errp)
{
    VnpuHold *h = hold_find(s, id, errp);

    if (!h) {
        return;
    }
    if (!queue) {
        vnpu_hold_release(s->core, h, count);
    } else if (!vnpu_hold_release_queue(s->core, h, *queue)) {
        error_setg(errp, "hold %" PRIu64 " has nothing of queue %" PRIu64, id,
                   *queue);
    }
}

static void hold_release_set(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    uint64_t id, count = UINT64_MAX, queue;
    bool ok, has_count, has_queue;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    ok = visit_type_uint64(v, "id", &id, errp) &&
         hold_get_number(v, "count", &count, &has_count, errp) &&
         hold_get_number(v, "queue", &queue, &has_queue, errp) &&
         visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    if (ok) {
        hold_release(VNPU(obj), id, count, has_queue ? &queue : NULL, errp);
    }
}

static void hold_remove_set(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    VnpuState *s = VNPU(obj);
    VnpuHold *h;
    uint64_t id;

    if (!visit_type_uint64(v, name, &id, errp)) {
        return;
    }
    h = hold_find(s, id, errp);
    if (h) {
        vnpu_hold_free(s->core, h);
        g_hash_table_remove(s->holds, &id);
    }
}

static bool hold_show_queues(Visitor *v, const VnpuHold *h, Error **errp)
{
    uint32_t queues[VNPU_MAX_QUEUES];
    unsigned n = vnpu_hold_queues(h, queues);
    bool ok = visit_start_list(v, "queues", NULL, 0, errp);

    for (unsigned i = 0; ok && i < n; i++) {
        ok = visit_type_uint32(v, NULL, &queues[i], errp);
    }
    visit_end_list(v, NULL);
    return ok;
}

static bool hold_show(Visitor *v, uint64_t id, const VnpuHold *h,
                      Error **errp)
{
    uint64_t seen = vnpu_hold_seen(h);
    bool ok;

    if (!visit_start_struct(v, NULL, NULL, 0, errp)) {
        return false;
    }
    ok = visit_type_uint64(v, "id", &id, errp) &&
         visit_type_uint64(v, "seen", &seen, errp) &&
         hold_show_queues(v, h, errp) && visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

static void hold_get_all(Object *obj, Visitor *v, const char *name,
                         void *opaque, Error **errp)
{
    GHashTableIter iter;
    gpointer id, hold;
    bool ok = visit_start_list(v, name, NULL, 0, errp);

    if (!ok) {
        return;
    }
    g_hash_table_iter_init(&iter, VNPU(obj)->holds);
    while (ok && g_hash_table_iter_next(&iter, &id, &hold)) {
        ok = hold_show(v, *(uint64_t *)id, hold, errp);
    }
    visit_end_list(v, NULL);
}

void vnpu_hold_class_init(ObjectClass *klass)
{
    object_class_property_add(klass, "hold", "struct", NULL, hold_set, NULL,
                              NULL);
    object_class_property_add(klass, "hold-release", "struct", NULL,
                              hold_release_set, NULL, NULL);
    object_class_property_add(klass, "hold-remove", "uint64", NULL,
                              hold_remove_set, NULL, NULL);
    object_class_property_add(klass, "holds", "list", hold_get_all, NULL, NULL,
                              NULL);
    object_class_property_set_description(klass, "hold",
        "for tests: a rule that holds work; see docs/holds.md");
    object_class_property_set_description(klass, "hold-release",
        "for tests: let go what a rule holds");
    object_class_property_set_description(klass, "hold-remove",
        "for tests: end a rule, and let go what it holds");
    object_class_property_set_description(klass, "holds",
        "for tests: the rules, what they have seen and what they hold");
}

void vnpu_hold_init(VnpuState *s)
{
    s->holds = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                     NULL);
}

/* The rules themselves go with the core */
void vnpu_hold_finalize(VnpuState *s)
{
    g_clear_pointer(&s->holds, g_hash_table_destroy);
}

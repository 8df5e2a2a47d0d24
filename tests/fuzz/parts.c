/* SPDX-License-Identifier: MIT */
/*
 * What is true of each part of a packet: it begins where the one before ended,
 * and one of a copy has the memory that the packet says, with the right bytes in
 * it afterwards. Addresses are worked out here byte by byte, not by part.
 */

#include "surroundings.h"

#include "qemu/bswap.h"

/* What is to be covered is the device, not this */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

static bool is_fill(const VnpuJob *job)
{
    return !strcmp(vnpu_packet_name(job), "FILL");
}

/* COPY and FILL have one row */
static bool operands(const VnpuJob *job, Rows *src, Rows *dst)
{
    const VnpuPacket *p = &job->pkt;
    const char *name = vnpu_packet_name(job);

    if (!strcmp(name, "COPY")) {
        *src = (Rows) { le64_to_cpu(p->copy.src), 0, job->total };
        *dst = (Rows) { le64_to_cpu(p->copy.dst), 0, job->total };
    } else if (!strcmp(name, "FILL")) {
        *src = *dst = (Rows) { le64_to_cpu(p->fill.dst), 0, job->total };
    } else if (!strcmp(name, "COPY_2D")) {
        uint64_t bytes = le32_to_cpu(p->copy_2d.row_bytes);

        *src = (Rows) { le64_to_cpu(p->copy_2d.src), le64_to_cpu(p->copy_2d.src_stride), bytes };
        *dst = (Rows) { le64_to_cpu(p->copy_2d.dst), le64_to_cpu(p->copy_2d.dst_stride), bytes };
    } else {
        return false;
    }
    return true;
}

static uint64_t address_of(const Rows *rows, uint64_t at)
{
    return rows->base + at / rows->bytes * rows->stride + at % rows->bytes;
}

/* That it is at this address, if it is known where it is: bounce buffers are nowhere */
static void check_address(const World *w, const VnpuIov *piece, size_t off, uint64_t addr)
{
    uint8_t *host = (uint8_t *)piece->base + off;
    uint64_t known;

    if (host >= w->vram && host < w->vram + VRAM_SIZE) {
        CHECK(addr == ((uint64_t)(host - w->vram) | 1ull << VNPU_PHYS_VRAM_BIT));
    } else if (world_address(w, piece->base, &known)) {
        CHECK(addr == known + off);
    }
}

static void check_place(const World *w, VnpuSg sg, const Rows *rows, uint64_t at, uint64_t len)
{
    for (size_t i = 0; i < sg.niov && len; i++) {
        const VnpuIov *piece = &sg.iov[i];
        uint64_t n = MIN(piece->len, len);

        CHECK(n);
        check_address(w, piece, 0, address_of(rows, at));
        check_address(w, piece, n - 1, address_of(rows, at + n - 1));
        at += n;
        len -= n;
    }
    CHECK(!len);
}

/* Byte @at of a list */
typedef struct Place {
    const VnpuIov *iov;
    size_t off;
} Place;

static Place place_of(VnpuSg sg, uint64_t at)
{
    Place p = { sg.iov, at };

    while (p.off >= p.iov->len) {
        p.off -= p.iov++->len;
    }
    return p;
}

static uint64_t place_run(const Place *p, uint64_t most)
{
    return MIN(p->iov->len - p->off, most);
}

static const uint8_t *place_skip(Place *p, uint64_t n)
{
    const uint8_t *here = (const uint8_t *)p->iov->base + p->off;

    p->off += n;
    if (p->off == p->iov->len) {
        p->iov++;
        p->off = 0;
    }
    return here;
}

static void check_copied(VnpuSg from, VnpuSg to, uint64_t len)
{
    Place src = place_of(from, 0), dst = place_of(to, 0);

    while (len) {
        uint64_t n = place_run(&src, place_run(&dst, len));

        CHECK(!memcmp(place_skip(&src, n), place_skip(&dst, n), n));
        len -= n;
    }
}

/* Each byte is the one four before it, and the first are the pattern's */
static void check_filled(VnpuSg to, uint64_t len, uint32_t pattern)
{
    Place dst = place_of(to, 0);

    for (uint64_t at = 0; at < len;) {
        uint64_t n = place_run(&dst, len - at);
        const uint8_t *here = place_skip(&dst, n);

        for (uint64_t i = 0; i < MIN(n, 4); i++) {
            CHECK(here[i] == (uint8_t)(pattern >> (at + i) % 4 * 8));
        }
        CHECK(n <= 4 || !memcmp(here, here + 4, n - 4));
        at += n;
    }
}

/* What is written may be what is read, one after the other */
static bool overlap(const VnpuJob *job, const Rows *src, const Rows *dst)
{
    uint64_t between = src->base < dst->base ? dst->base - src->base : src->base - dst->base;

    return !src->stride && between < job->total;
}

bool parts_stop(const VnpuJob *job)
{
    Rows ignored;

    return operands(job, &ignored, &ignored);
}

static VnpuSg written(const VnpuJob *job)
{
    return vnpu_job_sg(job, is_fill(job) ? 0 : 1);
}

static uint8_t *byte_at(VnpuSg sg, uint64_t at)
{
    Place p = place_of(sg, at);

    return (uint8_t *)p.iov->base + p.off;
}

/* Memory is zeroes for the most part: have the last byte differ from what it will be */
static void spoil(const VnpuJob *job, Part *part)
{
    uint64_t at = job->part - 1;
    uint32_t pattern = le32_to_cpu(job->pkt.fill.pattern);

    part->last = byte_at(written(job), at);
    part->was = *part->last;
    *part->last = ~(is_fill(job) ? pattern >> at % 4 * 8 : *byte_at(vnpu_job_sg(job, 0), at));
    part->spoilt = *part->last;
}

void parts_before(const World *w, const VnpuJob *job, Part *part, bool computed)
{
    const Chain *chain = &w->chain[job->queue];

    CHECK(job->pos < job->total && job->part && job->part <= job->total - job->pos);
    if (chain->packet == job->packet) {
        CHECK(job->pos == chain->pos);
    } else {
        CHECK(!job->pos || w->loaded);
    }
    part->len = job->part;
    part->known = job->ctx == VNPU_PHYS_CONTEXT && operands(job, &part->src, &part->dst);
    part->backward = part->known && !strcmp(vnpu_packet_name(job), "COPY") &&
                     part->src.base < part->dst.base && overlap(job, &part->src, &part->dst);
    part->at = part->backward ? job->total - job->pos - job->part : job->pos;
    if (part->known) {
        if (!is_fill(job)) {
            check_place(w, vnpu_job_sg(job, 0), &part->src, part->at, job->part);
        }
        check_place(w, written(job), &part->dst, part->at, job->part);
    }
    part->checked = part->known && computed &&
                    (is_fill(job) || !overlap(job, &part->src, &part->dst));
    if (part->checked) {
        spoil(job, part);
    }
}

void parts_after(World *w, const VnpuJob *job, const Part *part)
{
    CHECK(job->part && job->part <= part->len);
    w->chain[job->queue] = (Chain) { job->packet, job->pos + job->part };
    if (!part->checked) {
        return;
    }
    if (job->part < part->len) {
        CHECK(*part->last == part->spoilt);
        *part->last = part->was;
    }
    if (is_fill(job)) {
        check_filled(written(job), job->part, le32_to_cpu(job->pkt.fill.pattern));
    } else {
        check_copied(vnpu_job_sg(job, 0), written(job), job->part);
    }
}

#pragma clang attribute pop

/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/proto.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

struct sotto_proto {
    ProtobufCAllocator allocator;
    ProtobufCMessage *msg;
    size_t left; /* bytes that may still be taken */
    bool out_of_memory;
};

/* Before each block, so that it can be given back and wiped; keeps the alignment of malloc(). */
union block {
    size_t size; /* with this head */
    max_align_t align;
};

static void *bounded_alloc(void *ctx, size_t size)
{
    struct sotto_proto *p = ctx;
    union block *b;

    if (p->left < sizeof *b || size > p->left - sizeof *b)
        return NULL;
    size += sizeof *b;
    b = malloc(size);
    if (b == NULL) {
        p->out_of_memory = true;
        return NULL;
    }
    b->size = size;
    p->left -= size;
    return b + 1;
}

static void bounded_free(void *ctx, void *data)
{
    struct sotto_proto *p = ctx;
    union block *b = data;

    if (data == NULL)
        return;
    b--;
    p->left += b->size;
    sotto_wipe(b, b->size);
    free(b);
}

static void proto_free(struct sotto_proto *p)
{
    sotto_wipe(p, sizeof *p); /* where the blocks were */
    free(p);
}

enum sotto_err sotto_proto_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                  size_t len, struct sotto_proto **ret)
{
    struct sotto_proto *p = calloc(1, sizeof *p);
    enum sotto_err e;

    if (p == NULL)
        return SOTTO_ERR_NOMEM;
    p->allocator = (ProtobufCAllocator){bounded_alloc, bounded_free, p};
    p->left = 2 * len + SOTTO_PROTO_SPARE;
    p->msg = protobuf_c_message_unpack(type, &p->allocator, len, data);
    if (p->msg == NULL) {
        e = p->out_of_memory ? SOTTO_ERR_NOMEM : SOTTO_ERR_MALFORMED;
        proto_free(p);
        return e;
    }
    *ret = p;
    return SOTTO_OK;
}

const void *sotto_proto_message(const struct sotto_proto *p)
{
    return p->msg;
}

void sotto_proto_free(struct sotto_proto *p)
{
    if (p == NULL)
        return;
    protobuf_c_message_free_unpacked(p->msg, &p->allocator);
    proto_free(p);
}

enum sotto_err sotto_proto_append(const ProtobufCMessage *msg, bool framed, size_t max,
                                  struct sotto_buf *buf)
{
    size_t len = protobuf_c_message_get_packed_size(msg);
    size_t head = framed ? SOTTO_FRAME_HEADER : 0;
    enum sotto_err e;

    if (len > max)
        return SOTTO_ERR_TOO_LARGE;
    if ((e = sotto_buf_reserve(buf, head + len)) != 0)
        return e;
    if (framed)
        sotto_put_u32(buf->p + buf->n, (uint32_t)len);
    if (len > 0)
        protobuf_c_message_pack(msg, buf->p + buf->n + head);
    buf->n += head + len;
    return SOTTO_OK;
}

enum sotto_err sotto_proto_fixed(const ProtobufCBinaryData *f, void *ret, size_t len)
{
    if (f->len != len)
        return SOTTO_ERR_MALFORMED;
    memcpy(ret, f->data, len);
    return SOTTO_OK;
}

enum sotto_err sotto_proto_optional(const ProtobufCBinaryData *f, void *ret, size_t len,
                                    bool *ret_has)
{
    *ret_has = f->len != 0;
    return f->len == 0 ? SOTTO_OK : sotto_proto_fixed(f, ret, len);
}

enum sotto_err sotto_proto_view(const ProtobufCBinaryData *f, size_t min, size_t max,
                                struct sotto_bytes *ret)
{
    if (f->len < min || f->len > max)
        return SOTTO_ERR_MALFORMED;
    *ret = (struct sotto_bytes){f->data, f->len};
    return SOTTO_OK;
}

enum sotto_err sotto_proto_views(const ProtobufCBinaryData *f, size_t count, size_t max_count,
                                 size_t min, size_t max, struct sotto_bytes *ret, size_t *ret_count)
{
    enum sotto_err e;

    if (count > max_count)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < count; i++)
        if ((e = sotto_proto_view(&f[i], min, max, &ret[i])) != 0)
            return e;
    *ret_count = count;
    return SOTTO_OK;
}

enum sotto_err sotto_proto_name(const ProtobufCBinaryData *f, sotto_name ret)
{
    if (!sotto_name_valid((const char *)f->data, f->len))
        return SOTTO_ERR_MALFORMED;
    memcpy(ret, f->data, f->len);
    ret[f->len] = '\0';
    return SOTTO_OK;
}

/* What a terminal may take for a command. C1 in UTF-8 is C2 80 .. C2 9F. */
static bool has_control(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0))
            return true;
    return false;
}

enum sotto_err sotto_proto_line(const ProtobufCBinaryData *f, char *ret, size_t room)
{
    if (f->len >= room || !sotto_utf8_valid(f->data, f->len) || has_control(f->data, f->len))
        return SOTTO_ERR_MALFORMED;
    if (f->len > 0)
        memcpy(ret, f->data, f->len);
    ret[f->len] = '\0';
    return SOTTO_OK;
}

/* protobuf-c's type has no const; it does not write through it when it packs. */
ProtobufCBinaryData sotto_proto_put(const void *data, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

ProtobufCBinaryData sotto_proto_put_if(bool has, const void *data, size_t len)
{
    return sotto_proto_put(data, has ? len : 0);
}

ProtobufCBinaryData sotto_proto_put_view(struct sotto_bytes v)
{
    return sotto_proto_put(v.p, v.n);
}

ProtobufCBinaryData sotto_proto_put_text(const char *text, size_t room)
{
    return sotto_proto_put(text, strnlen(text, room));
}

void sotto_proto_put_views(const struct sotto_bytes *v, size_t count, ProtobufCBinaryData *ret)
{
    for (size_t i = 0; i < count; i++)
        ret[i] = sotto_proto_put_view(v[i]);
}

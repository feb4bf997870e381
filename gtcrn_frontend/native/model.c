/* Models and streams: memory, weight blobs, canonical states. Compiled once, for the baseline of the target. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

enum { CACHE_LINE = 64, MAX_BLOB = 1 << 24 };

void *gtcrn_allocate(size_t bytes)
{
    /* aligned_alloc is missing on Windows: over-allocate, and store the address of the block just before the result. */
    char *whole = calloc(1, bytes + CACHE_LINE + sizeof(void *));
    if (!whole) return NULL;
    char *aligned = whole + sizeof(void *);
    aligned += (CACHE_LINE - (uintptr_t)aligned % CACHE_LINE) % CACHE_LINE;
    ((void **)aligned)[-1] = whole;
    return aligned;
}

void gtcrn_free(void *memory)
{
    if (memory) free(((void **)memory)[-1]);
}

static int runs_fit(const gtcrn_run *runs, int count, int inputs)
{
    for (int i = 0; i < count; i++)
        if (runs[i].start < 0 || runs[i].length < 0 || runs[i].start > inputs ||
            runs[i].length > inputs - runs[i].start)
            return 0;
    return 1;
}

/* CRC-32, as in zlib. */
static uint32_t crc32(const unsigned char *data, const unsigned char *end)
{
    uint32_t crc = 0xffffffff;
    for (; data < end; data++) {
        crc ^= *data;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static const char odd_size[] =
    "the weight blob is not as long as expected: it was packed by another version, or cut off";

/* Returns an error message for a blob on a cache line, or NULL if it is valid; its network in *network. */
static const char *check(const gtcrn_blob *blob, size_t bytes, gtcrn_network *network)
{
    if (bytes < sizeof *blob || blob->bytes != bytes) return odd_size;
    *network = memcmp(blob->magic, "GTCRN001", sizeof blob->magic) == 0   ? GTCRN_NETWORK
               : memcmp(blob->magic, "ULUNAS01", sizeof blob->magic) == 0 ? GTCRN_UNAS
                                                                          : GTCRN_ANY_NETWORK;
    if (*network == GTCRN_ANY_NETWORK || blob->byte_order != 0x01020304)
        return "the weight blob does not begin as expected: it was packed by another version, or for another byte "
               "order";
    if (*network == GTCRN_NETWORK && bytes != sizeof(gtcrn_weights)) return odd_size;
    if (crc32((const unsigned char *)blob->reserved, (const unsigned char *)blob + bytes) != blob->checksum)
        return "the weight blob is damaged: its checksum differs";
    if (!runs_fit(blob->merge_runs, ERB, HIGH) || !runs_fit(blob->spread_runs, HIGH, ERB))
        return "the weight blob has an ERB matrix with weights outside of it";
    return NULL;
}

/* Squared Hann window, the inverse of which divides by the sum of two of them, half a frame apart; or its root, where
 * that sum is one. */
static void fill_tables(gtcrn_tables *tables, int hann)
{
    const double pi = 3.14159265358979323846;
    for (int n = 0; n < FRAME; n++) {
        const double here = 0.5 - 0.5 * cos(2 * pi * n / FRAME), there = 1 - here;
        const double window = hann ? here : sqrt(here), overlapping = hann ? here * here + there * there : 1;
        tables->analysis_window[n] = (float)(window / 2);
        tables->synthesis_window[n] = (float)(window / overlapping / FRAME);
    }
    for (int k = 0; k < FRAME / 2; k++) {
        tables->split_cos[k] = (float)cos(2 * pi * k / FRAME);
        tables->split_sin[k] = (float)sin(2 * pi * k / FRAME);
    }
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 16; column++) {
            tables->turn_cos[row][column] = (float)cos(2 * pi * row * column / 256);
            tables->turn_sin[row][column] = (float)-sin(2 * pi * row * column / 256);
        }
}

gtcrn_model *gtcrn_model_load(const void *blob, size_t bytes, const char *isa, const char **error)
{
    const char *wrong = NULL, *name = NULL;
    gtcrn_kernel *kernel = gtcrn_find_kernel(isa, &name);
    gtcrn_model *model = NULL;
    void *copy = NULL;
    if (!kernel)
        wrong = "this machine or this build has no such instruction set";
    else if (bytes < sizeof(gtcrn_blob) || bytes > MAX_BLOB)
        wrong = odd_size;
    else if (!(model = gtcrn_allocate(sizeof *model)) || !(copy = gtcrn_allocate(bytes)))
        wrong = "out of memory";
    else {
        memcpy(copy, blob, bytes);
        wrong = check(copy, bytes, &model->network);
        if (!wrong && model->network == GTCRN_UNAS && !(model->unas = gtcrn_unas_load(copy, bytes))) wrong = odd_size;
        if (model->network == GTCRN_NETWORK) model->weights = copy;
        fill_tables(&model->tables, model->network == GTCRN_UNAS);
        atomic_init(&model->users, 1);
        atomic_flag_clear(&model->filters_taken);
        model->kernel = kernel;
        model->isa = name;
    }
    if (error) *error = wrong;
    if (!wrong) return model;
    gtcrn_free(copy);
    gtcrn_free(model);
    return NULL;
}

void gtcrn_keep_model(gtcrn_model *model)
{
    atomic_fetch_add_explicit(&model->users, 1, memory_order_relaxed);
}

void gtcrn_model_free(gtcrn_model *model)
{
    if (!model || atomic_fetch_sub_explicit(&model->users, 1, memory_order_acq_rel) != 1) return;
    gtcrn_free_filters(model);
    if (model->unas) gtcrn_unas_free(model->unas);
    gtcrn_free((void *)model->weights);
    gtcrn_free(model);
}

const char *gtcrn_model_isa(const gtcrn_model *model)
{
    return model->isa;
}

gtcrn_stream *gtcrn_stream_new(void)
{
    return gtcrn_allocate(sizeof(gtcrn_stream));
}

void gtcrn_stream_free(gtcrn_stream *stream)
{
    gtcrn_free(stream);
}

static void reset(gtcrn_stream *stream)
{
    memset(stream, 0, offsetof(gtcrn_stream, busy));
}

int gtcrn_stream_reset(gtcrn_stream *stream)
{
    if (!gtcrn_enter(stream)) return GTCRN_BUSY;
    reset(stream);
    gtcrn_leave(stream);
    return 0;
}

size_t gtcrn_state_floats(const gtcrn_model *model)
{
    return model->network == GTCRN_UNAS ? UNAS_STATE_FLOATS : GTCRN_STATE_FLOATS;
}

size_t gtcrn_stream_bytes(void)
{
    return sizeof(gtcrn_stream);
}

/* Position of one value of the canonical convolution caches (2, 16, 16, 33): half of the network, channel, time row,
 * band. Rows 0:2, 2:6 and 6:16 belong to dilations 1, 2 and 5 in both halves, oldest frame first; the decoder's blocks
 * run in the opposite order. */
static float *conv_value(gtcrn_stream *stream, int half, int channel, int row, int band)
{
    const int layer = row < 2 ? 0 : row < 6 ? 1 : 2, block = half ? BLOCKS - 1 - layer : layer;
    const int age = row - (layer == 0 ? 0 : layer == 1 ? 2 : 6);
    const int slot = first_slot[block] + (stream->position[block] + age) % (2 * dilations[block]);
    return &stream->conv[slot][1 + band][channel];
}

/* Copies a state between a stream and its canonical form, in the direction of `copy`. */
static void exchange(gtcrn_stream *stream, gtcrn_network network, float *state,
                     void (*copy)(float *in_stream, float *in_state))
{
    for (int i = 0; i < HOP; i++) copy(&stream->analysis[i], state++);
    for (int i = 0; i < HOP; i++) copy(&stream->synthesis[i], state++);
    if (network == GTCRN_UNAS) {
        gtcrn_unas_exchange(stream, state, copy);
        return;
    }
    for (int half = 0; half < 2; half++)
        for (int channel = 0; channel < CHANNELS; channel++)
            for (int row = 0; row < SLOTS / 2; row++)
                for (int band = 0; band < WIDTH; band++) copy(conv_value(stream, half, channel, row, band), state++);
    for (int i = 0; i < BLOCKS * CHANNELS; i++) copy(&stream->tra[0][0] + i, state++);
    for (int i = 0; i < 2 * WIDTH * CHANNELS; i++) copy(&stream->inter[0][0][0] + i, state++);
}

static void to_state(float *in_stream, float *in_state)
{
    *in_state = *in_stream;
}

static void to_stream(float *in_stream, float *in_state)
{
    *in_stream = *in_state;
}

/* Returns the network whose exported state has so many values. */
static gtcrn_network network_of(size_t floats)
{
    return floats == GTCRN_STATE_FLOATS  ? GTCRN_NETWORK
           : floats == UNAS_STATE_FLOATS ? GTCRN_UNAS
                                         : GTCRN_ANY_NETWORK;
}

int gtcrn_stream_export(gtcrn_stream *stream, float *state, size_t floats)
{
    const gtcrn_network network = network_of(floats);
    if (network == GTCRN_ANY_NETWORK) return GTCRN_REFUSED;
    if (!gtcrn_enter(stream)) return GTCRN_BUSY;
    const int fits = stream->network == GTCRN_ANY_NETWORK || stream->network == network;
    if (fits) exchange(stream, network, state, to_state);
    gtcrn_leave(stream);
    return fits ? 0 : GTCRN_REFUSED;
}

/* The parts of a canonical state in order, with the largest magnitude in each: GTCRN_SPEC.cache_limits in
 * model_spec.py, which documents their origin. */
static const struct {
    size_t floats;
    float limit;
} parts[][5] = {{{HOP, 32},
                 {HOP, 512},
                 {SLOTS * CHANNELS * WIDTH, 1e6F},
                 {BLOCKS * CHANNELS, 1.001F},
                 {2 * WIDTH * CHANNELS, 1.001F}},
                {{HOP, 32},
                 {HOP, 512},
                 {UNAS_STATE_FLOATS - 2 * HOP - UNAS_TIME_FLOATS - 2 * WIDTH * CHANNELS, 1e6F},
                 {UNAS_TIME_FLOATS, 1.001F},
                 {2 * WIDTH * CHANNELS, 1.001F}}};

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

int gtcrn_are_canonical(gtcrn_network network, const float *state)
{
    const float *value = state;
    for (int i = 0; i < 5; i++) {
        const float limit = parts[network == GTCRN_UNAS][i].limit;
        /* Bitwise, as the compiler may assume that no value is infinite: NaN exceeds any limit. */
        for (const float *end = value + parts[network == GTCRN_UNAS][i].floats; value < end; value++)
            if ((bits_of(*value) & 0x7fffffff) > bits_of(limit)) return 0;
    }
    return 1;
}

int gtcrn_stream_import(gtcrn_stream *stream, const float *state, size_t floats)
{
    const gtcrn_network network = network_of(floats);
    if (network == GTCRN_ANY_NETWORK || !gtcrn_are_canonical(network, state)) return GTCRN_REFUSED;
    if (!gtcrn_enter(stream)) return GTCRN_BUSY;
    reset(stream);
    exchange(stream, network, (float *)state, to_stream); /* the state is only read in this direction */
    stream->network = network;
    gtcrn_leave(stream);
    return 0;
}

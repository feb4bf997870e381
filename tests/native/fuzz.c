/* Fuzzes what reads foreign bytes: weight blobs, and states of the network and of enhancers. What is accepted must run
 * without a finding of a sanitizer, and the output must stay within bounds.
 *
 * With clang: -fsanitize=fuzzer,address,undefined -DLIBFUZZER. Without: fuzz weights.bin 2000 mutates good ones that
 * many times. The checksum is made right again, as it would hide everything behind it.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { CHECKSUM = 16, CHECKED = 20 }; /* where the checksum is, and what it covers begins */

static uint32_t crc32(const uint8_t *data, size_t bytes)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static gtcrn_model *true_model; /* where `main` has read one */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { KINDS = 4, FRAMES = 1500 };

static const struct {
    uint32_t rate, output_rate, channels;
    double strength;
} kinds[KINDS] = {
    {16000, 16000, 1, GTCRN_AUTO}, {48000, 48000, 2, GTCRN_AUTO}, {8000, 44100, 1, 0.7}, {48000, 16000, 1, 1}};

static gtcrn_enhancer *new_enhancer(gtcrn_model *model, int kind)
{
    gtcrn_settings settings;
    gtcrn_settings_init(&settings);
    settings.sample_rate = kinds[kind].rate, settings.output_sample_rate = kinds[kind].output_rate;
    settings.channels = kinds[kind].channels, settings.strength = kinds[kind].strength;
    gtcrn_enhancer *enhancer = gtcrn_enhancer_new(model, &settings, NULL);
    if (!enhancer) abort();
    return enhancer;
}

/* Imports bytes as the state of an enhancer; if they are accepted, it has to go on as one does. */
static void try_enhancer(gtcrn_model *model, int kind, const uint8_t *data, size_t bytes)
{
    gtcrn_enhancer *enhancer = new_enhancer(model, kind);
    const int status = gtcrn_enhancer_import_state(enhancer, data, bytes);
    if (status != 0 && (status != GTCRN_REFUSED || gtcrn_enhancer_frames_in(enhancer) != 0)) abort();
    if (status == 0) {
        const size_t channels = kinds[kind].channels, room = 20000;
        float *input = calloc(FRAMES * channels, sizeof *input), *output = malloc(room * channels * sizeof *output);
        if (!input || !output) abort();
        for (size_t i = 0; i < FRAMES * channels; i++) input[i] = i % 7 ? 0.3F : -0.5F;
        const int64_t given = gtcrn_enhancer_frames_out(enhancer);
        const int64_t taken = gtcrn_enhancer_frames_in(enhancer) + FRAMES;
        const int64_t rate = kinds[kind].rate, output_rate = kinds[kind].output_rate;
        int64_t count = gtcrn_enhancer_push(enhancer, input, FRAMES, output, room);
        if (count < 0) abort();
        const int64_t rest = gtcrn_enhancer_finish(enhancer, output + (size_t)count * channels, room - (size_t)count);
        if (rest < 0) abort();
        count += rest;
        if (given + count != taken / rate * output_rate + (taken % rate * output_rate + rate - 1) / rate) abort();
        for (size_t i = 0; i < (size_t)count * channels; i++)
            if (!(fabsf(output[i]) < 2048)) abort();
        free(input), free(output);
    }
    gtcrn_enhancer_free(enhancer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *exact = malloc(bytes ? bytes : 1); /* reading past its end is found */
    gtcrn_stream *stream = gtcrn_stream_new();
    if (!exact || !stream) abort();
    memcpy(exact, data, bytes);
    const int accepted = gtcrn_stream_import(stream, (const float *)exact, bytes / sizeof(float)) == 0;
    if (bytes > CHECKED) {
        const uint32_t checksum = crc32(exact + CHECKED, bytes - CHECKED);
        memcpy(exact + CHECKSUM, &checksum, sizeof checksum);
    }
    const char *error = NULL;
    gtcrn_model *model = gtcrn_model_load(exact, bytes, NULL, &error);
    if (!model == !error) abort(); /* either a model or a reason */
    static float hops[2 * GTCRN_HOP];
    if (model) gtcrn_process(model, &(gtcrn_job){.stream = stream, .input = hops, .output = hops, .hops = 2});
    if (accepted) { /* whatever was taken as a state comes out again, and with true weights it makes no noise */
        const size_t floats = bytes / sizeof(float);
        float *state = malloc(floats * sizeof *state);
        if (!state || gtcrn_stream_export(stream, state, floats) != 0) abort();
        const int runs = true_model && gtcrn_state_floats(true_model) == floats;
        for (int i = 0; runs && i < 12; i++) {
            float hop[GTCRN_HOP] = {0.5F};
            gtcrn_process(true_model,
                          &(gtcrn_job){.stream = stream, .input = hop, .output = hop, .hops = 1, .strength = 1});
            for (int n = 0; n < GTCRN_HOP; n++)
                if (!(fabsf(hop[n]) < 1024)) abort();
        }
        free(state);
    }
    for (int kind = 0; true_model && kind < KINDS; kind++) try_enhancer(true_model, kind, exact, bytes);
    gtcrn_model_free(model);
    gtcrn_stream_free(stream);
    free(exact);
    return 0;
}

#ifndef LIBFUZZER
static uint32_t seed = 1;

static uint32_t draw(void)
{
    return (seed = seed * 1664525u + 1013904223u) >> 8;
}

/* Some bytes anywhere, or among the first 2,112: the header and the ERB runs, whose values are indices. */
static void mutate(const uint8_t *good, size_t bytes)
{
    const size_t size = draw() % 8 ? bytes : draw() % (bytes + 1);
    uint8_t *bad = malloc(size ? size : 1);
    if (!bad) abort();
    memcpy(bad, good, size);
    const size_t range = draw() % 2 && size > 2112 ? 2112 : size;
    for (uint32_t i = 0; range && i < 1 + draw() % 8; i++) bad[draw() % range] = (uint8_t)draw();
    LLVMFuzzerTestOneInput(bad, size);
    free(bad);
}

/* Returns the state of an enhancer after some samples, whose size is written. */
static uint8_t *good_state(gtcrn_model *model, int kind, size_t *bytes)
{
    gtcrn_enhancer *enhancer = new_enhancer(model, kind);
    float input[2 * FRAMES], output[16 * FRAMES];
    for (int i = 0; i < 2 * FRAMES; i++) input[i] = (float)(draw() % 1000) / 2000 - 0.25F;
    const size_t frames = FRAMES / (kind + 1);
    if (gtcrn_enhancer_push(enhancer, input, frames, output, 8 * FRAMES) < 0) abort();
    *bytes = (size_t)gtcrn_enhancer_export_state(enhancer, NULL, 0);
    uint8_t *state = malloc(*bytes);
    if (!state || gtcrn_enhancer_export_state(enhancer, state, *bytes) < 0) abort();
    gtcrn_enhancer_free(enhancer);
    return state;
}

/* A value of some kind, anywhere in a state, in place of another: what a mutation of bytes rarely makes. */
static void replace_value(gtcrn_model *model, int kind, const uint8_t *good, size_t bytes)
{
    static const double doubles[] = {-1, 0, 0.5, 1, 2, 1e9, INFINITY, NAN};
    static const float floats[] = {-1, 0, 0.5F, 7, 9, 600, 1e9F, INFINITY, NAN};
    static const int64_t integers[] = {-1, 0, 1, 2, 255, 256, 1000, 1LL << 40, INT64_MAX, INT64_MIN};
    const size_t network = gtcrn_state_floats(model) * sizeof(float) + 512; /* its sections come first */
    uint8_t *bad = malloc(bytes);
    if (!bad) abort();
    memcpy(bad, good, bytes);
    for (uint32_t i = 0; i < 1 + draw() % 3; i++) {
        const size_t place = draw() % 3 ? network + draw() % (bytes - network) : draw() % bytes, at = (place & ~(size_t)7);
        if (at + 8 > bytes) continue;
        if (draw() % 3 == 0)
            memcpy(bad + at, &doubles[draw() % 8], 8);
        else if (draw() % 2)
            memcpy(bad + at, &integers[draw() % 10], 8);
        else
            memcpy(bad + at, &floats[draw() % 9], 4);
    }
    try_enhancer(model, kind, bad, bytes);
    free(bad);
}

int main(int argc, char **argv)
{
    static uint8_t blob[1 << 21], state[GTCRN_STATE_FLOATS * sizeof(float)];
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!file) return fprintf(stderr, "usage: fuzz weights.bin ROUNDS\n"), 1;
    const size_t bytes = fread(blob, 1, sizeof blob, file);
    fclose(file);
    if (!(true_model = gtcrn_model_load(blob, bytes, NULL, NULL))) return fprintf(stderr, "no weights\n"), 1;
    for (int i = 0; i < atoi(argv[2]); i++) {
        mutate(blob, bytes);
        mutate(state, gtcrn_state_floats(true_model) * sizeof(float));
        const int kind = i % KINDS;
        size_t size;
        uint8_t *of_enhancer = good_state(true_model, kind, &size);
        try_enhancer(true_model, kind, of_enhancer, size);
        mutate(of_enhancer, size);
        for (int k = 0; k < 20; k++) replace_value(true_model, kind, of_enhancer, size);
        free(of_enhancer);
    }
    gtcrn_model_free(true_model);
    printf("%s mutations: fine\n", argv[2]);
    return 0;
}
#endif

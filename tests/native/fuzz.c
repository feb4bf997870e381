/* Fuzzes what reads foreign bytes: weight blobs and states. What is accepted must run without a finding of a sanitizer.
 *
 * With clang: -fsanitize=fuzzer,address,undefined -DLIBFUZZER. Without: fuzz weights.bin 2000 mutates a good blob and a
 * good state that many times. The checksum is made right again, as it would hide everything behind it.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gtcrn.h"

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
    }
    gtcrn_model_free(true_model);
    printf("%s mutations: fine\n", argv[2]);
    return 0;
}
#endif

/* The C library under sanitizers: driver weights.bin. Prints what it ran; any finding ends it with an error. */
#include <math.h>

#include "auto_strength.h"
#include "driver.h"
#include "engine.h"
#include "resample.h"

enum { HOPS = 40, STREAMS = 7 };

static void process(const gtcrn_model *model, gtcrn_stream *stream, const float *in, float *out, size_t hops,
                    float *energies)
{
    const gtcrn_job job = {
        .stream = stream, .input = in, .output = out, .energies = energies, .hops = hops, .strength = 0.9f};
    REQUIRE(gtcrn_process(model, &job) == 0);
}

static void signals(const gtcrn_model *model)
{
    const size_t count = HOPS * GTCRN_HOP;
    float *in = calloc(count, sizeof *in), *out = calloc(count, sizeof *out), *again = calloc(count, sizeof *again);
    float *energies = calloc(2 * HOPS, sizeof *energies);
    gtcrn_stream *stream = gtcrn_stream_new();
    REQUIRE(in && out && again && energies && stream);

    process(model, stream, in, out, HOPS, energies); /* silence */
    process(model, stream, NULL, NULL, 0, NULL);     /* nothing */
    const float values[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 1e-40f, 3.4e38f, 0};
    for (size_t i = 0; i < count; i++) in[i] = values[draw() % 8];
    process(model, stream, in, out, HOPS, energies);

    for (size_t i = 0; i < count; i++) in[i] = noise();
    gtcrn_stream_reset(stream);
    process(model, stream, in, out, HOPS, energies);
    for (size_t i = 0; i < count; i++) REQUIRE(isfinite(out[i]));

    gtcrn_stream_reset(stream); /* in place, hop by hop, and moved from stream to stream in the middle */
    memcpy(again, in, count * sizeof *in);
    for (size_t i = 0; i < HOPS; i++) {
        float *state = malloc(GTCRN_STATE_FLOATS * sizeof *state);
        REQUIRE(state);
        REQUIRE(gtcrn_stream_export(stream, state, GTCRN_STATE_FLOATS) == 0);
        gtcrn_stream *other = gtcrn_stream_new();
        REQUIRE(other && gtcrn_stream_import(other, state, GTCRN_STATE_FLOATS) == 0);
        gtcrn_stream_free(stream);
        stream = other;
        process(model, stream, again + i * GTCRN_HOP, again + i * GTCRN_HOP, 1, NULL);
        free(state);
    }
    REQUIRE(memcmp(out, again, count * sizeof *out) == 0);
    gtcrn_stream_free(stream);

    gtcrn_job jobs[STREAMS] = {{0}}; /* odd sizes on several threads, streams that begin at any address */
    for (size_t i = 0; i < STREAMS; i++) {
        jobs[i] = (gtcrn_job){.stream = gtcrn_stream_new(), .input = in, .hops = i * 3, .strength = 1};
        jobs[i].output = malloc(i * 3 * GTCRN_HOP * sizeof(float) + 1);
        REQUIRE(jobs[i].stream && jobs[i].output);
    }
    for (int threads = -1; threads < 10; threads += 3) REQUIRE(gtcrn_process_many(model, jobs, STREAMS, threads) == 0);
    REQUIRE(gtcrn_process_many(model, jobs, 0, 4) == 0);
    for (size_t i = 0; i < STREAMS; i++) {
        gtcrn_stream_free(jobs[i].stream);
        free(jobs[i].output);
    }
    free(in), free(out), free(again), free(energies);
}

static gtcrn_auto_strength new_levels(void)
{
    gtcrn_auto_strength levels = {.noisy_snr_db = 10, .clean_snr_db = 20, .max_strength = 0.9, .max_doubt = 0.5};
    levels.noise_step = levels.lost_step = levels.doubt_step = levels.strength_step = 0.1;
    levels.caution = 0.5, levels.floor_rise = 1.1, levels.max_speech_weight = 60, levels.speech_weight = 4;
    return levels;
}

static void states(void)
{
    gtcrn_stream *stream = gtcrn_stream_new();
    float *state = calloc(GTCRN_STATE_FLOATS + 1, sizeof *state), *after = calloc(GTCRN_STATE_FLOATS, sizeof *after);
    REQUIRE(stream && state && after);
    for (size_t i = 0; i < GTCRN_STATE_FLOATS; i++) state[i] = noise();
    REQUIRE(gtcrn_stream_import(stream, state, GTCRN_STATE_FLOATS) == 0);
    REQUIRE(gtcrn_stream_export(stream, after, GTCRN_STATE_FLOATS - 1) == GTCRN_REFUSED);
    const size_t sizes[] = {0, 1, 255, GTCRN_STATE_FLOATS - 1, GTCRN_STATE_FLOATS + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        float *damaged = exact(state, sizes[i] * sizeof *state);
        REQUIRE(gtcrn_stream_import(stream, damaged, sizes[i]) == -1);
        free(damaged);
    }
    for (int i = 0; i < 200; i++) {
        float *damaged = exact(state, GTCRN_STATE_FLOATS * sizeof *state);
        const float values[] = {NAN, -INFINITY, 1e38F, -2e6F};
        damaged[draw() % GTCRN_STATE_FLOATS] = values[i % 4];
        REQUIRE(gtcrn_stream_import(stream, damaged, GTCRN_STATE_FLOATS) == -1);
        free(damaged);
    }
    /* What a part may hold at most, and the next number: input, output, activations, two hidden states. */
    const size_t ends[] = {256, 512, 512 + 16896, 512 + 16896 + 96, GTCRN_STATE_FLOATS};
    const float limits[] = {32, 512, 1e6F, 1.001F, 1.001F};
    for (int i = 0; i < 5; i++) {
        float *edge = exact(state, GTCRN_STATE_FLOATS * sizeof *state);
        edge[ends[i] - 1] = nextafterf(limits[i], INFINITY);
        REQUIRE(gtcrn_stream_import(stream, edge, GTCRN_STATE_FLOATS) == GTCRN_REFUSED);
        edge[ends[i] - 1] = -limits[i];
        gtcrn_stream *other = gtcrn_stream_new();
        REQUIRE(other && gtcrn_stream_import(other, edge, GTCRN_STATE_FLOATS) == 0);
        gtcrn_stream_free(other);
        free(edge);
    }
    /* None of them has changed the stream. */
    REQUIRE(gtcrn_stream_export(stream, after, GTCRN_STATE_FLOATS) == 0);
    REQUIRE(memcmp(state, after, GTCRN_STATE_FLOATS * sizeof *state) == 0);
    gtcrn_stream_free(stream);
    free(state), free(after);
}

static void blobs(const char *blob, size_t bytes)
{
    for (int i = 0; i < 300; i++) {
        const size_t size = i < 100 ? draw() % bytes : i < 110 ? (size_t)(i - 100) : bytes;
        char *damaged = exact(blob, size);
        if (size == bytes) damaged[i < 200 ? draw() % 64 : draw() % bytes] ^= (char)(1 << draw() % 8);
        const char *error = NULL;
        REQUIRE(gtcrn_model_load(damaged, size, NULL, &error) == NULL && error);
        free(damaged);
    }
    REQUIRE(gtcrn_model_load(blob, bytes, "none", NULL) == NULL);
    REQUIRE(gtcrn_isa(-1) == NULL && gtcrn_isa(100) == NULL);
}

/* Hops of odd lengths, silence, and what no engine delivers; outputs of any length, cut anywhere. */
static void auto_strength(void)
{
    gtcrn_auto_strength levels = new_levels();
    const float values[] = {NAN, INFINITY, 1e30f, 0, 1e-40f, 0.1f};
    for (size_t length = 0; length < 300; length += 37) {
        float *dry = malloc(3 * length * sizeof *dry + 1), *enhanced = malloc(3 * length * sizeof *dry + 1);
        double *strengths = malloc(3 * sizeof *strengths);
        REQUIRE(dry && enhanced && strengths);
        for (size_t i = 0; i < 3 * length; i++) dry[i] = noise(), enhanced[i] = length ? 0.5f * dry[i] : 0;
        if (length) gtcrn_auto_strength_update(&levels, dry, enhanced, 3, length, strengths);
        gtcrn_auto_strength_update(&levels, dry, enhanced, 0, length, NULL);
        for (int i = 0; length && i < 3; i++) REQUIRE(strengths[i] >= 0 && strengths[i] <= levels.max_strength);
        gtcrn_auto_strength copy = levels;
        for (size_t i = 0; i < 3 * length; i++) dry[i] = values[draw() % 6];
        if (length) gtcrn_auto_strength_update(&copy, dry, enhanced, 3, length, NULL);
        free(dry), free(enhanced), free(strengths);
    }
    const double strengths[] = {0.5, 0.9, 0.1};
    const gtcrn_grid grids[] = {{256, 256, 16000, 16000}, {256, 256, 16000, 44100}, {160, 320, 16000, 8000}};
    for (int i = 0; i < 200; i++) {
        const int64_t count = draw() % 3000, sample = draw() % 700, ends = draw() % 3;
        const size_t bytes = (size_t)count * sizeof(float);
        float *dry = calloc(1, bytes + 1), *enhanced = calloc(1, bytes + 1), *mixed = malloc(bytes + 1);
        REQUIRE(dry && enhanced && mixed);
        const int64_t over = gtcrn_mix(&grids[i % 3], 4, strengths, ends, sample, dry, enhanced, count, mixed);
        REQUIRE(over >= 0 && over <= ends);
        for (int64_t n = 0; n < count; n++) REQUIRE(mixed[n] == 0);
        free(dry), free(enhanced), free(mixed);
    }
}

/* Outputs of any number, from memory that ends where it has to; each in a run of its own is the same to the bit. */
static void resampling(const char *isa)
{
    const uint32_t rates[][2] = {{48000, 16000}, {16000, 48000}, {8000, 16000},  {16000, 8000},  {44100, 16000},
                                 {16000, 44100}, {44101, 16000}, {16000, 44101}, {192000, 8000}, {24000, 16000}};
    for (int pair = 0; pair < 10; pair++) {
        gtcrn_filter *filter = gtcrn_filter_new(rates[pair][0], rates[pair][1], isa);
        REQUIRE(filter);
        enum { COUNT = 3000 };
        const int64_t past = (int64_t)gtcrn_filter_past(filter), blank = (int64_t)gtcrn_filter_blank(filter);
        const size_t length = (size_t)(past + COUNT + blank);
        float *whole = calloc(length, sizeof *whole);
        REQUIRE(whole);
        for (int i = 0; i < COUNT; i++) whole[past + i] = noise();
        const int64_t due = gtcrn_filter_ready(filter, COUNT);
        float *expected = malloc((size_t)due * sizeof *expected);
        REQUIRE(expected && due > 0 && gtcrn_filter_ready(filter, 0) == 0);
        REQUIRE(gtcrn_filter_run(filter, whole, -past, length, 0, (size_t)due, expected) == 0);
        REQUIRE(gtcrn_filter_run(filter, whole, -past, length, -1, 1, expected) == -1);
        REQUIRE(gtcrn_filter_run(filter, whole, 1000, length, 0, 1, expected) == -1);
        REQUIRE(gtcrn_filter_run(filter, whole, -past, length, due + 3, 1, expected) == -1);
        for (int64_t taken = 0; taken < COUNT;) {
            int64_t count = draw() % 300;
            if (count > COUNT - taken) count = COUNT - taken;
            const int64_t first = gtcrn_filter_ready(filter, taken);
            const size_t part = (size_t)(gtcrn_filter_ready(filter, taken + count) - first);
            float *buffer = exact(whole + taken, (size_t)(past + count) * sizeof *buffer);
            buffer = realloc(buffer, (size_t)(past + count + blank) * sizeof *buffer + 1);
            float *output = malloc(part * sizeof *output + !part);
            REQUIRE(buffer && output);
            for (int64_t i = 0; i < blank; i++) buffer[past + count + i] = 3; /* has no weight */
            REQUIRE(gtcrn_filter_run(filter, buffer, taken - past, (size_t)(past + count + blank), first, part,
                                     output) == 0);
            REQUIRE(memcmp(output, expected + first, part * sizeof *output) == 0);
            free(buffer), free(output);
            taken += count;
        }
        free(whole), free(expected);
        gtcrn_filter_free(filter);
    }
    REQUIRE(!gtcrn_filter_new(16000, 16000, isa) && !gtcrn_filter_new(7999, 16000, isa) &&
            !gtcrn_filter_new(8000, 16000, "none"));
}

int main(int argc, char **argv)
{
    static char blob[1 << 20];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    REQUIRE(file);
    const size_t bytes = fread(blob, 1, sizeof blob, file);
    fclose(file);
    REQUIRE(gtcrn_api_version() == GTCRN_API_VERSION);
    states();
    blobs(blob, bytes);
    auto_strength();
    for (int i = 0; gtcrn_isa(i); i++) {
        const char *error = NULL;
        gtcrn_model *model = gtcrn_model_load(blob, bytes, gtcrn_isa(i), &error);
        REQUIRE(model && !error && strcmp(gtcrn_model_isa(model), gtcrn_isa(i)) == 0);
        signals(model);
        enhancers(model);
        refusals(model);
        shared(model);
        resampling(gtcrn_isa(i));
        gtcrn_model_free(model);
        printf("%s: fine\n", gtcrn_isa(i));
    }
    return 0;
}

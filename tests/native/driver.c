/* The C library under sanitizers: driver weights.bin..., of any networks. Prints what it ran; any finding ends it with
 * an error. */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gtcrn.h"
#include "auto_strength.h"
#include "resample.h"

enum { HOPS = 40, STREAMS = 7 };

#define REQUIRE(condition)                                                   \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "line %d: expected %s\n", __LINE__, #condition); \
            exit(1);                                                         \
        }                                                                    \
    } while (0)

static uint32_t seed = 1;
static size_t floats; /* of an exported state */

static uint32_t draw(void)
{
    return seed = seed * 1664525u + 1013904223u;
}

static float noise(void)
{
    return (float)(draw() >> 8) / (1 << 24) - 0.5f;
}

/* A copy that ends where the allocation does, so that reading past its end is found. */
static void *exact(const void *data, size_t bytes)
{
    void *copy = malloc(bytes ? bytes : 1);
    REQUIRE(copy);
    memcpy(copy, data, bytes);
    return copy;
}

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
        float *state = malloc(floats * sizeof *state);
        REQUIRE(state);
        REQUIRE(gtcrn_stream_export(stream, state, floats) == 0);
        gtcrn_stream *other = gtcrn_stream_new();
        REQUIRE(other && gtcrn_stream_import(other, state, floats) == 0);
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

/* Chunks of any length, from memory that ends where they do: alone, and on threads; at strengths 1, 0.5, and a guard's.
 */
static void paths(const gtcrn_model *model)
{
    gtcrn_path alone[STREAMS] = {{0}}, together[STREAMS] = {{0}};
    gtcrn_auto_strength levels[STREAMS][2];
    for (size_t i = 0; i < STREAMS; i++) {
        alone[i].stream = gtcrn_stream_new(), together[i].stream = gtcrn_stream_new();
        REQUIRE(alone[i].stream && together[i].stream);
        alone[i].strength = together[i].strength = i % 3 ? 1 : 0.5F;
        levels[i][0] = levels[i][1] = new_levels();
        if (i % 3 == 2) alone[i].auto_strength = &levels[i][0], together[i].auto_strength = &levels[i][1];
    }
    for (int turn = 0; turn < 30; turn++) {
        gtcrn_chunk chunks[STREAMS] = {{0}};
        for (size_t i = 0; i < STREAMS; i++) {
            const size_t count = turn % 3 ? draw() % 700 : draw() % 3 * GTCRN_HOP;
            float *samples = malloc(count * sizeof *samples + !count);
            REQUIRE(samples);
            for (size_t n = 0; n < count; n++) samples[n] = noise();
            chunks[i] = (gtcrn_chunk){.path = &together[i], .samples = samples, .count = count};
        }
        size_t due = gtcrn_set_due(chunks, STREAMS);
        for (size_t i = 0; i < STREAMS; i++) {
            chunks[i].output = malloc(chunks[i].due * sizeof(float) + !chunks[i].due);
            REQUIRE(chunks[i].output && gtcrn_due(&alone[i], chunks[i].count) == chunks[i].due);
            due -= chunks[i].due;
        }
        REQUIRE(due == 0);
        chunks[0].due++; /* another room is refused, and that path has not moved; all the others have */
        REQUIRE(gtcrn_advance_many(model, chunks, 1, turn % 4) == GTCRN_ROOM);
        chunks[0].due--;
        REQUIRE(gtcrn_advance_many(model, chunks, STREAMS, turn % 4) == 0);
        for (size_t i = 0; i < STREAMS; i++) {
            const size_t bytes = chunks[i].due * sizeof(float);
            float *output = malloc(bytes + !bytes);
            REQUIRE(output);
            REQUIRE(gtcrn_advance(model, &alone[i], chunks[i].samples, chunks[i].count, output, chunks[i].due) == 0);
            REQUIRE(memcmp(output, chunks[i].output, bytes) == 0 && alone[i].taken == together[i].taken);
            REQUIRE(memcmp(&levels[i][0], &levels[i][1], sizeof levels[i][0]) == 0);
            free(output), free(chunks[i].output), free((float *)chunks[i].samples);
        }
    }
    REQUIRE(gtcrn_advance(model, alone, NULL, 0, NULL, 0) == 0 && gtcrn_advance_many(model, NULL, 0, 4) == 0);
    for (size_t i = 0; i < STREAMS; i++) gtcrn_stream_free(alone[i].stream), gtcrn_stream_free(together[i].stream);
}

/* What a thread does with a path that another one uses, too. */
typedef struct {
    const gtcrn_model *model;
    gtcrn_path *path;
    int64_t taken, turns[4]; /* samples that were accepted; how often it was told what */
} gtcrn_user;

static void *use(void *argument)
{
    gtcrn_user *user = argument;
    const float hop[GTCRN_HOP] = {0.1F, -0.1F};
    float *output = malloc(sizeof hop), *state = malloc(floats * sizeof *state);
    REQUIRE(output && state);
    for (int turn = 0; turn < 300; turn++) {
        const size_t room = turn % 50 ? GTCRN_HOP : 0; /* nothing is due with the first hop alone */
        const int told = gtcrn_advance(user->model, user->path, hop, GTCRN_HOP, output, room);
        REQUIRE(told == 0 || told == GTCRN_BUSY || told == GTCRN_ROOM);
        if (!told) user->taken += GTCRN_HOP;
        user->turns[-told]++;
        const int other = turn % 3 ? gtcrn_stream_export(user->path->stream, state, floats)
                                   : gtcrn_stream_import(user->path->stream, state, 0);
        REQUIRE(other == (turn % 3 ? other ? GTCRN_BUSY : 0 : GTCRN_REFUSED));
    }
    free(output), free(state);
    return NULL;
}

/* Several threads in one stream: each call is whole, or told why it is not. */
static void shared(const gtcrn_model *model)
{
    gtcrn_path path = {.stream = gtcrn_stream_new(), .strength = 0.5F};
    REQUIRE(path.stream);
    pthread_t threads[3];
    gtcrn_user users[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        users[i].model = model, users[i].path = &path;
        REQUIRE(pthread_create(&threads[i], NULL, use, &users[i]) == 0);
    }
    int64_t taken = 0;
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
        taken += users[i].taken;
    }
    REQUIRE(path.taken == taken && taken > 0);
    gtcrn_stream_free(path.stream);
}

static void states(void)
{
    gtcrn_stream *stream = gtcrn_stream_new();
    float *state = calloc(floats + 1, sizeof *state), *after = calloc(floats, sizeof *after);
    REQUIRE(stream && state && after);
    for (size_t i = 0; i < floats; i++) state[i] = noise();
    REQUIRE(gtcrn_stream_import(stream, state, floats) == 0);
    REQUIRE(gtcrn_stream_export(stream, after, floats - 1) == GTCRN_REFUSED);
    const size_t sizes[] = {0, 1, 255, floats - 1, floats + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        float *damaged = exact(state, sizes[i] * sizeof *state);
        REQUIRE(gtcrn_stream_import(stream, damaged, sizes[i]) == -1);
        free(damaged);
    }
    for (int i = 0; i < 200; i++) {
        float *damaged = exact(state, floats * sizeof *state);
        const float values[] = {NAN, -INFINITY, 1e38F, -2e6F};
        damaged[draw() % floats] = values[i % 4];
        REQUIRE(gtcrn_stream_import(stream, damaged, floats) == -1);
        free(damaged);
    }
    /* What a part may hold at most, and the next number: input, output, activations, two hidden states. */
    const size_t over_time = floats == 18560 ? 96 : 402, inter = 1056;
    const size_t ends[] = {256, 512, floats - inter - over_time, floats - inter, floats};
    const float limits[] = {32, 512, 1e6F, 1.001F, 1.001F};
    for (int i = 0; i < 5; i++) {
        float *edge = exact(state, floats * sizeof *state);
        edge[ends[i] - 1] = nextafterf(limits[i], INFINITY);
        REQUIRE(gtcrn_stream_import(stream, edge, floats) == GTCRN_REFUSED);
        edge[ends[i] - 1] = -limits[i];
        gtcrn_stream *other = gtcrn_stream_new();
        REQUIRE(other && gtcrn_stream_import(other, edge, floats) == 0);
        gtcrn_stream_free(other);
        free(edge);
    }
    /* None of them has changed the stream. */
    REQUIRE(gtcrn_stream_export(stream, after, floats) == 0);
    REQUIRE(memcmp(state, after, floats * sizeof *state) == 0);
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

/* Chunks of any length, from memory that ends where they do: the sum of each output, and where the next one lies. */
static void resampling(gtcrn_dot *dot)
{
    const gtcrn_filter filters[] = {{.phases = 1, .steps = 3, .taps = 432, .past = 525},
                                    {.phases = 160, .steps = 441, .taps = 400, .past = 400},
                                    {.phases = 12, .steps = 1, .taps = 80, .past = 96},
                                    {.phases = 1, .steps = 24, .taps = 1728, .past = 2400}};
    for (int f = 0; f < 4; f++) {
        gtcrn_filter filter = filters[f];
        enum { COUNT = 9000 };
        const size_t size = filter.phases * filter.taps;
        float *weights = malloc(size * sizeof *weights), *past = calloc(filter.past, sizeof *past);
        float *all = calloc(filter.taps + COUNT, sizeof *all); /* silence before the first sample */
        REQUIRE(weights && past && all);
        for (size_t i = 0; i < size; i++) weights[i] = noise();
        for (size_t i = 0; i < COUNT; i++) all[filter.taps + i] = noise();
        filter.weights = weights, filter.dot = dot;
        size_t taken = 0, begin = 0, phase = 0; /* begin: of the next output's weights, in `all` */
        while (taken < COUNT) {
            size_t count = draw() % (draw() % 4 ? 300 : 3000), due = 0;
            if (count > COUNT - taken) count = COUNT - taken;
            for (size_t end = begin + filter.taps, p = phase; end <= filter.taps + taken + count; due++) {
                p += filter.steps;
                end += p / filter.phases, p %= filter.phases;
            }
            float *chunk = exact(all + filter.taps + taken, count * sizeof *chunk);
            float *output = malloc(due * sizeof *output + !due);
            REQUIRE(output);
            const int64_t offset = (int64_t)begin - (int64_t)(filter.taps + taken), back = -(int64_t)filter.taps;
            REQUIRE(gtcrn_resample(&filter, past, chunk, count, offset, phase, output, due + 1) == -1);
            REQUIRE(gtcrn_resample(&filter, past, chunk, count, back - 1, phase, output, 1) == -1);
            REQUIRE(gtcrn_resample(&filter, past, chunk, count, offset, filter.phases, output, 1) == -1);
            REQUIRE(gtcrn_resample(&filter, past, chunk, count, offset, phase, output, due) == 0);
            for (size_t i = 0; i < due; i++) {
                double expected = 0;
                for (size_t n = 0; n < filter.taps; n++)
                    expected += (double)weights[phase * filter.taps + n] * all[begin + n];
                REQUIRE(fabs(output[i] - expected) < 1e-4);
                phase += filter.steps;
                begin += phase / filter.phases, phase %= filter.phases;
            }
            taken += count;
            free(chunk), free(output);
        }
        free(weights), free(past), free(all);
    }
}

/* A stream belongs to the network that it has run first, until it is reset. */
static void strangers(const gtcrn_model *model, const gtcrn_model *other)
{
    float hop[GTCRN_HOP] = {0}, output[GTCRN_HOP], *state = calloc(20000, sizeof *state);
    gtcrn_stream *stream = gtcrn_stream_new();
    REQUIRE(state && stream && gtcrn_state_floats(model) != gtcrn_state_floats(other));
    gtcrn_job job = {.stream = stream, .input = hop, .output = output, .hops = 1, .strength = 1};
    gtcrn_path path = {.stream = stream, .strength = 1};
    REQUIRE(gtcrn_process(model, &job) == 0 && gtcrn_process(other, &job) == GTCRN_REFUSED);
    REQUIRE(gtcrn_advance(other, &path, hop, GTCRN_HOP, output, 0) == GTCRN_REFUSED && path.taken == 0);
    REQUIRE(gtcrn_stream_export(stream, state, gtcrn_state_floats(other)) == GTCRN_REFUSED);
    REQUIRE(gtcrn_stream_export(stream, state, gtcrn_state_floats(model)) == 0);
    REQUIRE(gtcrn_stream_reset(stream) == 0 && gtcrn_process(other, &job) == 0);
    REQUIRE(gtcrn_stream_import(stream, state, gtcrn_state_floats(model)) == 0);
    REQUIRE(gtcrn_process(other, &job) == GTCRN_REFUSED && gtcrn_process(model, &job) == 0);
    gtcrn_stream_free(stream);
    free(state);
}

static void run(const char *blob, size_t bytes)
{
    blobs(blob, bytes);
    for (int i = 0; gtcrn_isa(i); i++) {
        const char *error = NULL;
        gtcrn_model *model = gtcrn_model_load(blob, bytes, gtcrn_isa(i), &error);
        REQUIRE(model && !error && strcmp(gtcrn_model_isa(model), gtcrn_isa(i)) == 0);
        floats = gtcrn_state_floats(model);
        if (!i) states();
        signals(model);
        paths(model);
        shared(model);
        gtcrn_model_free(model);
        printf("%s: fine\n", gtcrn_isa(i));
    }
}

int main(int argc, char **argv)
{
    static char blob[1 << 21];
    gtcrn_model *first = NULL;
    REQUIRE(argc > 1);
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        REQUIRE(file);
        const size_t bytes = fread(blob, 1, sizeof blob, file);
        fclose(file);
        run(blob, bytes);
        gtcrn_model *model = gtcrn_model_load(blob, bytes, NULL, NULL);
        if (first) strangers(first, model), strangers(model, first);
        gtcrn_model_free(first);
        first = model;
    }
    gtcrn_model_free(first);
    auto_strength();
    for (int i = 0; gtcrn_isa(i); i++) resampling(gtcrn_find_dot(gtcrn_isa(i)));
    return 0;
}

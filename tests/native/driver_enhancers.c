/* Enhancers under sanitizers, a part of driver.c. */
#include <math.h>
#include <pthread.h>

#include "driver.h"
#include "engine.h"

enum { ENHANCERS = 9 };

/* Settings of all kinds. */
static gtcrn_settings settings_of(size_t i)
{
    const uint32_t rates[][2] = {{16000, 16000}, {8000, 8000},   {48000, 48000}, {48000, 16000}, {16000, 44100},
                                 {44101, 22050}, {192000, 8000}, {11025, 12345}, {16000, 192000}};
    gtcrn_settings settings;
    gtcrn_settings_init(&settings);
    settings.sample_rate = rates[i % 9][0], settings.output_sample_rate = rates[i % 9][1];
    settings.channels = 1 + (uint32_t)i % 3;
    settings.downmix = i % 4 == 1;
    settings.strength = i % 3 == 0 ? GTCRN_AUTO : i % 3 == 1 ? 0.5 : 1;
    return settings;
}

static gtcrn_enhancer *new_enhancer(gtcrn_model *model, size_t i)
{
    const gtcrn_settings settings = settings_of(i);
    const char *error = NULL;
    gtcrn_enhancer *enhancer = gtcrn_enhancer_new(model, &settings, &error);
    REQUIRE(enhancer && !error);
    return enhancer;
}

static size_t paths_of(size_t i)
{
    const gtcrn_settings settings = settings_of(i);
    return settings.downmix ? 1 : settings.channels;
}

/* Changes the settings of two enhancers in the same way. */
static void adjust(gtcrn_enhancer *one, gtcrn_enhancer *other)
{
    const double strength = draw() % 3 ? (draw() % 5) / 4.0 : GTCRN_AUTO;
    const int bypass = draw() % 4 == 0;
    REQUIRE(gtcrn_enhancer_set_strength(one, strength) == 0 && gtcrn_enhancer_set_strength(other, strength) == 0);
    gtcrn_enhancer_set_bypass(one, bypass), gtcrn_enhancer_set_bypass(other, bypass);
    REQUIRE(gtcrn_enhancer_set_strength(one, 1.5) == GTCRN_REFUSED);
    REQUIRE(gtcrn_enhancer_set_strength(one, NAN) == GTCRN_REFUSED);
}

/* Moves a stream to a new enhancer through memory that ends where its state does. */
static gtcrn_enhancer *moved(gtcrn_model *model, gtcrn_enhancer *enhancer, size_t i)
{
    const size_t bytes = (size_t)gtcrn_enhancer_export_state(enhancer, NULL, 0);
    char *state = malloc(bytes), *again = malloc(bytes);
    REQUIRE(state && again);
    REQUIRE(gtcrn_enhancer_export_state(enhancer, state, bytes - 1) == GTCRN_ROOM);
    REQUIRE(gtcrn_enhancer_export_state(enhancer, state, bytes) == (int64_t)bytes);
    gtcrn_enhancer *other = new_enhancer(model, i);
    REQUIRE(gtcrn_enhancer_import_state(other, state, bytes) == 0);
    REQUIRE(gtcrn_enhancer_frames_in(other) == gtcrn_enhancer_frames_in(enhancer));
    REQUIRE(gtcrn_enhancer_import_state(enhancer, state, bytes) == 0); /* with its own strength it is the same */
    REQUIRE(gtcrn_enhancer_export_state(enhancer, again, bytes) == (int64_t)bytes && memcmp(state, again, bytes) == 0);
    for (size_t cut = 0; cut < bytes; cut += 1 + draw() % 4000) {
        char *part = exact(state, cut);
        REQUIRE(gtcrn_enhancer_import_state(other, part, cut) == GTCRN_REFUSED);
        free(part);
    }
    free(state), free(again);
    gtcrn_enhancer_free(enhancer);
    return other;
}

/* Chunks of any length and settings of all kinds, from and to memory that ends where it has to: alone, and together on
 * threads; strengths that change; states in the middle. */
void enhancers(gtcrn_model *model)
{
    gtcrn_enhancer *alone[ENHANCERS], *together[ENHANCERS];
    int64_t in[ENHANCERS] = {0}, out[ENHANCERS] = {0};
    for (size_t i = 0; i < ENHANCERS; i++) alone[i] = new_enhancer(model, i), together[i] = new_enhancer(model, i);
    for (int turn = 0; turn < 12; turn++) {
        gtcrn_chunk chunks[ENHANCERS] = {{0}};
        size_t samples = 0;
        for (size_t i = 0; i < ENHANCERS; i++) {
            const gtcrn_settings settings = settings_of(i);
            const size_t most = turn % 5 ? settings.sample_rate / 25 : settings.sample_rate / 2;
            const size_t count = draw() % 5 ? draw() % most : draw() % 3;
            float *input = malloc(count * settings.channels * sizeof *input + !count);
            REQUIRE(input);
            for (size_t n = 0; n < count * settings.channels; n++) input[n] = noise();
            chunks[i] = (gtcrn_chunk){.enhancer = together[i], .input = input, .frames = count};
            if (turn % 3 == 1) adjust(alone[i], together[i]);
            in[i] += (int64_t)count;
        }
        samples = gtcrn_set_room(chunks, ENHANCERS);
        for (size_t i = 0; i < ENHANCERS; i++) {
            const size_t floats = chunks[i].room * paths_of(i);
            chunks[i].output = malloc(floats * sizeof(float) + !floats);
            REQUIRE(chunks[i].output && gtcrn_enhancer_due(alone[i], chunks[i].frames) == (int64_t)chunks[i].room);
            samples -= floats;
            out[i] += (int64_t)chunks[i].room;
        }
        REQUIRE(samples == 0);
        for (size_t i = 0; i < ENHANCERS; i++) { /* too little room is refused, and the stream has not moved */
            gtcrn_chunk small = chunks[i];
            if (small.room--) REQUIRE(gtcrn_push_many(&small, 1, turn % 4) == GTCRN_ROOM);
        }
        if (turn % 2) {
            REQUIRE(gtcrn_push_many(chunks, ENHANCERS, turn % 4) == 0);
        } else { /* the channels of each on threads */
            for (size_t i = 0; i < ENHANCERS; i++) REQUIRE(gtcrn_push_many(&chunks[i], 1, 4) == 0);
        }
        for (size_t i = 0; i < ENHANCERS; i++) {
            const size_t floats = chunks[i].room * paths_of(i);
            float *signals[3];
            for (int k = 0; k < 3; k++) REQUIRE((signals[k] = malloc(floats * sizeof(float) + !floats)));
            const gtcrn_outputs outputs = {turn % 2 ? signals[0] : NULL, turn % 3 ? signals[1] : NULL, signals[2]};
            REQUIRE(gtcrn_enhancer_push_aligned(alone[i], chunks[i].input, chunks[i].frames, &outputs,
                                                chunks[i].room) == (int64_t)chunks[i].room);
            REQUIRE(memcmp(signals[2], chunks[i].output, floats * sizeof(float)) == 0);
            REQUIRE(gtcrn_enhancer_frames_in(together[i]) == in[i] && gtcrn_enhancer_frames_out(together[i]) == out[i]);
            gtcrn_report one, other;
            for (uint32_t channel = 0; channel < 4; channel++) {
                const int has_one = gtcrn_enhancer_report(alone[i], channel, &one) == 0;
                REQUIRE(has_one == (gtcrn_enhancer_report(together[i], channel, &other) == 0));
                REQUIRE(!has_one || memcmp(&one, &other, sizeof one) == 0);
            }
            free(signals[0]), free(signals[1]), free(signals[2]);
            free(chunks[i].output), free((float *)chunks[i].input);
            if (turn == 5) { /* both, as a state continues towards the strengths that its enhancer began with */
                alone[i] = moved(model, alone[i], i);
                together[i] = moved(model, together[i], i);
            }
        }
    }
    for (size_t i = 0; i < ENHANCERS; i++) {
        const gtcrn_settings s = settings_of(i);
        const int64_t rest = gtcrn_enhancer_rest(alone[i]);
        REQUIRE(out[i] + rest == (in[i] * s.output_sample_rate + s.sample_rate - 1) / s.sample_rate);
        const size_t floats = (size_t)rest * paths_of(i);
        float *one = malloc(floats * sizeof *one + !floats), *other = malloc(floats * sizeof *one + !floats);
        REQUIRE(one && other && gtcrn_enhancer_finish(alone[i], one, (size_t)rest) == rest);
        REQUIRE(!rest || gtcrn_enhancer_finish(together[i], other, (size_t)rest - 1) == GTCRN_ROOM);
        REQUIRE(gtcrn_enhancer_finish(together[i], other, (size_t)rest) == rest);
        REQUIRE(memcmp(one, other, floats * sizeof *one) == 0);
        for (size_t n = 0; n < floats; n++) REQUIRE(isfinite(one[n]));
        REQUIRE(gtcrn_enhancer_frames_in(alone[i]) == 0 && gtcrn_enhancer_rest(alone[i]) == 0);
        REQUIRE(gtcrn_enhancer_finish(alone[i], NULL, 0) == 0);
        REQUIRE(gtcrn_enhancer_latency(alone[i]) >= s.sample_rate * 32 / 1000);
        free(one), free(other);
        gtcrn_enhancer_free(alone[i]), gtcrn_enhancer_free(together[i]);
    }
    REQUIRE(gtcrn_push_many(NULL, 0, 4) == 0);
}

/* What is no audio, and what are no settings, is refused; filters are shared, and freed when many have come. */
void refusals(gtcrn_model *model)
{
    gtcrn_enhancer *enhancer = new_enhancer(model, 0);
    float input[GTCRN_HOP] = {0}, output[GTCRN_HOP];
    const float bad[] = {NAN, INFINITY, -INFINITY, 8.1F, -9};
    for (int i = 0; i < 5; i++) {
        input[i] = bad[i];
        REQUIRE(gtcrn_enhancer_push(enhancer, input, GTCRN_HOP, output, GTCRN_HOP) == GTCRN_REFUSED);
        input[i] = 0;
    }
    REQUIRE(gtcrn_enhancer_frames_in(enhancer) == 0);
    REQUIRE(gtcrn_enhancer_push(enhancer, input, GTCRN_HOP, output, 0) == 0);
    REQUIRE(gtcrn_enhancer_reset(enhancer) == 0 && gtcrn_enhancer_frames_in(enhancer) == 0);
    gtcrn_enhancer_free(enhancer);
    for (int i = 0; i < 7; i++) {
        gtcrn_settings settings = settings_of(0);
        if (i == 0) settings.sample_rate = 7999;
        if (i == 1) settings.output_sample_rate = 192001;
        if (i == 2) settings.channels = 0;
        if (i == 3) settings.channels = 17;
        if (i == 4) settings.strength = NAN;
        if (i == 5) settings.auto_strength.max_strength = 1;
        if (i == 6) settings.auto_strength.max_doubt = NAN;
        const char *error = NULL;
        REQUIRE(gtcrn_enhancer_new(model, &settings, &error) == NULL && error);
    }
    for (uint32_t rate = 8000; rate < 9000; rate += 40) {
        gtcrn_settings settings = settings_of(0);
        settings.sample_rate = rate;
        enhancer = gtcrn_enhancer_new(model, &settings, NULL);
        REQUIRE(enhancer);
        gtcrn_enhancer_free(enhancer);
    }
    gtcrn_enhancer_free(NULL);
}

/* What a thread does with an enhancer that another one uses, too. */
typedef struct {
    gtcrn_model *model;
    gtcrn_enhancer *enhancer;
    int64_t taken;
} gtcrn_user;

static void *use(void *argument)
{
    gtcrn_user *user = argument;
    const float hop[2 * GTCRN_HOP] = {0.1F, -0.1F};
    const size_t room = 4 * GTCRN_HOP, bytes = 1 << 20;
    float *output = malloc(2 * room * sizeof *output);
    char *state = malloc(bytes);
    REQUIRE(output && state);
    for (int turn = 0; turn < 150; turn++) {
        const int64_t told = gtcrn_enhancer_push(user->enhancer, hop, GTCRN_HOP, output, room);
        REQUIRE(told >= 0 || told == GTCRN_BUSY);
        if (told >= 0) user->taken += GTCRN_HOP;
        const int64_t size = gtcrn_enhancer_export_state(user->enhancer, state, bytes);
        REQUIRE(size > 0 || size == GTCRN_BUSY);
        const int other = gtcrn_enhancer_import_state(user->enhancer, state, 0);
        REQUIRE(other == GTCRN_REFUSED);
        REQUIRE(gtcrn_enhancer_set_strength(user->enhancer, turn % 3 ? 0.5 : GTCRN_AUTO) == 0);
        gtcrn_enhancer_set_bypass(user->enhancer, turn % 5 == 0);
        gtcrn_report report;
        gtcrn_enhancer_report(user->enhancer, 1, &report);
        REQUIRE(gtcrn_enhancer_frames_in(user->enhancer) >= 0 && gtcrn_enhancer_frames_out(user->enhancer) >= 0);
        if (turn % 20) continue;
        gtcrn_enhancer *mine = new_enhancer(user->model, (size_t)turn / 20); /* filters are made at the same time */
        gtcrn_enhancer_free(mine);
    }
    free(output), free(state);
    return NULL;
}

/* Several threads in one enhancer: each call is whole, or told why it is not. */
void shared(gtcrn_model *model)
{
    gtcrn_settings settings = settings_of(2);
    settings.channels = 2;
    gtcrn_enhancer *enhancer = gtcrn_enhancer_new(model, &settings, NULL);
    REQUIRE(enhancer);
    pthread_t threads[3];
    gtcrn_user users[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        users[i].model = model, users[i].enhancer = enhancer;
        REQUIRE(pthread_create(&threads[i], NULL, use, &users[i]) == 0);
    }
    int64_t taken = 0;
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
        taken += users[i].taken;
    }
    REQUIRE(gtcrn_enhancer_frames_in(enhancer) == taken && taken > 0);
    gtcrn_enhancer_free(enhancer);
}

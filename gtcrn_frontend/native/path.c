/* Adapts chunks of any length to a stream of hops. */
#include <string.h>

#include "model.h"

/* Number of samples delivered after so many were taken: all complete hops but the last. */
static int64_t delivered(int64_t taken)
{
    return taken < HOP ? 0 : taken - taken % HOP - HOP;
}

size_t gtcrn_due(const gtcrn_path *path, size_t count)
{
    return (size_t)(delivered(path->taken + (int64_t)count) - delivered(path->taken));
}

size_t gtcrn_set_due(gtcrn_chunk *chunks, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += chunks[i].due = gtcrn_due(chunks[i].path, chunks[i].count);
    return sum;
}

/* Mixes a hop that starts at sample `begin` with the aligned input. */
static void mix(const gtcrn_path *path, int64_t begin, const float *dry, float *samples)
{
    if (path->auto_strength) {
        static const gtcrn_grid grid = {.hop_length = HOP, .rate = 1, .output_rate = 1};
        double strengths[2] = {path->auto_strength->strength};
        gtcrn_auto_strength_update(path->auto_strength, dry, samples, 1, HOP, &strengths[1]);
        gtcrn_mix(&grid, begin / HOP, strengths, 1, begin, dry, samples, HOP, samples);
    } else if (path->strength != 1) {
        const float strength = path->strength, rest = 1 - strength;
        for (int n = 0; n < HOP; n++) samples[n] = strength * samples[n] + rest * dry[n];
    }
}

/* Enhances complete hops, the first of which starts at sample `begin`; returns the end of the output. */
static float *enhance(const gtcrn_model *model, const gtcrn_path *path, int64_t begin, const float *samples,
                      size_t hops, float *output)
{
    gtcrn_job job = {.stream = path->stream, .input = samples, .output = output, .hops = hops, .strength = 1};
    float last[HOP];          /* the hop before those of the job, which is delivered first */
    if (begin == 0 && hops) { /* the first output hop of a stream precedes the signal */
        gtcrn_process_taken(
            model, &(gtcrn_job){.stream = path->stream, .input = samples, .output = last, .hops = 1, .strength = 1});
        begin = HOP;
        job.input += HOP;
        job.hops--;
    }
    memcpy(last, path->stream->analysis, sizeof last);
    gtcrn_process_taken(model, &job);
    for (size_t i = 0; i < job.hops; i++, output += HOP) {
        const float *dry = i ? job.input + HOP * (i - 1) : last;
        mix(path, begin - HOP + (int64_t)(HOP * i), dry, output);
    }
    return output;
}

/* `gtcrn_advance`, after the stream was acquired and the size of the output checked. */
static void advance(const gtcrn_model *model, gtcrn_path *path, const float *samples, size_t count, float *output)
{
    const size_t held = (size_t)(path->taken % HOP), missing = HOP - held;
    const int64_t begin = path->taken - (int64_t)held;
    path->taken += (int64_t)count;
    if (count < missing) {
        memcpy(path->rest + held, samples, count * sizeof *samples);
        return;
    }
    if (held) {
        memcpy(path->rest + held, samples, missing * sizeof *samples);
        samples += missing, count -= missing;
        output = enhance(model, path, begin, path->rest, 1, output);
    }
    enhance(model, path, begin + (held ? HOP : 0), samples, count / HOP, output);
    memcpy(path->rest, samples + count / HOP * HOP, count % HOP * sizeof *samples);
}

int gtcrn_advance(const gtcrn_model *model, gtcrn_path *path, const float *samples, size_t count, float *output,
                  size_t room)
{
    if (!gtcrn_enter(path->stream)) return GTCRN_BUSY;
    const int wrong = gtcrn_due(path, count) != room             ? GTCRN_ROOM
                      : !gtcrn_take_network(path->stream, model) ? GTCRN_REFUSED
                                                                 : 0;
    if (!wrong && count) advance(model, path, samples, count, output); /* else the pointers may be invalid */
    gtcrn_leave(path->stream);
    return wrong;
}

/* The signal path of an enhancer, see enhancer.h. */
#include "enhancer.h"

#include <math.h>
#include <string.h>

gtcrn_position gtcrn_position_at(const gtcrn_enhancer *e, int64_t taken)
{
    const gtcrn_filter *to_model = gtcrn_filter_of(e->to_model), *to_output = gtcrn_filter_of(e->to_output);
    gtcrn_position at = {.model = to_model ? gtcrn_filter_ready(to_model, taken) : taken};
    at.hops = at.model / HOP, at.held = at.model % HOP;
    at.enhanced = at.hops ? (at.hops - 1) * HOP : 0;
    at.dry = e->dry_filter ? gtcrn_filter_ready(e->dry_filter->filter, taken) : to_output ? taken : at.model;
    const int64_t mixable = to_output ? gtcrn_filter_ready(to_output, at.enhanced) : at.enhanced;
    at.out = at.dry < mixable ? at.dry : mixable;
    return at;
}

/* Delivers `count` samples of the network at the output's rate, as far as there are dry ones. */
static void deliver(gtcrn_enhancer *e, gtcrn_channel *c, const float *dry, const float *enhanced, int64_t count,
                    gtcrn_sink *sink)
{
    float mixed[MOST_OUT], *target = sink->mixed && sink->stride == 1 ? sink->mixed : mixed;
    if (count > c->waiting) count = c->waiting; /* at the end of a stream */
    gtcrn_mix_channel(e, c, dry, enhanced, count, target);
    const float *sources[] = {dry, enhanced, target};
    float **targets[] = {&sink->dry, &sink->enhanced, &sink->mixed};
    for (int i = 0; i < 3; i++) {
        float *to = *targets[i];
        if (!to) continue;
        if (to != sources[i])
            for (int64_t n = 0; n < count; n++) to[(size_t)n * sink->stride] = sources[i][n];
        *targets[i] = to + (size_t)count * sink->stride;
    }
    c->given += count;
    c->waiting -= count;
    if (e->to_output) memmove(c->dry, c->dry + count, (size_t)c->waiting * sizeof *c->dry);
}

/* Filters `count` samples that the caller has put behind the past of a buffer, after `taken` others; then moves them to
 * the past. Returns the number of outputs. */
static int64_t filter(const gtcrn_filter *f, float *buffer, size_t past, size_t length, int64_t taken, int64_t count,
                      float *output)
{
    const int64_t first = gtcrn_filter_ready(f, taken), due = gtcrn_filter_ready(f, taken + count) - first;
    gtcrn_filter_run(f, buffer, taken - (int64_t)past, length, first, (size_t)due, output);
    return due;
}

/* Runs the network on a complete hop. */
static void run_hop(gtcrn_enhancer *e, gtcrn_channel *c, const float *hop, gtcrn_sink *sink)
{
    float before[HOP], enhanced[HOP], *target = e->to_output ? c->enhanced + e->enhanced_past : enhanced;
    if (c->is_auto || !e->to_output) memcpy(before, c->engine->analysis, sizeof before);
    gtcrn_process_taken(e->model,
                        &(gtcrn_job){.stream = c->engine, .input = hop, .output = target, .hops = 1, .strength = 1});
    if (c->is_auto) gtcrn_decide(c, before, target);
    const int is_first = c->hops++ == 0; /* it precedes the stream */
    if (is_first || !e->to_output) {
        deliver(e, c, before, target, is_first ? 0 : HOP, sink);
        return;
    }
    float output[MOST_OUT];
    const int64_t taken = (c->hops - 2) * HOP;
    const int64_t due =
        filter(e->to_output->filter, c->enhanced, e->enhanced_past, e->enhanced_length, taken, HOP, output);
    memmove(c->enhanced, c->enhanced + HOP, e->enhanced_past * sizeof *c->enhanced);
    deliver(e, c, c->dry, output, due, sink);
}

/* Frames samples at the model's rate. */
static void frame(gtcrn_enhancer *e, gtcrn_channel *c, const float *samples, int64_t count, int64_t held,
                  gtcrn_sink *sink)
{
    while (count) {
        if (!held && count >= HOP) { /* without a copy */
            run_hop(e, c, samples, sink);
            samples += HOP, count -= HOP;
            continue;
        }
        const int64_t part = count < HOP - held ? count : HOP - held;
        memcpy(c->hop + held, samples, (size_t)part * sizeof *samples);
        held += part, samples += part, count -= part;
        if (held < HOP) return;
        run_hop(e, c, c->hop, sink);
        held = 0;
    }
}

/* Takes at most a block of samples, which are behind the past of `c->input` if there are filters for it. Without
 * `is_signal` they are the silence behind the end, which filters need. */
static void take(gtcrn_enhancer *e, gtcrn_channel *c, const float *samples, int64_t count, int is_signal,
                 gtcrn_sink *sink)
{
    float resampled[MOST_OUT];
    const float *at_model = samples;
    int64_t modelled = count, held = c->taken % HOP;
    if (e->to_model) {
        held = gtcrn_filter_ready(e->to_model->filter, c->taken) % HOP;
        modelled = filter(e->to_model->filter, c->input, e->input_past, e->input_length, c->taken, count, resampled);
        at_model = resampled;
    }
    if (e->dry_filter) {
        c->waiting += filter(e->dry_filter->filter, c->input, e->input_past, e->input_length, c->taken, count,
                             c->dry + c->waiting);
    } else if (!e->to_output) {
        c->waiting += modelled;
    } else if (is_signal) {
        memcpy(c->dry + c->waiting, samples, (size_t)count * sizeof *samples);
        c->waiting += count;
    }
    if (e->input_past) memmove(c->input, c->input + count, e->input_past * sizeof *c->input);
    if (is_signal) c->taken += count;
    if (e->to_model || is_signal) frame(e, c, at_model, modelled, held, sink);
}

/* Copies one channel of frames, or the mean of all. */
static void gather(const gtcrn_settings *settings, uint32_t channel, const float *frames, int64_t count, float *samples)
{
    const size_t stride = settings->channels;
    if (!settings->downmix || stride == 1) {
        for (int64_t n = 0; n < count; n++) samples[n] = frames[(size_t)n * stride + channel];
        return;
    }
    for (int64_t n = 0; n < count; n++, frames += stride) {
        float sum = 0;
        for (size_t i = 0; i < stride; i++) sum += frames[i];
        samples[n] = sum / (float)stride;
    }
}

void gtcrn_push_channel(gtcrn_enhancer *e, uint32_t channel, const float *input, size_t frames, gtcrn_sink sink)
{
    gtcrn_channel *c = &e->channels[channel];
    gtcrn_apply_strength(e, c);
    while (frames) {
        float gathered[MOST_OUT];
        const int64_t count = frames < (size_t)e->block ? (int64_t)frames : e->block;
        const float *samples = input;
        if (e->input_past || e->inputs > 1) {
            float *target = e->input_past ? c->input + e->input_past : gathered;
            gather(&e->settings, channel, input, count, target);
            samples = target;
        }
        take(e, c, samples, count, 1, &sink);
        input += (size_t)count * e->inputs;
        frames -= (size_t)count;
    }
}

void gtcrn_finish_channel(gtcrn_enhancer *e, uint32_t channel, gtcrn_sink sink)
{
    static const float silence[HOP] = {0};
    gtcrn_channel *c = &e->channels[channel];
    gtcrn_apply_strength(e, c);
    if (!c->taken) return;
    int64_t held = c->taken % HOP;
    if (e->input_past) { /* both filters of the input reach equally far */
        const gtcrn_filter *f = gtcrn_filter_of(e->to_model ? e->to_model : e->dry_filter);
        const int64_t reach = gtcrn_filter_delay(f);
        memset(c->input + e->input_past, 0, (size_t)reach * sizeof *c->input);
        take(e, c, c->input + e->input_past, reach, 0, &sink);
        if (e->to_model) held = gtcrn_filter_ready(f, c->taken + reach) % HOP;
    }
    if (held) frame(e, c, silence, HOP - held, held, &sink);
    run_hop(e, c, silence, &sink);
    if (!e->to_output) return;
    float output[MOST_OUT];
    const gtcrn_filter *f = e->to_output->filter;
    const int64_t reach = gtcrn_filter_delay(f);
    memset(c->enhanced + e->enhanced_past, 0, (size_t)reach * sizeof *c->enhanced);
    const int64_t due =
        filter(f, c->enhanced, e->enhanced_past, e->enhanced_length, (c->hops - 1) * HOP, reach, output);
    deliver(e, c, c->dry, output, due, &sink);
}

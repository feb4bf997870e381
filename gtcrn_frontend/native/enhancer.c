/* The public functions of an enhancer; signal_path.c processes samples, export_state.c and import_state.c save and
 * restore. */
#include "enhancer.h"

#include <math.h>
#include <string.h>

int gtcrn_api_version(void)
{
    return GTCRN_API_VERSION;
}

void gtcrn_settings_init(gtcrn_settings *settings)
{
    *settings = (gtcrn_settings){
        .sample_rate = MODEL_RATE,
        .output_sample_rate = MODEL_RATE,
        .channels = 1,
        .strength = 0.8,
        .auto_strength = {.noisy_snr_db = 20,
                          .clean_snr_db = 30,
                          .min_strength = 0.3,
                          .max_strength = 0.98,
                          .caution = 0.25,
                          .max_doubt = 0.55},
    };
}

static int is_strength(double strength)
{
    return strength == GTCRN_AUTO || (strength >= 0 && strength <= 1);
}

/* Returns an error message for settings, or NULL if they are valid. */
static const char *check(const gtcrn_settings *s)
{
    const gtcrn_auto_settings *a = &s->auto_strength;
    if (s->sample_rate < MIN_RATE || s->sample_rate > MAX_RATE || s->output_sample_rate < MIN_RATE ||
        s->output_sample_rate > MAX_RATE)
        return "expected sample rates from 8000 to 192000 Hz";
    if (s->channels < 1 || s->channels > MAX_CHANNELS) return "expected 1 to 16 channels";
    if (!is_strength(s->strength)) return "expected a strength from 0 to 1, or GTCRN_AUTO";
    if (!(a->noisy_snr_db < a->clean_snr_db && a->min_strength >= 0 && a->min_strength <= a->max_strength &&
          a->max_strength < 1 && a->caution >= 0 && a->caution <= 1 && a->max_doubt > 0))
        return "expected parameters of the automatic strength within their ranges";
    return NULL;
}

/* Sets the filters and the sizes of buffers; returns whether there was memory. */
static int prepare(gtcrn_enhancer *e)
{
    const uint32_t in = e->settings.sample_rate, out = e->settings.output_sample_rate;
    if (in != MODEL_RATE && !(e->to_model = gtcrn_share_filter(e->model, in, MODEL_RATE))) return 0;
    if (out != MODEL_RATE && !(e->to_output = gtcrn_share_filter(e->model, MODEL_RATE, out))) return 0;
    if (in != out && out != MODEL_RATE && !(e->dry_filter = gtcrn_share_filter(e->model, in, out))) return 0;
    e->block = ((int64_t)in * HOP + MODEL_RATE - 1) / MODEL_RATE;
    e->ramp_length = (int64_t)HOP * out / MODEL_RATE;
    e->grid = (gtcrn_grid){.hop_length = HOP, .delay = HOP, .rate = MODEL_RATE, .output_rate = out};
    size_t blank = 0;
    const gtcrn_shared_filter *of_input[] = {e->to_model, e->dry_filter};
    for (int i = 0; i < 2; i++) {
        if (!of_input[i]) continue;
        const size_t past = gtcrn_filter_past(of_input[i]->filter), after = gtcrn_filter_blank(of_input[i]->filter);
        if (past > e->input_past) e->input_past = past;
        if (after > blank) blank = after;
    }
    e->input_length = e->input_past ? e->input_past + (size_t)e->block + blank : 0;
    if (e->to_output) {
        e->enhanced_past = gtcrn_filter_past(e->to_output->filter);
        e->enhanced_length = e->enhanced_past + HOP + gtcrn_filter_blank(e->to_output->filter);
    }
    if (e->to_output) /* a sample waits 41 ms, plus a block, plus the filters' reach */
        e->dry_length = (size_t)out * 64 / 1000 + 64;
    return 1;
}

/* Returns memory for the channels' arrays, which are set. */
static int allocate(gtcrn_enhancer *e)
{
    const size_t floats = e->input_length + HOP + e->enhanced_length + e->dry_length;
    for (uint32_t i = 0; i < e->paths; i++) {
        gtcrn_channel *c = &e->channels[i];
        c->engine = gtcrn_stream_new();
        c->hop = gtcrn_allocate(floats * sizeof *c->hop);
        if (!c->engine || !c->hop) return 0;
        c->dry = c->hop + HOP;
        c->input = c->dry + e->dry_length;
        c->enhanced = c->input + e->input_length;
    }
    return 1;
}

int gtcrn_take(gtcrn_enhancer *e)
{
    if (atomic_exchange_explicit(&e->busy, 1, memory_order_acquire)) return 0;
    const unsigned long long bits = atomic_load_explicit(&e->wanted_strength, memory_order_relaxed);
    memcpy(&e->strength, &bits, sizeof bits);
    e->bypass = atomic_load_explicit(&e->wanted_bypass, memory_order_relaxed);
    return 1;
}

static void reset(gtcrn_enhancer *e)
{
    for (uint32_t i = 0; i < e->paths; i++) {
        gtcrn_channel *c = &e->channels[i];
        gtcrn_stream_reset(c->engine);
        c->taken = c->given = c->hops = c->waiting = 0;
        if (e->input_length) memset(c->input, 0, e->input_length * sizeof *c->input);
        if (e->enhanced_length) memset(c->enhanced, 0, e->enhanced_length * sizeof *c->enhanced);
        gtcrn_reset_strength(e, c);
    }
    gtcrn_show(e);
}

gtcrn_enhancer *gtcrn_enhancer_new(gtcrn_model *model, const gtcrn_settings *settings, const char **error)
{
    const char *wrong = check(settings);
    const uint32_t paths = settings->downmix ? 1 : settings->channels;
    gtcrn_enhancer *e = wrong ? NULL : gtcrn_allocate(sizeof *e + paths * sizeof *e->channels);
    if (e) {
        gtcrn_keep_model(model);
        e->model = model;
        e->settings = *settings;
        e->paths = paths;
        e->inputs = settings->channels;
        gtcrn_enhancer_set_strength(e, settings->strength);
        gtcrn_enhancer_set_bypass(e, settings->bypass != 0);
        if (prepare(e) && allocate(e)) {
            gtcrn_enhancer_reset(e);
        } else {
            gtcrn_enhancer_free(e);
            e = NULL;
        }
    }
    if (error) *error = wrong ? wrong : e ? NULL : "out of memory";
    return e;
}

void gtcrn_enhancer_free(gtcrn_enhancer *e)
{
    if (!e) return;
    for (uint32_t i = 0; i < e->paths; i++) {
        gtcrn_stream_free(e->channels[i].engine);
        gtcrn_free(e->channels[i].hop);
    }
    gtcrn_release_filter(e->to_model);
    gtcrn_release_filter(e->to_output);
    gtcrn_release_filter(e->dry_filter);
    gtcrn_model_free(e->model);
    gtcrn_free(e);
}

int gtcrn_enhancer_set_strength(gtcrn_enhancer *e, double strength)
{
    if (!is_strength(strength)) return GTCRN_REFUSED;
    unsigned long long bits;
    memcpy(&bits, &strength, sizeof bits);
    atomic_store_explicit(&e->wanted_strength, bits, memory_order_relaxed);
    return 0;
}

void gtcrn_enhancer_set_bypass(gtcrn_enhancer *e, int bypass)
{
    atomic_store_explicit(&e->wanted_bypass, bypass != 0, memory_order_relaxed);
}

int64_t gtcrn_enhancer_frames_in(const gtcrn_enhancer *e)
{
    return atomic_load_explicit(&e->frames_in, memory_order_relaxed);
}

int64_t gtcrn_enhancer_frames_out(const gtcrn_enhancer *e)
{
    return atomic_load_explicit(&e->frames_out, memory_order_relaxed);
}

int64_t gtcrn_enhancer_due(const gtcrn_enhancer *e, size_t frames)
{
    const int64_t taken = gtcrn_enhancer_frames_in(e);
    return gtcrn_position_at(e, taken + (int64_t)frames).out - gtcrn_position_at(e, taken).out;
}

int64_t gtcrn_enhancer_rest(const gtcrn_enhancer *e)
{
    const int64_t taken = gtcrn_enhancer_frames_in(e), in = e->settings.sample_rate;
    const int64_t out = e->settings.output_sample_rate, whole = taken / in * out;
    return whole + (taken % in * out + in - 1) / in - gtcrn_position_at(e, taken).out;
}

int64_t gtcrn_enhancer_latency(const gtcrn_enhancer *e)
{
    double seconds = (double)FRAME / MODEL_RATE;
    if (e->to_model) seconds += (double)gtcrn_filter_delay(e->to_model->filter) / e->settings.sample_rate;
    if (e->to_output) seconds += (double)gtcrn_filter_delay(e->to_output->filter) / MODEL_RATE;
    return (int64_t)ceil(seconds * e->settings.sample_rate - 1e-9);
}

gtcrn_sink gtcrn_sink_of(const gtcrn_enhancer *e, const gtcrn_outputs *outputs, uint32_t channel)
{
    return (gtcrn_sink){.dry = outputs->dry ? outputs->dry + channel : NULL,
                        .enhanced = outputs->enhanced ? outputs->enhanced + channel : NULL,
                        .mixed = outputs->mixed ? outputs->mixed + channel : NULL,
                        .stride = e->paths};
}

static int are_valid(const float *samples, size_t count)
{
    int wrong = 0; /* negated, so that NaN is wrong, too; without a branch, so that it is vectorised */
    for (size_t i = 0; i < count; i++) wrong |= !(fabsf(samples[i]) <= GTCRN_MAX_AMPLITUDE);
    return !wrong;
}

int gtcrn_check_push(const gtcrn_enhancer *e, const float *input, size_t frames, size_t room)
{
    if ((int64_t)room < gtcrn_enhancer_due(e, frames)) return GTCRN_ROOM;
    return are_valid(input, frames * e->inputs) ? 0 : GTCRN_REFUSED;
}

int64_t gtcrn_enhancer_push_aligned(gtcrn_enhancer *e, const float *input, size_t frames, const gtcrn_outputs *outputs,
                                    size_t room)
{
    if (!gtcrn_take(e)) return GTCRN_BUSY;
    const int wrong = gtcrn_check_push(e, input, frames, room);
    const int64_t due = gtcrn_enhancer_due(e, frames);
    for (uint32_t i = 0; !wrong && i < e->paths; i++)
        gtcrn_push_channel(e, i, input, frames, gtcrn_sink_of(e, outputs, i));
    if (!wrong) gtcrn_show(e);
    gtcrn_give_back(e);
    return wrong ? wrong : due;
}

int64_t gtcrn_enhancer_finish_aligned(gtcrn_enhancer *e, const gtcrn_outputs *outputs, size_t room)
{
    if (!gtcrn_take(e)) return GTCRN_BUSY;
    const int64_t rest = gtcrn_enhancer_rest(e);
    if ((int64_t)room >= rest) {
        for (uint32_t i = 0; i < e->paths; i++) gtcrn_finish_channel(e, i, gtcrn_sink_of(e, outputs, i));
        reset(e);
    }
    gtcrn_give_back(e);
    return (int64_t)room < rest ? GTCRN_ROOM : rest;
}

int64_t gtcrn_enhancer_push(gtcrn_enhancer *e, const float *input, size_t frames, float *output, size_t room)
{
    return gtcrn_enhancer_push_aligned(e, input, frames, &(gtcrn_outputs){.mixed = output}, room);
}

int64_t gtcrn_enhancer_finish(gtcrn_enhancer *e, float *output, size_t room)
{
    return gtcrn_enhancer_finish_aligned(e, &(gtcrn_outputs){.mixed = output}, room);
}

int gtcrn_enhancer_reset(gtcrn_enhancer *e)
{
    if (!gtcrn_take(e)) return GTCRN_BUSY;
    reset(e);
    gtcrn_give_back(e);
    return 0;
}

void gtcrn_show(gtcrn_enhancer *e)
{
    atomic_store_explicit(&e->frames_out, e->channels[0].given, memory_order_relaxed);
    atomic_store_explicit(&e->frames_in, e->channels[0].taken, memory_order_relaxed);
    for (uint32_t i = 0; i < e->paths; i++) {
        gtcrn_channel *c = &e->channels[i];
        atomic_store_explicit(&c->is_shown, c->is_auto, memory_order_relaxed);
        if (!c->is_auto) continue;
        const gtcrn_auto_strength *levels = &c->levels;
        const gtcrn_report report = {.snr_db = gtcrn_auto_strength_snr_db(levels),
                                     .strength = levels->strength,
                                     .doubt = levels->doubt,
                                     .hops = levels->hops,
                                     .speech_hops = levels->speech_hops,
                                     .lost_hops = levels->lost_hops};
        unsigned long long words[6];
        memcpy(words, &report, sizeof words);
        for (int k = 0; k < 6; k++) atomic_store_explicit(&c->shown[k], words[k], memory_order_relaxed);
    }
}

int gtcrn_enhancer_report(const gtcrn_enhancer *e, uint32_t channel, gtcrn_report *report)
{
    if (channel >= e->paths) return GTCRN_REFUSED;
    const gtcrn_channel *c = &e->channels[channel];
    unsigned long long words[6];
    for (int k = 0; k < 6; k++) words[k] = atomic_load_explicit(&c->shown[k], memory_order_relaxed);
    memcpy(report, words, sizeof words);
    return atomic_load_explicit(&c->is_shown, memory_order_relaxed) ? 0 : GTCRN_REFUSED;
}

/* Reads the state of an enhancer, see state.h.
 *
 * The number of input samples comes first: the length of every other array follows from it. Nothing changes before all
 * of them are known to be valid.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

enum { MOST_SECTIONS = 32 };

/* The sections of one channel. */
typedef struct {
    const char *sections[MOST_SECTIONS];
    int count, used;
} channel_state;

/* Returns the values of a section of this name, type and number of values, or NULL. */
static const char *find(channel_state *state, const char *name, uint32_t type, int64_t count)
{
    for (int i = 0; i < state->count; i++) {
        gtcrn_section s;
        memcpy(&s, state->sections[i], sizeof s);
        const char *after = strchr(s.name, '.');
        if (strcmp(after + 1, name) != 0) continue;
        state->used++;
        return s.type == type && (count < 0 || s.count == count) ? state->sections[i] + sizeof s : NULL;
    }
    return NULL;
}

static uint32_t count_of(channel_state *state, const char *name)
{
    for (int i = 0; i < state->count; i++) {
        gtcrn_section s;
        memcpy(&s, state->sections[i], sizeof s);
        if (strcmp(strchr(s.name, '.') + 1, name) == 0) return s.count;
    }
    return 0;
}

/* What a channel is set to. */
typedef struct {
    const char *engine[ENGINE_ARRAYS], *to_model, *to_output, *dry_pending, *rest, *dry, *strengths;
    int64_t taken, model_pending, output_pending, input_pending, first_hop, hops[4];
    double ramp[3], levels[8];
    uint32_t queued;
    int has_auto;
} imported;

static float float_at(const char *values, int64_t i)
{
    float value;
    memcpy(&value, values + i * (int64_t)sizeof value, sizeof value);
    return value;
}

/* Whether there are values, all of at most this magnitude; NaN is not. */
static int are_within(const char *values, int64_t count, float limit)
{
    for (int64_t i = 0; values && i < count; i++)
        if (!(fabsf(float_at(values, i)) <= limit)) return 0;
    return values != NULL;
}

static int is_count(channel_state *state, const char *name, int64_t expected)
{
    int64_t value;
    const char *values = find(state, name, 'i', 1);
    if (!values) return 0;
    memcpy(&value, values, sizeof value);
    return value == expected;
}

/* Reads a resampler's samples; returns whether they are valid. */
static int read_filter(channel_state *state, const char *count_name, const char *name, const gtcrn_filter *f,
                       int64_t taken, float limit, const char **values, int64_t *pending)
{
    *pending = taken - gtcrn_filter_begin(f, gtcrn_filter_ready(f, taken));
    *values = find(state, name, 'f', *pending);
    return is_count(state, count_name, taken) && are_within(*values, *pending, limit);
}

static int is_share(double value)
{
    return value >= 0 && value <= 1;
}

/* The automatic strength, see streaming/auto_strength/controller.py. */
static int read_auto(channel_state *state, const gtcrn_position *at, imported *in)
{
    const char *levels = find(state, "path.auto_strength.levels", 'd', 8);
    const char *hops = find(state, "path.auto_strength.hops", 'i', 4);
    const char *past = find(state, "path.auto_strength.past", 'f', HOP);
    in->has_auto = levels || hops || past;
    if (!in->has_auto) return 1;
    if (!levels || !hops || !past) return 0;
    memcpy(in->levels, levels, sizeof in->levels);
    memcpy(in->hops, hops, sizeof in->hops);
    const double most_energy = (32.0 + 512.0) * (32.0 + 512.0);
    for (int i = 0; i < 4; i++)
        if (!(in->levels[i] >= 0 && in->levels[i] <= most_energy)) return 0;
    for (int i = 4; i < 7; i++)
        if (!is_share(in->levels[i])) return 0;
    if (!(in->levels[7] >= 4 && in->levels[7] <= (double)MODEL_RATE / HOP)) return 0;
    const int64_t decided = in->hops[0], to_skip = in->hops[3];
    for (int i = 0; i < 4; i++)
        if (in->hops[i] < 0) return 0;
    if (decided > at->hops || in->hops[1] > decided || in->hops[2] > decided || to_skip > (decided ? 0 : 1) ||
        decided + 1 - to_skip > at->hops)
        return 0;
    for (int i = 0; i < HOP; i++) /* the last hop that the network has taken */
        if (float_at(past, i) != (to_skip ? 0 : float_at(in->engine[0], i))) return 0;
    return 1;
}

/* The strengths that wait for their samples, see streaming/strength_ramp.py. */
static int read_queue(const gtcrn_enhancer *e, channel_state *state, const gtcrn_position *at, imported *in)
{
    const uint32_t count = count_of(state, "path.strength_ramp.strengths");
    in->strengths = find(state, "path.strength_ramp.strengths", 'd', -1);
    const char *hop = find(state, "path.strength_ramp.hop", 'i', 1);
    if (!in->strengths && !hop) return 1;
    if (!in->strengths || !hop || count < 1 || count > QUEUE + 1) return 0;
    in->queued = count - 1;
    memcpy(&in->first_hop, hop, sizeof in->first_hop);
    for (uint32_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, in->strengths + i * sizeof value, sizeof value);
        if (!is_share(value)) return 0;
    }
    return in->first_hop >= 0 && in->first_hop <= at->hops && in->first_hop + in->queued == at->hops &&
           (!in->queued || gtcrn_grid_start(&e->grid, in->first_hop + 1) > at->out);
}

/* Reads the sections of one channel; returns whether they are a state that can be. */
static int read_channel(const gtcrn_enhancer *e, channel_state *state, imported *in)
{
    memset(in, 0, sizeof *in);
    int64_t counters[2];
    const char *values = find(state, "path.counters", 'i', 2);
    if (!values) return 0;
    memcpy(counters, values, sizeof counters);
    in->taken = counters[0];
    if (in->taken < 0 || in->taken > (int64_t)MAX_SECONDS * e->settings.sample_rate) return 0;
    const gtcrn_position at = gtcrn_position_at(e, in->taken);
    if (counters[1] != (at.hops ? 0 : HOP)) return 0;

    const gtcrn_array *engine_arrays = gtcrn_arrays_of(e);
    float engine[GTCRN_STATE_FLOATS], *array = engine;
    for (int i = 0; i < ENGINE_ARRAYS; array += engine_arrays[i++].count) {
        in->engine[i] = find(state, engine_arrays[i].name, 'f', engine_arrays[i].count);
        if (!in->engine[i]) return 0;
        memcpy(array, in->engine[i], engine_arrays[i].count * sizeof *array);
    }
    if (!gtcrn_are_canonical(e->model->network, engine)) return 0;

    const float model_gain = e->to_model ? GTCRN_MAX_GAIN : 1;
    const float dry_gain = e->dry_filter || (e->to_model && !e->to_output) ? GTCRN_MAX_GAIN : 1;
    if (e->to_model && !read_filter(state, "path.to_model.samples_in", "path.to_model.pending", e->to_model->filter,
                                    in->taken, GTCRN_MAX_AMPLITUDE, &in->to_model, &in->model_pending))
        return 0;
    if (e->to_output && !read_filter(state, "path.to_output.samples_in", "path.to_output.pending", e->to_output->filter,
                                     at.enhanced, GTCRN_MAX_ENHANCED, &in->to_output, &in->output_pending))
        return 0;
    if (e->dry_filter &&
        !read_filter(state, "path.dry_to_output.samples_in", "path.dry_to_output.pending", e->dry_filter->filter,
                     in->taken, GTCRN_MAX_AMPLITUDE, &in->dry_pending, &in->input_pending))
        return 0;
    if (in->to_model && in->dry_pending) /* both are the end of the input */
        for (int64_t i = 1; i <= in->model_pending && i <= in->input_pending; i++)
            if (float_at(in->to_model, in->model_pending - i) != float_at(in->dry_pending, in->input_pending - i))
                return 0;

    in->rest = find(state, "path.framer.rest", 'f', at.held);
    in->dry = find(state, "path.mixer.dry", 'f', at.dry - at.out);
    if (!are_within(in->rest, at.held, model_gain * GTCRN_MAX_AMPLITUDE) ||
        !are_within(in->dry, at.dry - at.out, dry_gain * GTCRN_MAX_AMPLITUDE) ||
        !find(state, "path.mixer.enhanced", 'f', 0) || !is_count(state, "path.mixer.samples_out", at.out))
        return 0;
    for (int64_t i = 0, hop = at.hops ? HOP : 0; !e->to_output && i < hop + at.held; i++)
        if (float_at(in->dry, i) != (i < hop ? float_at(in->engine[0], i) : float_at(in->rest, i - hop))) return 0;
    if (!(values = find(state, "path.mixer.ramp", 'd', 3))) return 0;
    memcpy(in->ramp, values, sizeof in->ramp);
    if (!is_share(in->ramp[0]) || !is_share(in->ramp[1]) ||
        !(in->ramp[2] >= 0 && in->ramp[2] <= (double)e->ramp_length))
        return 0;
    return read_auto(state, &at, in) && read_queue(e, state, &at, in) && state->used == state->count;
}

/* Copies samples to the end of a buffer of `length` zeros. */
static void set_past(float *buffer, size_t length, const char *values, int64_t count)
{
    memset(buffer, 0, length * sizeof *buffer);
    memcpy(buffer + length - count, values, (size_t)count * sizeof *buffer);
}

static void set_channel(const gtcrn_enhancer *e, gtcrn_channel *c, const imported *in)
{
    const gtcrn_array *engine_arrays = gtcrn_arrays_of(e);
    float engine[GTCRN_STATE_FLOATS], *array = engine;
    for (int i = 0; i < ENGINE_ARRAYS; array += engine_arrays[i++].count)
        memcpy(array, in->engine[i], engine_arrays[i].count * sizeof *array);
    gtcrn_stream_import(c->engine, engine, gtcrn_state_floats(e->model));
    const gtcrn_position at = gtcrn_position_at(e, in->taken);
    c->taken = in->taken, c->given = at.out, c->hops = at.hops, c->waiting = at.dry - at.out;
    if (e->to_model && in->model_pending >= in->input_pending)
        set_past(c->input, e->input_past, in->to_model, in->model_pending);
    else if (e->input_past)
        set_past(c->input, e->input_past, in->dry_pending, in->input_pending);
    if (e->to_output) set_past(c->enhanced, e->enhanced_past, in->to_output, in->output_pending);
    memcpy(c->hop, in->rest, (size_t)at.held * sizeof *c->hop);
    if (e->to_output) memcpy(c->dry, in->dry, (size_t)c->waiting * sizeof *c->dry);

    const int wants_auto = e->strength == GTCRN_AUTO;
    c->from = in->ramp[0], c->to = in->ramp[1], c->ramped = (int64_t)in->ramp[2];
    c->is_auto = c->is_following = c->queued = 0;
    if (wants_auto) gtcrn_ramp_to(e, c, 0); /* from where it is, as it does not follow yet */
    gtcrn_apply_strength(e, c);
    if (!wants_auto) return;
    if (in->has_auto) {
        gtcrn_auto_strength *l = &c->levels;
        l->speech = in->levels[0], l->noise = in->levels[1], l->recent = in->levels[2], l->floor = in->levels[3];
        l->lost = in->levels[4], l->doubt = in->levels[5], l->speech_weight = in->levels[7];
        l->strength = fmin(in->levels[6], l->max_strength);
        l->hops = in->hops[0], l->speech_hops = in->hops[1], l->lost_hops = in->hops[2];
        c->to_skip = (int)in->hops[3];
    }
    if (!c->is_following) return;
    if (in->strengths) {
        c->queued = (int)in->queued;
        c->first_hop = in->first_hop;
        memcpy(c->strengths, in->strengths, (in->queued + 1) * sizeof *c->strengths);
    } else if (!c->given) {
        c->strengths[0] = c->levels.strength;
    }
}

/* Divides a state into the sections of its channels; returns whether it is one of this enhancer. */
static int divide(const gtcrn_enhancer *e, const char *state, size_t bytes, channel_state *channels)
{
    gtcrn_state_header h;
    if (bytes < sizeof h) return 0;
    memcpy(&h, state, sizeof h);
    if (memcmp(h.magic, state_magic, sizeof state_magic) != 0 || h.version != STATE_VERSION || h.order != STATE_ORDER ||
        h.sample_rate != e->settings.sample_rate || h.output_sample_rate != e->settings.output_sample_rate ||
        h.paths != e->paths)
        return 0;
    size_t place = sizeof h;
    for (uint32_t i = 0; i < h.sections; i++) {
        gtcrn_section s;
        if (bytes - place < sizeof s) return 0;
        memcpy(&s, state + place, sizeof s);
        if (s.name[SECTION_NAME - 1] || (s.type != 'f' && s.type != 'd' && s.type != 'i')) return 0;
        char *after;
        const unsigned long channel = s.name[0] >= '0' && s.name[0] <= '9' ? strtoul(s.name, &after, 10) : MAX_CHANNELS;
        if (channel >= e->paths || *after != '.' || channels[channel].count == MOST_SECTIONS) return 0;
        if (bytes - place - sizeof s < gtcrn_bytes_of(s.type, s.count)) return 0;
        channels[channel].sections[channels[channel].count++] = state + place;
        place += sizeof s + gtcrn_bytes_of(s.type, s.count);
    }
    return place == bytes;
}

int gtcrn_enhancer_import_state(gtcrn_enhancer *e, const void *state, size_t bytes)
{
    channel_state channels[MAX_CHANNELS] = {{{NULL}, 0, 0}};
    imported in[MAX_CHANNELS];
    if (!divide(e, state, bytes, channels)) return GTCRN_REFUSED;
    for (uint32_t i = 0; i < e->paths; i++)
        if (!read_channel(e, &channels[i], &in[i]) || in[i].taken != in[0].taken) return GTCRN_REFUSED;
    if (!gtcrn_take(e)) return GTCRN_BUSY;
    for (uint32_t i = 0; i < e->paths; i++) set_channel(e, &e->channels[i], &in[i]);
    gtcrn_show(e);
    gtcrn_give_back(e);
    return 0;
}

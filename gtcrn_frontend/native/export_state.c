/* Writes the state of an enhancer, see state.h. */
#include <string.h>

#include "state.h"

/* Writes sections one behind the other; with `to` NULL it counts their bytes. */
typedef struct {
    char *to;
    size_t bytes;
    uint32_t channel, sections;
} writer;

static void write_section(writer *w, const char *name, uint32_t type, const void *values, size_t count)
{
    const size_t size = gtcrn_bytes_of(type, count);
    if (w->to) {
        gtcrn_section s = {.type = type, .count = (uint32_t)count};
        char *end = s.name;
        if (w->channel >= 10) *end++ = '1';
        *end++ = (char)('0' + w->channel % 10);
        *end++ = '.';
        memcpy(end, name, strlen(name));
        memcpy(w->to + w->bytes, &s, sizeof s);
        memset(w->to + w->bytes + sizeof s, 0, size);
        if (count) memcpy(w->to + w->bytes + sizeof s, values, count * (type == 'f' ? sizeof(float) : sizeof(double)));
    }
    w->bytes += sizeof(gtcrn_section) + size;
    w->sections++;
}

/* A resampler: the samples that it has taken, and the last ones from the first that the next output needs on. */
static void write_filter(writer *w, const char *count_name, const char *name, const gtcrn_filter *f, int64_t taken,
                         const float *end)
{
    const int64_t pending = taken - gtcrn_filter_begin(f, gtcrn_filter_ready(f, taken));
    write_section(w, count_name, 'i', &taken, 1);
    write_section(w, name, 'f', end - pending, (size_t)pending);
}

static void write_channel(const gtcrn_enhancer *e, const gtcrn_channel *c, writer *w)
{
    static const float silence[HOP] = {0};
    const gtcrn_position at = gtcrn_position_at(e, c->taken);
    float state[GTCRN_STATE_FLOATS], *array = state;
    const gtcrn_array *engine_arrays = gtcrn_arrays_of(e);
    if (w->to) gtcrn_stream_export(c->engine, state, gtcrn_state_floats(e->model));
    for (int i = 0; i < ENGINE_ARRAYS; array += engine_arrays[i++].count)
        write_section(w, engine_arrays[i].name, 'f', array, engine_arrays[i].count);
    const int64_t counters[] = {c->taken, at.hops ? 0 : HOP};
    write_section(w, "path.counters", 'i', counters, 2);
    const float *input_end = c->input + e->input_past;
    if (e->to_model)
        write_filter(w, "path.to_model.samples_in", "path.to_model.pending", e->to_model->filter, c->taken, input_end);
    if (e->to_output)
        write_filter(w, "path.to_output.samples_in", "path.to_output.pending", e->to_output->filter, at.enhanced,
                     c->enhanced + e->enhanced_past);
    if (e->dry_filter)
        write_filter(w, "path.dry_to_output.samples_in", "path.dry_to_output.pending", e->dry_filter->filter, c->taken,
                     input_end);
    write_section(w, "path.framer.rest", 'f', c->hop, (size_t)at.held);
    float dry[2 * HOP]; /* at the model's rate: the last hop of the network, and the samples of the next one */
    if (!e->to_output) {
        const size_t hop = at.hops ? HOP : 0;
        memcpy(dry, c->engine->analysis, hop * sizeof *dry);
        memcpy(dry + hop, c->hop, (size_t)at.held * sizeof *dry);
    }
    write_section(w, "path.mixer.dry", 'f', e->to_output ? c->dry : dry, (size_t)c->waiting);
    write_section(w, "path.mixer.enhanced", 'f', NULL, 0);
    const double now = gtcrn_strength_now(e, c), length = (double)e->ramp_length;
    const double ramp[] = {c->is_following ? now : c->from, c->is_following ? now : c->to,
                           c->is_following ? length : (double)c->ramped};
    write_section(w, "path.mixer.ramp", 'd', ramp, 3);
    write_section(w, "path.mixer.samples_out", 'i', &c->given, 1);
    if (c->is_auto) {
        const gtcrn_auto_strength *l = &c->levels;
        const double levels[] = {l->speech, l->noise, l->recent,   l->floor,
                                 l->lost,   l->doubt, l->strength, l->speech_weight};
        const int64_t hops[] = {l->hops, l->speech_hops, l->lost_hops, c->to_skip};
        write_section(w, "path.auto_strength.levels", 'd', levels, 8);
        write_section(w, "path.auto_strength.hops", 'i', hops, 4);
        write_section(w, "path.auto_strength.past", 'f', c->to_skip ? silence : c->engine->analysis, HOP);
    }
    if (c->is_following) {
        write_section(w, "path.strength_ramp.strengths", 'd', c->strengths, (size_t)c->queued + 1);
        write_section(w, "path.strength_ramp.hop", 'i', &c->first_hop, 1);
    }
}

static size_t write_state(const gtcrn_enhancer *e, char *to)
{
    writer w = {.to = to, .bytes = sizeof(gtcrn_state_header)};
    for (; w.channel < e->paths; w.channel++) write_channel(e, &e->channels[w.channel], &w);
    if (to) {
        gtcrn_state_header h = {.version = STATE_VERSION,
                                .order = STATE_ORDER,
                                .sample_rate = e->settings.sample_rate,
                                .output_sample_rate = e->settings.output_sample_rate,
                                .paths = e->paths,
                                .sections = w.sections};
        memcpy(h.magic, state_magic, sizeof state_magic);
        memcpy(to, &h, sizeof h);
    }
    return w.bytes;
}

int64_t gtcrn_enhancer_export_state(gtcrn_enhancer *e, void *state, size_t room)
{
    if (!gtcrn_take(e)) return GTCRN_BUSY;
    const size_t bytes = write_state(e, NULL);
    if (state && bytes <= room) write_state(e, state);
    gtcrn_give_back(e);
    return state && bytes > room ? GTCRN_ROOM : (int64_t)bytes;
}

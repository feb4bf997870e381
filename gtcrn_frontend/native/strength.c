/* The strength of a channel: ramps, automatic strength, mixing. See streaming/mixer.py and strength_ramp.py. */
#include <string.h>

#include "enhancer.h"

/* The strength of the last sample, or that of the first before there is one. */
double gtcrn_strength_now(const gtcrn_enhancer *e, const gtcrn_channel *c)
{
    if (c->is_following) {
        const int64_t start = gtcrn_grid_start(&e->grid, c->first_hop);
        const int64_t stop = gtcrn_grid_start(&e->grid, c->first_hop + 1);
        if (!c->queued || c->given <= start) return c->strengths[0];
        const double change = c->strengths[1] - c->strengths[0];
        return c->strengths[0] + change * (double)(c->given - start) / (double)(stop - start);
    }
    const double way = (double)c->ramped / (double)e->ramp_length;
    return c->from + (c->to - c->from) * (way < 1 ? way : 1);
}

void gtcrn_ramp_to(const gtcrn_enhancer *e, gtcrn_channel *c, double strength)
{
    if (strength == c->to && !c->is_following) return;
    c->from = c->given ? gtcrn_strength_now(e, c) : strength;
    c->to = strength;
    c->ramped = 0;
    c->is_following = 0;
}

void gtcrn_reset_strength(const gtcrn_enhancer *e, gtcrn_channel *c)
{
    c->from = c->to = e->bypass || e->strength == GTCRN_AUTO ? 0 : e->strength;
    c->ramped = e->ramp_length;
    c->is_auto = c->is_following = c->queued = 0;
    gtcrn_apply_strength(e, c);
}

void gtcrn_apply_strength(const gtcrn_enhancer *e, gtcrn_channel *c)
{
    if (e->strength != GTCRN_AUTO) {
        c->is_auto = 0;
        gtcrn_ramp_to(e, c, e->bypass ? 0 : e->strength);
        return;
    }
    if (!c->is_auto) {
        gtcrn_auto_strength_init(&c->levels, &e->settings.auto_strength, (double)HOP / MODEL_RATE);
        c->is_auto = c->to_skip = 1; /* the network's next hop belongs to samples before those measured */
    }
    if (e->bypass) {
        gtcrn_ramp_to(e, c, 0);
    } else if (!c->is_following) {
        c->strengths[0] = c->given ? gtcrn_strength_now(e, c) : c->levels.strength;
        c->first_hop = c->hops;
        c->queued = 0;
        c->is_following = 1;
    }
}

void gtcrn_decide(gtcrn_channel *c, const float *dry, const float *enhanced)
{
    if (c->to_skip)
        c->to_skip--;
    else
        gtcrn_auto_strength_update(&c->levels, dry, enhanced, 1, HOP, NULL);
    if (c->is_following) c->strengths[++c->queued] = c->levels.strength;
}

void gtcrn_mix_channel(const gtcrn_enhancer *e, gtcrn_channel *c, const float *dry, const float *enhanced,
                       int64_t count, float *mixed)
{
    if (c->is_following) {
        const int64_t over =
            gtcrn_mix(&e->grid, c->first_hop, c->strengths, c->queued, c->given, dry, enhanced, count, mixed);
        memmove(c->strengths, c->strengths + over, (size_t)(c->queued - over + 1) * sizeof *c->strengths);
        c->first_hop += over;
        c->queued -= (int)over;
        return;
    }
    if (c->ramped < e->ramp_length && c->from != c->to) {
        for (int64_t i = 0; i < count; i++) {
            const double way = (double)(c->ramped + 1 + i) / (double)e->ramp_length;
            const float strength = (float)(c->from + (c->to - c->from) * (way < 1 ? way : 1));
            mixed[i] = strength * enhanced[i] + (1 - strength) * dry[i];
        }
        c->ramped += count;
        if (c->ramped > e->ramp_length) c->ramped = e->ramp_length;
        return;
    }
    const float strength = (float)c->to, rest = 1 - strength;
    if (c->to == 1 || c->to == 0) {
        memcpy(mixed, c->to == 1 ? enhanced : dry, (size_t)count * sizeof *mixed);
        return;
    }
    for (int64_t i = 0; i < count; i++) mixed[i] = strength * enhanced[i] + rest * dry[i];
}

/* Automatic strength. Compiled once, for the baseline of the target: a hop takes a third of a microsecond. */
#include "auto_strength.h"

#include <math.h>

/* See streaming/auto_strength/level_tracker.py. */
static const double least = 1e-9, quiet = 0.01, loud = 8.0, above_floor = 30.0, recent_share = 0.5,
                    undoubted_hops = 16.0;

double gtcrn_auto_strength_snr_db(const gtcrn_auto_strength *levels)
{
    const double noise = fmin(levels->noise, above_floor * levels->floor);
    return 10.0 * log10((levels->speech + least) / (noise + least));
}

static double wanted(const gtcrn_auto_strength *levels)
{
    const double range_db = levels->clean_snr_db - levels->noisy_snr_db;
    const double above_db = gtcrn_auto_strength_snr_db(levels) - levels->noisy_snr_db;
    const double clean = fmin(fmax(above_db / range_db, 0.0), 1.0);
    const double strength = levels->max_strength - (levels->max_strength - levels->min_strength) * clean;
    const double trust = fmin(fmax(3.0 * (1.0 - levels->doubt / levels->max_doubt), 0.0), 1.0);
    return strength * (1.0 - levels->caution * levels->lost) * trust;
}

void gtcrn_auto_strength_init(gtcrn_auto_strength *levels, const gtcrn_auto_settings *settings, double hop_s)
{
    /* See streaming/auto_strength/controller.py. */
    const double speech_s = 1.0, noise_s = 0.4, lost_s = 0.2, doubt_s = 1.5, strength_s = 0.15, rise_db_per_s = 15.0;
    *levels = (gtcrn_auto_strength){
        .noisy_snr_db = settings->noisy_snr_db,
        .clean_snr_db = settings->clean_snr_db,
        .min_strength = settings->min_strength,
        .max_strength = settings->max_strength,
        .caution = settings->caution,
        .max_doubt = settings->max_doubt,
        .noise_step = 1 - exp(-hop_s / noise_s),
        .lost_step = 1 - exp(-hop_s / lost_s),
        .doubt_step = 1 - exp(-hop_s / doubt_s),
        .strength_step = 1 - exp(-hop_s / strength_s),
        .floor_rise = pow(10, rise_db_per_s * hop_s / 10),
        .max_speech_weight = speech_s / hop_s,
        .speech = 1e-3,
        .noise = 1e-6,
        .recent = 1e-4,
        .floor = 1e-4,
        .speech_weight = 4,
    };
    levels->strength = wanted(levels);
}

static double decide(gtcrn_auto_strength *levels, double dry, double enhanced, double removed)
{
    const double speech_part = enhanced / (enhanced + removed + quiet * levels->speech + least);
    const double is_loud = dry / (dry + loud * levels->noise + least);
    const double kept = enhanced / (enhanced + removed + least);
    const double lost = is_loud * removed / (enhanced + removed + least);
    const double pause_part = 1.0 - speech_part;
    const double doubt_step = fmax(levels->doubt_step, 1.0 / ((double)levels->hops + undoubted_hops));

    levels->speech_weight = fmin(levels->speech_weight + speech_part, levels->max_speech_weight);
    levels->speech += speech_part / levels->speech_weight * (enhanced - levels->speech);
    levels->noise += levels->noise_step * pause_part * pause_part * (removed - levels->noise);
    levels->recent += recent_share * (dry - levels->recent);
    levels->floor = fmin(levels->recent, fmax(levels->floor, least) * levels->floor_rise);
    levels->lost += levels->lost_step * (lost - levels->lost);
    levels->doubt += doubt_step * (4.0 * kept * (1.0 - kept) - levels->doubt);
    levels->strength += levels->strength_step * (wanted(levels) - levels->strength);
    levels->hops++;
    levels->speech_hops += speech_part > 0.5;
    levels->lost_hops += lost > 0.5;
    return levels->strength;
}

void gtcrn_auto_strength_decide(gtcrn_auto_strength *levels, const double *energies, size_t hops, double *strengths)
{
    for (size_t i = 0; i < hops; i++)
        strengths[i] = decide(levels, energies[3 * i], energies[3 * i + 1], energies[3 * i + 2]);
}

void gtcrn_auto_strength_update(gtcrn_auto_strength *levels, const float *dry, const float *enhanced, size_t hops,
                                size_t hop_length, double *strengths)
{
    for (size_t i = 0; i < hops; i++, dry += hop_length, enhanced += hop_length) {
        double of_dry = 0, of_enhanced = 0, of_removed = 0;
        for (size_t n = 0; n < hop_length; n++) {
            const double d = dry[n], e = enhanced[n], removed = dry[n] - enhanced[n];
            of_dry += d * d;
            of_enhanced += e * e;
            of_removed += removed * removed;
        }
        const double scale = 1.0 / (double)hop_length;
        const double strength = decide(levels, scale * of_dry, scale * of_enhanced, scale * of_removed);
        if (strengths) strengths[i] = strength;
    }
}

int64_t gtcrn_grid_start(const gtcrn_grid *grid, int64_t hop)
{
    const int64_t scaled = (hop * grid->hop_length - grid->delay) * grid->output_rate;
    return scaled / grid->rate + (scaled % grid->rate > 0); /* rounded up, also below zero */
}

int64_t gtcrn_mix(const gtcrn_grid *grid, int64_t hop, const double *strengths, int64_t ends, int64_t sample,
                  const float *dry, const float *enhanced, int64_t count, float *mixed)
{
    for (int64_t over = 0, done = 0;;) {
        const int64_t begin = gtcrn_grid_start(grid, hop + over), end = gtcrn_grid_start(grid, hop + over + 1),
                      now = sample + done;
        if (over < ends && end <= now) {
            over++;
            continue;
        }
        if (done >= count) return over;
        const int is_still = over == ends || now < begin;
        const int64_t until = over == ends ? sample + count : is_still ? begin : end;
        const int64_t stop = until < sample + count ? until - sample : count;
        /* Sample k (from 1) of a hop of length L has the fraction k / L of the change. */
        const double way = is_still ? 0.0 : strengths[over + 1] - strengths[over];
        const float from = (float)strengths[over], step = (float)(way / (double)(end - begin));
        const int64_t first = sample + 1 - begin;
        for (int64_t i = done; i < stop; i++)
            mixed[i] = dry[i] + (from + step * (float)(first + i)) * (enhanced[i] - dry[i]);
        done = stop;
    }
}

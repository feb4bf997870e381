/* Automatic strength (`strength="auto"`): updated every hop, and interpolated per sample in the mix.
 *
 * streaming/auto_strength/level_tracker.py and streaming/strength_ramp.py are the Python reference and document the
 * algorithm; tests compare the two. Independent of the network: any hop length and sample rate.
 */
#ifndef GTCRN_AUTO_STRENGTH_H
#define GTCRN_AUTO_STRENGTH_H

#include "gtcrn.h"

/* cffi: begin. What is between these marks is also read by setup.py. */

/* Parameters and state of one channel. */
typedef struct {
    double noisy_snr_db, clean_snr_db, min_strength, max_strength, caution, max_doubt;
    double noise_step, lost_step, doubt_step, strength_step, floor_rise, max_speech_weight;
    double speech, noise, recent, floor, lost, doubt, strength, speech_weight;
    int64_t hops, speech_hops, lost_hops;
} gtcrn_auto_strength;

/* Sets the initial state for hops of `hop_s` seconds. */
void gtcrn_auto_strength_init(gtcrn_auto_strength *levels, const gtcrn_auto_settings *settings, double hop_s);

/* Returns the estimated SNR in dB. */
double gtcrn_auto_strength_snr_db(const gtcrn_auto_strength *levels);

/* Position of hops in the output: hop h starts at (h hop_length - delay) / rate seconds. */
typedef struct {
    int64_t hop_length, delay, rate, output_rate;
} gtcrn_grid;

/* Computes the strengths (hops,) at the ends of hops from their `energies` (hops, 3): mean squares of the input, of the
 * enhanced signal, and of their difference. */
void gtcrn_auto_strength_decide(gtcrn_auto_strength *levels, const double *energies, size_t hops, double *strengths);

/* The same from aligned samples, both (hops, hop_length); `strengths` may be NULL. */
void gtcrn_auto_strength_update(gtcrn_auto_strength *levels, const float *dry, const float *enhanced, size_t hops,
                                size_t hop_length, double *strengths);

/* Returns the index of the first output sample of a hop; negative before the start of the stream. */
int64_t gtcrn_grid_start(const gtcrn_grid *grid, int64_t hop);

/* Mixes `count` output samples from index `sample` on: dry + strength * (enhanced - dry). The strength is interpolated
 * linearly from strengths[0] to strengths[1] in hop `hop`, to strengths[2] in the next one, and so on to
 * strengths[ends]; it is constant before and after these hops. Returns the number of completely mixed hops. */
int64_t gtcrn_mix(const gtcrn_grid *grid, int64_t hop, const double *strengths, int64_t ends, int64_t sample,
                  const float *dry, const float *enhanced, int64_t count, float *mixed);

/* cffi: end. */

#endif
